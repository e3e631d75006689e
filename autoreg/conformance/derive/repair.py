"""What to try next when a config does not run: what the error points at first, then ever larger groups of fields."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from autoreg.conformance.derive.align import aligned
from autoreg.conformance.derive.attempts import Attempt, Bench
from autoreg.conformance.derive.evidence import Evidence, evidence_of
from autoreg.conformance.derive.fill import fill
from autoreg.conformance.derive.inputs.facts import configs_in, is_int, read
from autoreg.conformance.derive.kinds import kind_of
from autoreg.conformance.derive.shrink import Change, Policy, shrink

__all__ = ["causes", "hopeless", "repair"]

# Other proportions, before fields are given back one by one: what divides what is often written in the code.
_POLICIES = (
    Policy(proportional=True, unit=1),
    Policy(unit=32, width=128),
    Policy(keep_head_dim=True, heads=2, key_value_heads=1),
    Policy(unit=64, width=256, heads=8, experts=8, image=128, state=16, image_tokens=16),
    Policy(unit=16, heads=2, key_value_heads=1, image=224, window=8, image_tokens=64),
)
_DEEPER = Policy(layers=4)  # as many stages as most hierarchies have: code that knows the last one by its reduction
_MOST_SUSPECTS = 8
_MOST_NUMBERS = 5
_NO_SIZE = 4  # smaller numbers of a message are axes and ranks
_SIZES = frozenset({"width", "head_dim", "state"})
# Counts that no other size depends on: moved only where the message names them.
_FREE = frozenset({"layers", "vocabulary", "token", "frames"})


def repair(bench: Bench, first: Mapping[str, Any], changes: Mapping[str, Change]) -> Attempt:
    """Return an attempt that runs, or the one that came furthest."""
    order = itertools.count()
    best = bench.attempt(first)
    queue = [(tuple(-each for each in best.rank), next(order), best)]
    seen = {_key(first)}
    while queue and not best.runs and not hopeless(best.error):
        _, _, current = heapq.heappop(queue)
        for values in _neighbours(bench, current, changes):
            if _key(values) in seen:
                continue
            if bench.exhausted:
                return best
            seen.add(_key(values))
            found = bench.attempt(values)
            if current.error is not None:
                bench.note(current.values, values, current.error)
            if found.runs:
                return found if bench.adding is not None else _smaller(bench, found, changes)
            heapq.heappush(queue, (tuple(-each for each in found.rank), next(order), found))
            if found.rank > best.rank:
                best = found
                heapq.heappush(queue, (tuple(-each for each in current.rank), next(order), current))
                break
    return best


def hopeless(error: BaseException | None) -> bool:
    """Say whether no config helps: a package is missing, or nothing may be downloaded."""
    return any(isinstance(each, (ImportError, OfflineModeIsEnabled, LocalEntryNotFoundError)) for each in causes(error))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came from, the last first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _key(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((path, repr(value)) for path, value in values.items()))


def _neighbours(bench: Bench, current: Attempt, changes: Mapping[str, Change]) -> Iterator[dict[str, Any]]:
    """Yield what to try after an attempt that failed, the likeliest first."""
    assert current.error is not None
    evidence = evidence_of(current.error)
    values = dict(current.values)
    yield from fill(bench.template, current, evidence)
    yield from _swapped(bench, current, evidence)
    yield from _moved(values, _suspects(evidence.said, changes), evidence, changes)
    if bench.adding is not None:
        yield from aligned(bench.template, current, bench.adding)
        for policy in _POLICIES:
            others = shrink(bench.template, policy)
            yield {**values, **{path: change.value for path, change in others.items() if path in values}}
    elif all(values.get(path) == change.value for path, change in changes.items()):
        for policy in (*_POLICIES, _DEEPER):
            yield {path: change.value for path, change in shrink(bench.template, policy).items()}
    suspects = _suspects(evidence.suspects, changes)
    for path in suspects:
        yield {each: value for each, value in values.items() if each != path}
    yield from _given_back(values, changes)
    yield from _moved(values, [path for path in suspects if changes[path].kind not in _FREE], evidence, changes)


def _swapped(bench: Bench, current: Attempt, evidence: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the values with a size that the message names replaced by another that it names: the two did not meet."""
    nodes = dict(configs_in(current.config if current.config is not None else bench.template.config))
    numbers = [number for number in evidence.numbers if number > _NO_SIZE][:_MOST_NUMBERS]
    offered = 0
    for leaf in bench.template.leaves():
        meant = kind_of(leaf.name) in _SIZES or leaf.name in evidence.said
        if leaf.node not in nodes or not meant or leaf.path in bench.hints:
            continue
        value = current.values.get(leaf.path, read(nodes[leaf.node], leaf.name))
        for old, new in itertools.permutations(numbers, 2):
            if value == old and offered < _MOST_SUSPECTS:
                offered += 1
                yield {**current.values, leaf.path: new}
            elif isinstance(value, (list, tuple)) and old in value and offered < _MOST_SUSPECTS:
                offered += 1
                yield {**current.values, leaf.path: type(value)(new if each == old else each for each in value)}


def _given_back(values: Mapping[str, Any], changes: Mapping[str, Change]) -> Iterator[dict[str, Any]]:
    """Yield the values without all of one kind, then without all of one nested config."""
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in values:
        if path in changes:
            groups["kind", changes[path].kind].add(path)
            groups["node", path.rpartition(".")[0]].add(path)
    for paths in groups.values():
        if 1 < len(paths) < len(values):
            yield {path: value for path, value in values.items() if path not in paths}


def _suspects(names: Iterable[str], changes: Mapping[str, Change]) -> list[str]:
    """Return the changed fields of these names."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in changes:
        by_name[path.rpartition(".")[2]].append(path)
    found = [path for name in names for path in by_name.get(name, ())]
    return list(dict.fromkeys(found))[:_MOST_SUSPECTS]


def _moved(
    values: Mapping[str, Any], suspects: list[str], evidence: Evidence, changes: Mapping[str, Change]
) -> Iterator[dict[str, Any]]:
    """Yield the values with one suspect moved: to a number of the message, a power of two, twice it, its default."""
    for path in suspects:
        if path not in values:
            continue
        now, default = values[path], changes[path].default
        if is_int(now) and is_int(default):
            power = 1 << max(now.bit_length() - 1, 0)
            offers = [n for n in evidence.numbers if 0 < n <= default] + [power, 2 * power, now // 2, 2 * now, 4 * now]
            for offer in dict.fromkeys(offers):
                if offer != now and 0 < offer < default:
                    yield {**values, path: offer}
        yield {each: value for each, value in values.items() if each != path}


def _smaller(bench: Bench, found: Attempt, changes: Mapping[str, Change]) -> Attempt:
    """Shrink again, one by one, what was given back and need not have been."""
    given_back = [path for path, change in changes.items() if found.values.get(path) != change.value]
    best = found
    if len(given_back) < 2:  # noqa: PLR2004 - the one field that was given back is the one that mattered
        return best
    for path in given_back:
        if bench.exhausted or path in bench.hints:
            break
        tried = bench.attempt({**best.values, path: changes[path].value})
        if tried.runs:
            best = tried
    return best

"""Judges how a case ended, by what was written and what came out, and by nothing that either loader says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.trial.case import Report, Seen, Verdict, Wanted
from tests.trial.material import OTHER, ZIGZAG, Checkpoint, Place, read_folder

__all__ = ["BYSTANDERS", "clean", "difference", "error", "judge", "keep_bystanders", "saved", "truth", "value"]

BYSTANDERS = {
    "README.md": b"# mine\n",
    "tokenizer.json": b"{}",
    "optimizer.pt": b"state of a training run",
}
"""What lies in a folder beside a model, and must be there after another is saved."""


def judge(seen: Seen) -> Verdict:
    """Return how the case ended."""
    if seen.place.canary.exists() and not seen.case.trusts:
        return Verdict("unsafe", "code of the checkpoint ran")
    for report in (seen.report, seen.later):
        if report is not None and report.ended in ("hang", "crash"):
            return Verdict(report.ended, report.error)
        if report is not None and ("MemoryError" in report.family or "can't allocate memory" in report.text):
            return Verdict("crash", report.error)
    return seen.case.wanted(seen)


def clear(seen: Seen, report: Report) -> bool:
    """Say whether a user could act on the error, by rule.

    It is autoreg's and names the file, field, tensor or plugin; or it is an OSError, ValueError or ImportError that
    names the file (or module); or, whatever it is, what was logged before names both the folder and the culprit.
    """
    if "AutoregError" in report.family:
        return seen.names(report.text)
    if {"OSError", "ValueError", "ImportError"} & set(report.family) and seen.file in report.text:
        return True
    return any(
        str(seen.place.folder) in text and seen.names(text.replace(str(seen.place.folder), "")) for text in report.said
    )


def _raised(seen: Seen) -> Verdict:
    said = f"{seen.report.error}: {seen.report.text}"
    return Verdict("right" if clear(seen, seen.report) else "unclear", said)


def error(returned: str = "wrong") -> Wanted:
    """Return the judge of what has no right result; `returned` is what it is called if there is one all the same."""

    def wanted(seen: Seen) -> Verdict:
        if seen.report.ended == "raised":
            return _raised(seen)
        if returned == "wrong" and seen.warned:
            return Verdict("warned", "; ".join(seen.report.said))
        return Verdict(returned, f"it returned; said: {seen.report.said}")

    return wanted


def truth(checkpoint: Checkpoint | None = None, *, or_error: bool = True, fields: bool = True) -> Wanted:
    """Return the judge of a load that has a true result; `or_error`: a clear error is as good."""
    checkpoint = checkpoint or ZIGZAG

    def wanted(seen: Seen) -> Verdict:
        if seen.report.ended == "raised":
            return _raised(seen) if or_error else Verdict("refused", f"{seen.report.error}: {seen.report.text}")
        found = difference(seen.report.value, checkpoint, fields=fields)
        if not found:
            return Verdict("right")
        return Verdict("warned" if seen.warned else "wrong", f"{found}; said: {seen.report.said}")

    return wanted


def value(expected: Any, *, otherwise: str = "wrong") -> Wanted:
    """Return the judge of an act that finds out by itself whether all is well, and returns so."""

    def wanted(seen: Seen) -> Verdict:
        if seen.report.ended == "raised":
            return _raised(seen)
        same = seen.report.value == expected
        return Verdict("right" if same else otherwise, "" if same else f"{seen.report.value!r}"[:2000])

    return wanted


def clean() -> Wanted:
    """Return the judge of an act that does many things and returns what went wrong, errors as "raised …"."""

    def wanted(seen: Seen) -> Verdict:
        problems = seen.report.value
        if seen.report.ended == "raised":
            return Verdict("refused", f"{seen.report.error}: {seen.report.text}")
        if not problems:
            return Verdict("right")
        refused = all(problem.startswith("raised") for problem in problems)
        return Verdict("refused" if refused else "wrong", "; ".join(problems[:6]))

    return wanted


def difference(found: Any, checkpoint: Checkpoint, *, fields: bool = True) -> str:
    """Return the first difference between a described model and what was written; empty if there is none."""
    if not isinstance(found, Mapping) or "config" not in found:
        return f"no model: {found!r}"
    for name, expected in checkpoint.config.items() if fields else ():
        if name != "architectures" and found["config"].get(name, expected) != expected:
            return f"config.{name} is {found['config'][name]!r} and was {expected!r}"
    tensors = found.get("tensors")
    return "" if tensors is None else _tensor_difference(tensors, checkpoint)


def _tensor_difference(tensors: Mapping[str, Any], checkpoint: Checkpoint) -> str:
    wanted = checkpoint.truth
    for name in sorted({*wanted, *tensors}):
        if name not in tensors or name not in wanted:
            return f"{name} is {'not there' if name in wanted else 'nobody knows what'}"
        kind, shape, content = tensors[name]
        expected = [str(wanted[name].dtype), list(wanted[name].shape), wanted[name].tobytes().hex()]
        if [kind, shape, content] != expected:
            return f"{name}: {kind} {shape}{'' if content != 'meta' else ' on meta'}, with other values than written"
    return ""


# --- saves -------------------------------------------------------------------------------------------


def keep_bystanders(place: Place) -> None:
    """Lay the files beside the checkpoint."""
    for name, content in BYSTANDERS.items():
        (place.folder / name).write_bytes(content)


def saved(old: Checkpoint | None = ZIGZAG, new: Checkpoint = OTHER, *, must: str = "") -> Wanted:
    """Return the judge of a save: afterwards the old checkpoint is there, or the new one, and what lay beside it.

    Args:
        old: what was there; None for nothing.
        new: what was saved.
        must: "new" where nothing stands in the way, "old" where it cannot be saved, "either" where both are fair.
    """

    def wanted(seen: Seen) -> Verdict:
        state, why = _state(seen, old, new)
        if state == "lost":
            return Verdict("lost", f"{why}; the save: {seen.report.error} {seen.report.text}")
        if seen.report.ended == "raised":
            verdict = _raised(seen)
            return Verdict("refused", verdict.remark) if must == "new" else verdict
        killed = seen.report.value == "killed"
        if must == "either":
            return Verdict("right")
        if not killed and state != "new":
            return Verdict("warned" if seen.warned else "wrong", "the save returned, and the old checkpoint is there")
        if must and state != must:
            return Verdict("wrong", f"the {state} one is there")
        return Verdict("right")

    return wanted


def _state(seen: Seen, old: Checkpoint | None, new: Checkpoint) -> tuple[str, str]:
    for name, content in BYSTANDERS.items() if old is not None else ():
        file = seen.place.folder / name
        if not file.is_file() or file.read_bytes() != content:
            return "lost", f"{name} is not as it was"
    later = seen.later
    assert later is not None, "a save is judged by the next load"
    if later.ended == "raised":
        gone = old is None and not seen.place.config.exists()
        return ("old", "") if gone else ("lost", f"the next load: {later.error}: {later.text}")
    reasons = []
    for state, checkpoint in (("old", old), ("new", new)):
        found = difference(later.value, checkpoint) if checkpoint else "none was there"
        found = found or _on_disk(seen.place, checkpoint)
        if not found:
            return state, ""
        reasons.append(f"not the {state} one: {found}")
    return "lost", "; ".join(reasons)


def _on_disk(place: Place, checkpoint: Checkpoint | None) -> str:
    """Return what another loader would find in the folder that is not of this checkpoint."""
    assert checkpoint is not None
    try:
        config, tensors = read_folder(place.folder)
    except Exception as failure:  # whatever it is, nobody can use the folder
        return f"another loader: {type(failure).__name__}: {failure}"
    if config.get("release", checkpoint.config.get("release")) != checkpoint.config.get("release"):
        return "config.json is of another release"
    for name in {*tensors, *checkpoint.tensors}:
        wanted = checkpoint.truth.get(name)
        if wanted is None or wanted.tobytes() != tensors.get(name):
            return f"another loader finds another {name}"
    return ""

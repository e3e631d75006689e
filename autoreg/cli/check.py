"""`autoreg check`: run the conformance suite, show what came of it, write it down."""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreg.cli import show as screen

if TYPE_CHECKING:
    from autoreg.conformance.catalogue import Catalogue
    from autoreg.conformance.outcome import Report
    from autoreg.conformance.run import Selection
    from autoreg.conformance.worker import Worker
    from autoreg.runtime import Runtime

__all__ = ["add_arguments", "check"]

FORMATS = ("json", "junit", "markdown", "html", "badge")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.usage = "autoreg check [options] NAME"
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="the model type")
    add("--native", action="store_true", help="one of transformers' own architectures")
    chosen = parser.add_argument_group("what is run")
    add = chosen.add_argument
    add("--level", choices=("loads", "runs", "scales"), default="scales", help="the highest level (default: scales)")
    add("--slow", action="store_true", help="also the checks that take long")
    add("--only", metavar="PATTERN", action="append", default=[], help="ids such as weights.* or *[RetNetModel]")
    add("--class", metavar="CLASS", action="append", default=[], dest="classes", help="these model classes alone")
    add("--expect", metavar="ID=REASON", action="append", default=[], help="a failure that is known, and why")
    add("--seed", type=int, default=0, help="what random numbers are drawn from (default: 0)")
    add("--processes", metavar="N", type=int, default=2, help="how many run side by side (default: 2)")
    instead = parser.add_argument_group("something else than a run").add_mutually_exclusive_group()
    add = instead.add_argument
    add("--explain-subject", action="store_true", help="show the tiny config, the inputs and the capabilities")
    add("--list", action="store_true", help="list the checks; with --markdown, as a page of documentation")
    add("--reproduce", metavar="ID", help="write a script that runs one check, to be stepped through")
    written = parser.add_argument_group("reports (a file, or - for standard output)")
    for name in FORMATS:
        written.add_argument(f"--{name}", metavar="FILE")
    written.add_argument("--output", metavar="FILE", default="-", help="where --reproduce writes to")
    parser.set_defaults(complain=parser.error)


def check(runtime: Runtime, options: argparse.Namespace) -> int:
    """Depth: classes, imported by child processes only. Exit code 1 where something is red."""
    start = time.perf_counter()
    _look_over(options)
    try:
        if options.name:
            from autoreg.conformance.target import look_up

            look_up(runtime, options.name, native=options.native)
        found = _catalogue(options)
        if options.list:
            return _list(options, found)
        if options.reproduce:
            return _reproduce(options, found)
        return _explain(options) if options.explain_subject else _run(options, found, start)
    except LookupError as error:
        options.complain(str(error))
        raise


# --- what was asked --------------------------------------------------------------------------------


def _look_over(options: argparse.Namespace) -> None:
    """Refuse, before anything takes time, what could not be done in the end."""
    if not options.name and not options.list:
        options.complain("the model type is missing: autoreg check NAME")
    for text in options.expect:
        if not all(part.strip() for part in (text.partition("=")[0], text.partition("=")[2])):
            options.complain(f"--expect {text!r} is not of the form ID=REASON")
    if options.processes < 1:
        options.complain("--processes is at least 1")
    wanted = [getattr(options, name) for name in FORMATS]
    if wanted.count("-") > 1:
        options.complain("only one report fits on standard output")
    for file in filter(None, [*wanted, options.output]):
        folder = Path(file).parent
        if file != "-" and not folder.is_dir():
            options.complain(f"the folder of {file} does not exist")


def _catalogue(options: argparse.Namespace) -> Catalogue:
    """Import all that is needed; say what to install where a library is missing that nothing but the suite needs."""
    try:
        with screen.busy("importing torch and transformers"), _without_collecting():
            from autoreg.conformance.catalogue import catalogue
            from autoreg.conformance.target import preload

            if options.html:
                import jinja2  # noqa: F401
            preload()
            return catalogue()
    except ModuleNotFoundError as error:
        options.complain(f"{error.name} is not installed: pip install 'autoreg[conformance,torch]'")
        raise


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Collect no garbage in the block, nor ever what it makes: modules stay, and looking them over takes seconds."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # before the workers are forked, as Python's documentation of it advises, and before the exit
        if enabled:
            gc.enable()


def _selection(options: argparse.Namespace) -> Selection:
    from autoreg.conformance.run import Selection

    expected = {key.strip(): reason.strip() for key, _, reason in (text.partition("=") for text in options.expect)}
    return Selection(
        level=options.level,
        slow=options.slow,
        only=tuple(options.only),
        classes=tuple(options.classes),
        expected_failures=expected,
    )


# --- what is done ----------------------------------------------------------------------------------


def _run(options: argparse.Namespace, found: Catalogue, start: float) -> int:
    from autoreg.conformance.report import terminal
    from autoreg.conformance.run import run

    _matches(options, found)
    target = _target(options)
    with screen.progress(f"checking {options.name}") as progress:
        report = run(
            target,
            checks=found.checks,
            selection=_selection(options),
            seed=options.seed,
            processes=options.processes,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    report = replace(report, outcomes=(*report.outcomes, *found.broken), seconds=seconds)
    if "-" not in [getattr(options, name) for name in FORMATS]:
        screen.render(terminal.shown(report))
    for name, text in _written(report, options, found).items():
        _write(getattr(options, name), text)
    return 0 if report.conformant else 1


def _matches(options: argparse.Namespace, found: Catalogue) -> None:
    """Refuse a pattern that selects nothing: a green run of no check would be believed."""
    topics = ", ".join(sorted({check.topic for check in found.checks}))
    asked = _selection(options)
    for pattern in options.only:
        alone = replace(asked, only=(pattern.partition("[")[0],), classes=())
        if not any(alone.takes(check, "") for check in found.checks):
            options.complain(f"--only {pattern} selects no check (topics: {topics}; see --list, --level and --slow)")


def _written(report: Report, options: argparse.Namespace, found: Catalogue) -> dict[str, str]:
    from autoreg.conformance.report import badge, document, html, junit, markdown

    makers: Mapping[str, Callable[[Report], str]] = {
        "json": document.to_json,
        "junit": junit.to_junit,
        "markdown": markdown.to_markdown,
        "html": partial(html.to_html, checks=found.checks),
        "badge": badge.to_badge,
    }
    return {name: make(report) for name, make in makers.items() if getattr(options, name)}


def _explain(options: argparse.Namespace) -> int:
    from autoreg.conformance.report import document, terminal
    from autoreg.conformance.run import Selection, run

    selection = Selection(classes=tuple(options.classes))
    with screen.progress(f"deriving {options.name}") as progress:
        report = run(
            _target(options),
            checks=(),
            selection=selection,
            seed=options.seed,
            processes=options.processes,
            progress=progress,
        )
    report = replace(report, outcomes=())
    if options.json:
        _write(options.json, document.to_json(report))
    if options.json != "-":
        screen.render(terminal.explained(report.classes))
    return 1 if any(facts.problem for facts in report.classes) else 0


def _list(options: argparse.Namespace, found: Catalogue) -> int:
    from autoreg.conformance.catalogue import page
    from autoreg.conformance.report import terminal

    if options.markdown:
        # Of autoreg's own: what else is installed here is not part of its documentation.
        _write(options.markdown, page([check for check in found.checks if not check.owner]))
    else:
        screen.render(terminal.listed(found.checks))
    for outcome in found.broken:
        screen.finding("error", outcome.subject, outcome.reason, "")
    return 1 if found.broken else 0


def _reproduce(options: argparse.Namespace, found: Catalogue) -> int:
    from autoreg.conformance.check import Check
    from autoreg.conformance.reproduce import script
    from autoreg.conformance.worker import Job, Worker

    id, _, name = options.reproduce.partition("[")  # noqa: A001 - what it is called everywhere
    wanted = next((each for each in found.checks if each.id == id), None)
    if wanted is None:
        raise LookupError(f"there is no check {id!r}; see `autoreg check --list`")
    writer = Check(
        id="suite.script",
        function=lambda subject: subject.note(script(wanted, subject, native=options.native)),
        level=wanted.level,
        cost="slow",
        summary="",
        hurts="",
        change="",
    )
    with screen.busy(f"deriving {options.name}"):
        worker = Worker(_target(options), checks=(*found.checks, writer), seed=options.seed)
    with screen.busy(f"running {id}"), worker:
        outcome: Any = worker.run(Job(check=writer, subject=_class(worker, wanted, name.rstrip("]"))))
    if not outcome.notes:
        raise LookupError(f"no script could be written: {outcome.reason}")
    _write(options.output, outcome.notes[0])
    return 0


def _class(worker: Worker, wanted: Any, name: str) -> str:
    """Return the class that was named, else the first on which the check fails, else the first."""
    from autoreg.conformance.worker import Job

    if name and name not in worker.classes:
        raise LookupError(f"{worker.model_type} has no class {name!r}, only {', '.join(worker.classes)}")
    if name or wanted.scope == "architecture":
        return name
    answers: Iterator[Any] = (worker.run(Job(check=wanted, subject=each)) for each in worker.classes)
    return next((answer.subject for answer in answers if not answer.green), next(iter(worker.classes), ""))


def _target(options: argparse.Namespace) -> Callable[[], Any]:
    from autoreg.conformance.target import from_name

    return partial(from_name, options.name, native=options.native)


def _write(file: str, text: str) -> None:
    """Write the whole file or nothing."""
    if file == "-":
        screen.say(text.rstrip("\n"))
        return
    path = Path(file)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as half:
        try:
            half.write(text)
            half.flush()
            # Readable as any file that the user makes: a temporary one is the owner's alone.
            os.chmod(half.name, 0o666 & ~_umask())
            os.replace(half.name, path)
        except BaseException:
            os.unlink(half.name)
            raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

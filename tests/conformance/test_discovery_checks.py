"""Checks that plugins bring: found by their entry points, converted, and reported where they cannot be used."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from autoreg.conformance.catalogue import BROKEN, catalogue, page
from autoreg.conformance.checks import standard
from autoreg.conformance.outcome import Outcome
from autoreg.discovery import Broken, Contributed, contributed_checks, scan

GOOD = '''
from autoreg import hookimpl
from autoreg.conformance import check

@check("acme.length", level="loads", scope="architecture")
def length(subject):
    """The config says how long a text may be.

    Hurts: ours.

    Change: it.
    """

def check_bare(subject):
    """A bare function will do."""

@hookimpl
def autoreg_checks():
    yield length
    yield check_bare
'''


DOCS = Path(__file__).parents[2] / "docs" / "author"
_number = itertools.count()


def install(site: Path, source: str, name: str = "acme-checks", requires: str = "") -> None:
    """Install a distribution with one module and an entry point in the group of the checks."""
    module = f"{name.replace('-', '_')}_{next(_number)}"  # of a name that no other test has imported
    (site / f"{module}.py").write_text(source)
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
    (info / "entry_points.txt").write_text(f"[autoreg.checks]\nacme = {module}\n")


def broken(site: Path) -> list[Outcome]:
    return list(catalogue([str(site)]).broken)


def test_a_hook_that_raises_is_an_error_with_its_owner(site: Path) -> None:
    """What goes wrong in a plugin with checks is a red outcome that names the distribution and its version."""
    install(site, "raise RuntimeError('boom')")
    (found,) = broken(site)
    assert (found.check, found.subject, found.verdict) == (BROKEN, "acme-checks", "error")
    assert "the plugin acme-checks 1.0" in found.reason
    assert "the entry point acme = 'acme_checks_" in found.reason
    assert "in the group 'autoreg.checks'" in found.reason
    assert "raised RuntimeError: boom" in found.reason


def test_every_way_to_be_broken_is_told(site: Path) -> None:
    """A hook that exits, is missing, yields nothing or nonsense, and an unmet requirement each say what is wrong."""
    hook = "from autoreg import hookimpl\n@hookimpl\ndef autoreg_checks():\n    "
    sources = {
        "exits": (f"{hook}raise SystemExit(3)", "tried to end the program with SystemExit(3)"),
        "lacks": ("", "it has no function named `autoreg_checks` and marked @hookimpl"),
        "empty": (f"{hook}return []", "its hook `autoreg_checks` yields nothing"),
        "text": (f"{hook}return 'abc'", "returns 'abc', not an iterable of functions of a subject"),
        "number": (f"{hook}return [3]", "a function of the subject is needed"),
    }
    for name, (source, _) in sources.items():
        install(site, source, f"acme-{name}")
    install(site, GOOD, "acme-needy", requires="no-such-package>=3")
    reasons = {found.subject: found.reason for found in broken(site)}
    for name, (_, message) in sources.items():
        assert message in reasons[f"acme-{name}"]
    assert "no-such-package>=3 (not installed)" in reasons["acme-needy"]
    assert len(reasons) == len(sources) + 1


def test_no_check_takes_the_id_of_another(site: Path) -> None:
    """A plugin's check with the id of a standard check, or of one of its own, is an error and does not run."""
    install(site, GOOD.replace("acme.length", "weights.roundtrip") + "    yield check_bare\n")
    found = catalogue([str(site)])
    reasons = [outcome.reason for outcome in found.broken]
    assert "its check 'weights.roundtrip' has the id of one of autoreg's" in reasons[0]
    assert "its check 'acme-checks.bare' has the id of one of acme-checks 1.0's" in reasons[1]
    assert [check.id for check in found.checks if check.owner] == ["acme-checks.bare"]


def test_good_checks_follow_the_standard_ones(site: Path) -> None:
    """Checks of a plugin come after autoreg's own, with their owner; a bare function has an id and a level."""
    install(site, GOOD)
    found = catalogue([str(site)])
    assert found.broken == ()
    assert found.checks[: len(standard())] == standard()
    own = found.checks[len(standard()) :]
    assert [(check.id, check.level, check.scope, check.owner) for check in own] == [
        ("acme.length", "loads", "architecture", "acme-checks 1.0"),
        ("acme-checks.bare", "runs", "class", "acme-checks 1.0"),
    ]


def test_a_look_up_of_an_architecture_never_sees_them(site: Path) -> None:
    """The ordinary scan leaves the group alone, and only the suite imports the module."""
    install(site, GOOD)
    assert scan([str(site)]) == ()
    (found,) = contributed_checks([str(site)])
    assert isinstance(found, Contributed)
    assert not isinstance(found, Broken)
    assert found.offer.owner == "acme-checks 1.0"


def test_the_checks_that_the_documentation_speaks_of_exist() -> None:
    """Ids of standard checks in the pages are those of checks."""
    known = {check.id for check in standard()}
    topics = "|".join(sorted({check.topic for check in standard()}))
    for name in ("conformance.md", "hooks.md", "report-format.md"):
        text = (DOCS / name).read_text(encoding="utf-8")
        found = set(re.findall(rf"(?<![\w.])(?:{topics})\.[a-z][a-z-]+(?![\w.(])", text))
        assert found - known - {"config.json"} == set(), name


def test_the_page_of_the_checks_is_the_registry() -> None:
    """docs/author/checks.md is what `autoreg check --list --markdown docs/author/checks.md` writes."""
    assert (DOCS / "checks.md").read_text(encoding="utf-8").strip() == page(standard()).strip()

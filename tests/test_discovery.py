# ruff: noqa: E501 # tables of whole messages, one case a line
"""From installed distributions to declarations: one pass, every plugin by itself, with provenance."""

import importlib.metadata
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import autoreg
from autoreg import discovery
from autoreg.discovery import Broken, Declared, Offer
from tests.conftest import MakePlugin
from tests.plugin_maker import REPOSITORY, Plugin, in_new_process, metadata, write_plugin


def offers(site: Path) -> tuple[Offer, ...]:
    """Return what is offered in this one folder."""
    return discovery.scan([str(site)])


def offer_of(plugin: Plugin) -> Offer:
    (found,) = (offer for offer in offers(plugin.site) if offer.distribution == plugin.distribution)
    return found


# --- one plugin's nonsense ---------------------------------------------------------------------------

HOOK = "from autoreg import Architecture, hookimpl\n@hookimpl\ndef autoreg_architectures():\n    "


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import no_such_module_here", "importing '{0}.plugin' raised ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("raise SystemExit(3)", "importing '{0}.plugin' tried to end the program with SystemExit(3)"),
        ("import sys; sys.exit('bye')", "importing '{0}.plugin' tried to end the program with SystemExit('bye')"),
        ("raise GeneratorExit", "importing '{0}.plugin' raised GeneratorExit: "),
        ("def broken(:", "importing '{0}.plugin' raised SyntaxError: invalid syntax (plugin.py, line 1)"),
        ("from autoreg import Architecture\nArchitecture(model_type='z z', config='a:B')", "importing '{0}.plugin' raised DeclarationError: Architecture field `model_type` is 'z z': a model type holds ASCII letters, digits and `_ - . +` only, and starts with a letter or digit"),
        (HOOK + "raise OSError('disk full')", "its hook `autoreg_architectures` raised OSError: disk full"),
        (HOOK + "raise SystemExit", "its hook `autoreg_architectures` tried to end the program with SystemExit(None)"),
        (HOOK + "return None", "its hook `autoreg_architectures` yields nothing"),
        (HOOK + "return 3", "its hook `autoreg_architectures` returns 3, not an iterable of Architecture"),
        (HOOK + "return 'zigzag'", "its hook `autoreg_architectures` returns 'zigzag', not an iterable of Architecture"),
        (HOOK + "return {'zigzag': 1}", "its hook `autoreg_architectures` returns {'zigzag': 1}, not an iterable of Architecture"),
        (HOOK + "return ['zigzag']", "its hook `autoreg_architectures` yields 'zigzag', which is no Architecture"),
        (HOOK + "return []", "its hook `autoreg_architectures` yields nothing"),
        (HOOK + "return [Architecture(model_type='zag', config='a:B')]", "its hook declares 'zag' and not 'zigzag'"),
        (HOOK + "return [Architecture(model_type='zigzag', config='a:B')] * 2", "its hook yields 2 architectures for 'zigzag'"),
        (HOOK + "return [Architecture(model_type='zigzag', architectures=['Z'], tokenizer='a:B')]", "its hook declares 'Z' and not 'zigzag'"),
    ],
)  # fmt: skip
def test_nonsense_is_a_value(make_plugin: MakePlugin, source: str, problem: str) -> None:
    """Whatever a declaration module does instead of declaring is a Broken value with the whole sentence."""
    plugin = make_plugin(modules={"plugin": source})
    declared = discovery.declare(offer_of(plugin))
    assert isinstance(declared, Broken)
    assert str(declared.error) == plugin.cannot_be_used(problem.replace("{0}", plugin.package))
    assert declared.remarks == ()


@pytest.mark.parametrize("where", ["import", "hook"])
def test_a_keyboard_interrupt_passes_through(make_plugin: MakePlugin, where: str) -> None:
    """The user's own interrupt is nobody's error: it passes through."""
    source = "raise KeyboardInterrupt" if where == "import" else HOOK + "raise KeyboardInterrupt"
    plugin = make_plugin(modules={"plugin": source})
    with pytest.raises(KeyboardInterrupt):
        discovery.declare(offer_of(plugin))


def test_the_cause_is_chained(make_plugin: MakePlugin) -> None:
    """A Broken value keeps what was raised as the cause."""
    declared = discovery.declare(offer_of(make_plugin(modules={"plugin": HOOK + "1/0"})))
    assert isinstance(declared.error.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("tail", [":autoreg_architectures", " [extra]"])
def test_an_entry_point_that_is_no_module(make_plugin: MakePlugin, tail: str) -> None:
    """An entry point that names an object or extras, as other groups do, is blamed with what it says."""
    plugin = make_plugin(entry_points=f"[autoreg]\nzigzag = $package.plugin{tail}\n")
    declared = discovery.declare(offer_of(plugin))
    assert isinstance(declared, Broken)
    assert f"importing '{plugin.package}.plugin{tail}' raised ModuleNotFoundError" in str(declared.error)


def test_a_declaration_that_imports_torch_is_remarked(tmp_path: Path) -> None:
    """A declaration module that imports transformers works, and is remarked once with what it imports."""
    plugin = write_plugin(tmp_path, modules={"plugin": "import transformers\n" + PLAIN})
    script = """
    import json, warnings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import autoreg
        from autoreg import runtime
        for _ in range(2):
            found = runtime.current().architecture("zigzag")
    told = [str(item.message) for item in caught if issubclass(item.category, autoreg.AutoregWarning)]
    print(json.dumps([repr(found), told]))
    """
    assert in_new_process(script, path=[tmp_path]) == [
        "<Architecture zigzag: AutoModel>",
        [
            f"autoreg-zigzag 1.0: its declaration module '{plugin.package}.plugin' imports transformers;"
            " every process that looks it up pays for that"
        ],
    ]


PLAIN = """
from autoreg import Architecture, hookimpl

@hookimpl
def autoreg_architectures():
    return [Architecture(**$declaration)]
"""


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("config", "configuration:Nothing", "{0}.configuration:Nothing: '{0}.configuration' has no 'Nothing'"),
        ("tokenizer", "no_such_package_at_all:T", "no_such_package_at_all:T: there is no module 'no_such_package_at_all'"),
    ],
)  # fmt: skip
def test_missing_classes_are_told_without_importing(
    make_plugin: MakePlugin, field: str, value: str, problem: str
) -> None:
    """A declared class that is not in the sources is told from the sources alone."""
    plugin = make_plugin(**{field: value})
    declared = discovery.declare(offer_of(plugin))
    assert isinstance(declared, Declared)
    assert list(discovery.missing_classes(declared.architecture)) == [(field, problem.format(plugin.package))]
    assert plugin.imported() == ["plugin"]


def test_classes_that_may_be_there_are_not_missed(make_plugin: MakePlugin) -> None:
    """A class that a module may make by `__getattr__` or a star import is given the benefit of the doubt."""
    modules = {"star": "from os.path import *", "lazy": "def __getattr__(name): ..."}
    plugin = make_plugin(tokenizer="star:T", processor="lazy:P", modules=modules, feature_extractor="json:JSONDecoder")
    assert list(discovery.missing_classes(discovery.declare(offer_of(plugin)).architecture)) == []


# --- requirements ------------------------------------------------------------------------------------

MISSING = "no-such-distribution"


@pytest.mark.parametrize(
    ("requires", "unmet"),
    [
        (["pluggy"], ()),
        (["pluggy>=1.5", "Packaging", "huggingface_hub"], ()),
        ([MISSING], (f"{MISSING} (not installed)",)),
        ([f"{MISSING}>=2"], (f"{MISSING}>=2 (not installed)",)),
        (["pluggy<1"], (f"pluggy<1 ({importlib.metadata.version('pluggy')} is installed)",)),
        ([f"{MISSING}; python_version < '3'"], ()),
        ([f"{MISSING}; python_version >= '3'"], (f"{MISSING} (not installed)",)),
        ([f"{MISSING}; extra == 'test'"], ()),
        ([f"{MISSING}; sys_platform == 'atari'"], ()),
        (["pluggy[testing]>=1"], ()),
        (["!!!"], ("!!! (not a valid requirement)",)),
        (["pluggy (>=1.0)"], ()),
        ([f"{MISSING} @ https://example.org/x.whl"], (f"{MISSING} (not installed)",)),
        (["pluggy<1", MISSING], (f"pluggy<1 ({importlib.metadata.version('pluggy')} is installed)", f"{MISSING} (not installed)")),
    ],
)  # fmt: skip
def test_requirements_are_evaluated(site: Path, requires: list[str], unmet: tuple[str, ...]) -> None:
    """`Requires-Dist` is compared with what is installed; markers that do not hold, and extras, do not count."""
    assert offer_of(write_plugin(site, requires=requires)).unmet == unmet


def test_a_pre_release_meets_a_requirement(site: Path) -> None:
    """A pre-release that is installed counts, as it does for pip once it is there."""
    metadata(replace(write_plugin(site, "other", entry_points="[x]\n"), distribution="dep", version="2.0rc1"))
    site.joinpath("dep-2.0rc1.dist-info").touch()
    sys.path_importer_cache.pop(str(site), None)
    assert offer_of(write_plugin(site, requires=["dep>=1.5,<3"])).unmet == ()


# --- what is seen, and in which order ----------------------------------------------------------------


def test_the_order_of_the_path_does_not_matter(tmp_path: Path) -> None:
    """Offers come sorted by name and distribution, whatever the order of the folders."""
    sites = [tmp_path / name for name in "abc"]
    for number, site in enumerate(sites):
        write_plugin(site, f"type{2 - number}")
        write_plugin(site, "same", distribution=f"dist-{2 - number}")
    found = {
        tuple((offer.name, offer.distribution) for offer in discovery.scan([str(site) for site in order]))
        for order in itertools.permutations(sites)
    }
    (only,) = found
    assert only == tuple(sorted(only))
    assert len(only) == 6


def test_forty_entry_points_in_one_module(make_plugin: MakePlugin) -> None:
    """One distribution may declare forty architectures in one module, which is imported once for all."""
    names = [f"type{number:02}" for number in range(40)]
    source = (
        "from autoreg import Architecture, hookimpl\n"
        "@hookimpl\n"
        "def autoreg_architectures():\n"
        f"    return [Architecture(model_type=name, config='$package.configuration:C' + name) for name in {names}]\n"
    )
    lines = "[autoreg]\n" + "".join(f"{name} = $package.plugin\n" for name in names)
    plugin = make_plugin(modules={"plugin": source}, entry_points=lines)
    found = offers(plugin.site)
    assert [offer.name for offer in found] == names
    assert {discovery.declare(offer).architecture.model_type for offer in found} == set(names)


def test_claims_are_a_group_of_their_own(make_plugin: MakePlugin) -> None:
    """Claims on `architectures` have their own group, and one distribution may have both."""
    source = """
from autoreg import Architecture, hookimpl

@hookimpl
def autoreg_architectures():
    yield Architecture(model_type="t5", architectures=["ZetaA", "ZetaB"], models={"AutoModel": "a:B"})
    yield Architecture(model_type="zeta", config="a:C")
"""
    lines = (
        "[autoreg]\nzeta = $package.plugin\n[autoreg.architectures]\nZetaA = $package.plugin\nZetaB = $package.plugin\n"
    )
    plugin = make_plugin(modules={"plugin": source}, entry_points=lines + "[autoreg.checks]\nx = $package.plugin\n")
    found = {(offer.group, offer.name): discovery.declare(offer) for offer in offers(plugin.site)}
    assert {key: repr(value.architecture) for key, value in found.items()} == {
        ("autoreg", "zeta"): "<Architecture zeta: no models>",
        ("autoreg.architectures", "ZetaA"): "<Architecture t5 claims ZetaA, ZetaB: AutoModel>",
        ("autoreg.architectures", "ZetaB"): "<Architecture t5 claims ZetaA, ZetaB: AutoModel>",
    }


def test_an_offer_says_where_it_comes_from(site: Path) -> None:
    """An offer has the distribution, its version and its folder, and prints who it is by."""
    plugin = write_plugin(site, version="1.2.dev3", distribution="Zig_Zag")
    offer = offer_of(plugin)
    assert (offer.distribution, offer.version, offer.location) == ("Zig_Zag", "1.2.dev3", str(site))
    assert repr(offer) == "<Offer zigzag by Zig_Zag 1.2.dev3>"


@pytest.mark.parametrize("damage", ["no METADATA", "empty METADATA", "not UTF-8", "no entry_points.txt", "binary"])
def test_damaged_metadata_stops_nobody(site: Path, damage: str) -> None:
    """A distribution whose metadata is damaged does not stop the others from being found."""
    bad = write_plugin(site, "bad")
    good = write_plugin(site, "good")
    if damage == "no METADATA":
        (bad.info / "METADATA").unlink()
    elif damage == "no entry_points.txt":
        (bad.info / "entry_points.txt").unlink()
    elif damage == "binary":
        (bad.info / "entry_points.txt").write_bytes(b"[autoreg]\nbad = \xff\xfe\x00\n")
    else:
        (bad.info / "METADATA").write_bytes(b"" if damage.startswith("empty") else b"Name: b\xff\n\n")
    assert good.distribution in {offer.distribution for offer in offers(site)}


def test_an_egg_info_counts(site: Path) -> None:
    """A distribution installed in the old way, with an `.egg-info` folder, counts too."""
    plugin = write_plugin(site)
    egg = plugin.info.rename(site / "autoreg_zigzag.egg-info")
    (egg / "METADATA").rename(egg / "PKG-INFO")
    assert [(offer.name, offer.owner) for offer in offers(site)] == [("zigzag", "autoreg-zigzag 1.0")]


# --- the same distribution twice ---------------------------------------------------------------------


@pytest.mark.parametrize("stale_first", [True, False])
def test_of_doubles_the_importable_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale_first: bool
) -> None:
    """Of one distribution's two metadata the one whose module can be found counts, in either order."""
    live = write_plugin(tmp_path / "live")
    stale = write_plugin(tmp_path / "stale", distribution="autoreg_zigzag", version="0.9")
    (stale.site / stale.package).rename(stale.site / "gone")
    folders = [stale.site, live.site] if stale_first else [live.site, stale.site]
    for folder in reversed(folders):
        monkeypatch.syspath_prepend(folder)
    found = discovery.scan([str(folder) for folder in folders])
    assert {offer.version: offer.shadowed for offer in found} == {"1.0": False, "0.9": True}
    assert live.imported() == []


# --- the current directory ---------------------------------------------------------------------------


def run_in(folder: Path, *command: str, **environment: str) -> list[str]:
    """Run Python in a folder and return the offers that it finds, as JSON."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOOK = f"""
import json, sys
sys.path.append({str(REPOSITORY)!r})  # where autoreg is not installed
from autoreg import runtime
print(json.dumps([offer.name for offer in runtime.current().types.offers if offer.name == "zigzag"]))
"""


@pytest.mark.parametrize("start", ["-c", "-m", "script"])
def test_planted_metadata_is_not_trusted(tmp_path: Path, start: str) -> None:
    """Metadata in the current directory offers nothing merely because Python put that directory on the path."""
    folder, scripts = tmp_path / "checkpoint", tmp_path / "scripts"
    write_plugin(folder)
    scripts.mkdir()
    (scripts / "look.py").write_text(LOOK)
    (folder / "look_here.py").write_text(LOOK)
    command = {"-c": ["-c", LOOK], "-m": ["-m", "look_here"], "script": [str(scripts / "look.py")]}[start]
    assert run_in(folder, *command) == []


@pytest.mark.parametrize("value", [".", "", "absolute"])
def test_python_path_makes_it_trusted(tmp_path: Path, value: str) -> None:
    """A directory that the user names in PYTHONPATH is trusted, though it is the current one."""
    write_plugin(tmp_path)
    path = {"absolute": str(tmp_path)}.get(value, value)
    expected = [] if value == "" else ["zigzag"]  # an empty PYTHONPATH names nothing
    assert run_in(tmp_path, "-c", LOOK, PYTHONPATH=path) == expected


def test_a_script_that_lies_beside_the_metadata(tmp_path: Path) -> None:
    """The folder of a script that the user runs by name is where its own modules lie: it is trusted unless it is here."""
    folder = tmp_path / "app"
    write_plugin(folder)
    (folder / "look.py").write_text(LOOK)
    assert run_in(tmp_path, "app/look.py") == ["zigzag"]


@pytest.mark.parametrize("command", [["-P", "-c", LOOK], ["-I", "-c", LOOK]])
def test_safe_path(tmp_path: Path, command: list[str]) -> None:
    """With Python's own switches for a safe path nothing here is seen either, and site-packages still is."""
    write_plugin(tmp_path)
    if sys.version_info < (3, 11) and "-P" in command:
        pytest.skip("-P is new in Python 3.11")
    assert run_in(tmp_path, *command) == []


# --- entry_points.txt ---------------------------------------------------------------------------------

_word = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789_-.", min_size=1, max_size=8)
_module = st.from_regex(r"[a-z_][a-z0-9_]{0,6}(\.[a-z_][a-z0-9_]{0,6}){0,2}", fullmatch=True)
_space = st.sampled_from(["", " ", "  ", "\t"])
_line = st.builds(
    lambda name, before, after, value, end: f"{name}{before}={after}{value}{end}",
    _word,
    _space,
    _space,
    _module,
    _space,
) | st.sampled_from(["", "# a comment", "   # another = comment"])
_group = st.sampled_from(["autoreg", "autoreg.architectures", "autoreg.checks", "console_scripts", "autoregx"])
_file = st.lists(st.tuples(_group, st.lists(_line, max_size=4)), max_size=5)


@given(_file, st.sampled_from(["\n", "\r\n"]), _space)
@example([("autoreg", ["a = b.c"])], "\n", "")
def test_entry_points_are_read_as_python_reads_them(
    tmp_path_factory: pytest.TempPathFactory, sections: list[tuple[str, list[str]]], end: str, indent: str
) -> None:
    """The offers of any valid entry_points.txt are those that importlib.metadata reads from it."""
    site = tmp_path_factory.getbasetemp() / "entry-points"
    info = site / "it-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Name: it\nVersion: 1.0\n\n")
    text = end.join(line for group, lines in sections for line in (f"[{group}]", *(indent + it for it in lines))) + end
    (info / "entry_points.txt").write_bytes(text.encode())
    (distribution,) = importlib.metadata.distributions(path=[str(site)])
    theirs = {(it.group, it.name, it.value) for it in distribution.entry_points if it.group in GROUPS}
    ours = {(offer.group, offer.name, offer.module) for offer in discovery.scan([str(site)])}
    assert ours == theirs


GROUPS = (discovery.MODEL_TYPES, discovery.CLAIMS)


def test_the_repository_is_what_was_tested() -> None:
    """The autoreg that the processes above import is this repository's."""
    assert Path(autoreg.__file__).is_relative_to(REPOSITORY)

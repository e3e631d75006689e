"""`python -m benchmarks.suites`: the conformance suite beside transformers' own model tests, on the same classes.

transformers ships its test mixins in its sdist, without the files that say how to test each model. Those are
written here, from the same tiny configs and inputs that autoreg derives; the generation and export mixins, which
the sdist lacks, are stubs. Only tests and checks that ask the same are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table

from autoreg.discovery import installed_version

__all__ = ["BOTH", "FAMILIES", "main"]

RESULTS = Path(__file__).parent / "results" / "suites.json"
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "bert": ("BertModel", "BertForMaskedLM", "BertForSequenceClassification"),
    "gpt2": ("GPT2Model", "GPT2LMHeadModel", "GPT2ForSequenceClassification"),
    "bart": ("BartModel", "BartForConditionalGeneration", "BartForSequenceClassification"),
}
BOTH: Mapping[str, tuple[str, ...]] = {
    "test_all_tensors_are_parameter_or_buffer": ("weights.attributes",),
    "test_attention_outputs": ("forward.attentions",),
    "test_base_model_prefix_loads_base_weights": ("weights.base-into-head",),
    "test_batching_equivalence": ("forward.rows-alone",),
    "test_bc_torch_dtype": ("weights.dtype",),
    "test_can_be_initialized_on_meta": ("weights.meta-device",),
    "test_can_use_safetensors": ("weights.roundtrip",),
    "test_config": ("config.roundtrip", "config.file", "config.labels", "config.attribute-map"),
    "test_correct_missing_keys": ("weights.missing",),
    "test_determinism": ("forward.deterministic",),
    "test_eager_matches_sdpa_inference": ("forward.eager-and-sdpa", "forward.eager-and-sdpa-padded"),
    "test_hidden_states_output": ("forward.hidden-states",),
    "test_inputs_embeds": ("forward.inputs-embeds",),
    "test_inputs_embeds_matches_input_ids": ("forward.inputs-embeds",),
    "test_load_save_without_tied_weights": ("weights.flipped-ties",),
    "test_model_outputs_equivalence": ("forward.return-dict",),
    "test_model_weights_reload_no_missing_tied_weights": ("weights.ties",),
    "test_save_load": ("weights.roundtrip", "weights.outputs"),
    "test_save_load_keys_to_ignore_on_save": ("weights.saved-keys",),
    "test_tied_weights_keys": ("weights.ties",),
}
"""What asks the same: a test of transformers' (all its parameters) → autoreg's checks."""

_TEST = """\
import copy, unittest
import torch
from pathlib import Path
from transformers import {classes}
from autoreg.conformance.subject import Subject
from autoreg.conformance.target import native_target
from tests.test_configuration_common import ConfigTester
from tests.test_modeling_common import ModelTesterMixin

SUBJECT = Subject(native_target({family!r}), {most}, scratch=Path("."))

class Tester:
    is_training = True
    batch_size, seq_length = SUBJECT.inputs()["input_ids"].shape
    key_length = encoder_seq_length = decoder_seq_length = seq_length

    def __init__(self):
        config = SUBJECT.config()
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "num_labels"):
            setattr(self, name, getattr(config, name))

    def get_config(self):
        return SUBJECT.config()

    def prepare_config_and_inputs_for_common(self):
        return SUBJECT.config(), SUBJECT.inputs()

class ModelTest(ModelTesterMixin, unittest.TestCase):
    all_model_classes = ({classes},)
    has_attentions = True
    is_encoder_decoder = bool(getattr(SUBJECT.config(), "is_encoder_decoder", False))

    def setUp(self):
        self.model_tester = Tester()
"""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One run of one suite on one family.

    Attributes:
        seconds: by the name of the test or check, all classes together.
        failed: what did not pass.
        wall: seconds of the whole process.
    """

    seconds: Mapping[str, float]
    failed: tuple[str, ...]
    wall: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Medians over the rounds, in seconds a class.

    Attributes:
        family: the architecture.
        theirs, ours: what both sides ask.
        all_theirs, all_ours: everything that each side runs.
        wall_theirs, wall_ours: the whole process, all classes.
        tests, checks: how many were compared.
    """

    family: str
    theirs: float
    ours: float
    all_theirs: float
    all_ours: float
    wall_theirs: float
    wall_ours: float
    tests: int
    checks: int


def unpack(folder: Path) -> Path:
    """Download transformers' sdist of the installed version and return its folder, the stubs in place."""
    wanted = f"transformers=={installed_version('transformers')}"
    options = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--quiet", "--dest", str(folder))
    subprocess.run([sys.executable, "-m", "pip", "download", *options, wanted], check=True)
    with tarfile.open(next(folder.glob("transformers-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    root = next(path for path in folder.glob("transformers-*") if path.is_dir())
    for name, text in {
        "__init__.py": "",
        "exporters/__init__.py": "",
        "exporters/test_export.py": "class ExportTesterMixin: pass\n",
        "generation/__init__.py": "",
        "generation/test_utils.py": "class GenerationTesterMixin: pass\n",
        "utils/__init__.py": "",
        "utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
    }.items():
        file = root / "tests" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return root


def theirs(root: Path, family: str) -> Side:
    """Run transformers' tests on the family's classes."""
    classes = FAMILIES[family]
    # The last asks for the most (a padding token, as many ends in each row): what suits it suits the others.
    text = _TEST.format(family=family, classes=", ".join(classes), most=classes[-1])
    (root / "tests" / f"test_{family}.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        f"tests/test_{family}.py",
        "-q",
        "-W",
        "ignore",
        "-p",
        "no:cacheprovider",
    ]
    _, wall = _timed([*command, "--junitxml=result.xml"], root)
    seconds: dict[str, float] = {}
    failed = []
    for case in ElementTree.parse(root / "result.xml").iter("testcase"):
        name = re.sub(r"_\d\d_.*|_use_reentrant_.*", "", case.get("name", ""))
        if case.find("skipped") is None:
            seconds[name] = seconds.get(name, 0.0) + float(case.get("time", 0))
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.get("name", ""))
    return Side(seconds=seconds, failed=tuple(failed), wall=wall)


def ours(root: Path, family: str) -> Side:
    """Run the fast checks on the same classes, in one process at a time."""
    named = [part for name in FAMILIES[family] for part in ("--class", name)]
    command = [sys.executable, "-m", "autoreg", "check", "--native", family, *named, "--processes", "1", "--json", "-"]
    text, wall = _timed(command, root)
    report = json.loads(text)
    for facts in report["classes"]:
        if facts["problem"]:  # its checks would count as done in no time
            raise RuntimeError(f"{facts['name']} could not be derived: {facts['problem']}")
    seconds: dict[str, float] = {}
    failed = []
    for outcome in report["outcomes"]:
        if outcome["verdict"] != "not applicable":
            seconds[outcome["check"]] = seconds.get(outcome["check"], 0.0) + outcome["seconds"]
        if outcome["verdict"] in ("failed", "error", "vacuous"):
            failed.append(f"{outcome['check']}[{outcome['subject']}]")
    return Side(seconds=seconds, failed=tuple(failed), wall=wall)


def _timed(command: Sequence[str], folder: Path) -> tuple[str, float]:
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # 1: something failed, which is recorded
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.stdout, time.perf_counter() - start


def compare(family: str, rounds: Sequence[tuple[Side, Side]]) -> Comparison:
    """Return the medians over the rounds, in seconds a class."""
    count = len(FAMILIES[family])
    first_theirs, first_ours = rounds[0]
    tests = [name for name in BOTH if name in first_theirs.seconds]
    checks = sorted({check for name in tests for check in BOTH[name] if check in first_ours.seconds})
    return Comparison(
        family=family,
        theirs=median(sum(side.seconds.get(name, 0.0) for name in tests) for side, _ in rounds) / count,
        ours=median(sum(side.seconds.get(name, 0.0) for name in checks) for _, side in rounds) / count,
        all_theirs=median(sum(side.seconds.values()) for side, _ in rounds) / count,
        all_ours=median(sum(side.seconds.values()) for _, side in rounds) / count,
        wall_theirs=median(side.wall for side, _ in rounds),
        wall_ours=median(side.wall for _, side in rounds),
        tests=len(tests),
        checks=len(checks),
    )


def show(found: Sequence[Comparison], console: Console) -> None:
    """Print the table."""
    table = Table("classes of", "both ask", "transformers'", "autoreg's", "ratio", "everything", "whole process")
    for row in found:
        table.add_row(
            row.family,
            f"{row.tests} tests, {row.checks} checks",
            f"{row.theirs:.2f} s a class",
            f"{row.ours:.2f} s a class",
            f"{row.ours / row.theirs:.2f}",
            f"{row.all_theirs:.2f} and {row.all_ours:.2f} s a class",
            f"{row.wall_theirs:.1f} and {row.wall_ours:.1f} s",
        )
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suites", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs on each family")
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE")
    options = parser.parse_args(arguments)
    console = Console()
    found: list[Comparison] = []
    red: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="autoreg-bench-") as folder, console.status("") as status:
        root = unpack(Path(folder))
        for family in FAMILIES:
            rounds = []
            for number in range(options.rounds):
                status.update(f"{family}, round {number + 1} of {options.rounds}")
                rounds.append((theirs(root, family), ours(root, family)))
            found.append(compare(family, rounds))
            red[family] = [*rounds[0][0].failed, *rounds[0][1].failed]
    show(found, console)
    result = {"comparisons": [asdict(row) for row in found], "red": red}
    options.out.write_text(f"{json.dumps(result, indent=1)}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.hosts_real.record`: run the tests of hosts, slow ones too, and write what was seen as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "hosts.json"


def _case(element: ElementTree.Element) -> dict[str, object]:
    """Return one test: its name, how it ended, the host and what was seen."""
    properties: dict[str, str] = {each.attrib["name"]: each.attrib["value"] for each in element.iter("property")}
    ends = [each.tag for each in element if each.tag in ("failure", "error", "skipped")]
    file = element.attrib["classname"].rpartition(".")[2]
    return {
        "test": f"{file}.py::{element.attrib['name']}",
        "outcome": ends[0] if ends else "passed",
        "seconds": round(float(element.attrib["time"]), 1),
        **properties,
    }


def main() -> int:
    """Run the tests and write the record; the exit code is pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-o", "addopts=", "--import-mode=importlib", "-o", "junit_family=xunit1", f"--junitxml={report}"]
        options.append(f"--ignore={Path(__file__).with_name('test_programs.py')}")  # which reads the record
        done = subprocess.run([sys.executable, "-m", "pytest", *options, str(Path(__file__).parent)], check=False)
        cases = [_case(each) for each in ElementTree.parse(report).iter("testcase")]
    names = ("autoreg", "transformers", "torch")
    record = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in names},
        "tests": sorted(cases, key=lambda each: str(each["test"])),
    }
    RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())

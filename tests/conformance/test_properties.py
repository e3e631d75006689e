"""What the checks that draw configs tell beside their verdict."""

from __future__ import annotations

import re
from pathlib import Path

from autoreg.conformance.checks import standard
from autoreg.conformance.outcome import Outcome
from autoreg.conformance.worker import Job, Worker
from tests.conformance.twins import Twin, install, target_of

_LAST = "    tie_word_embeddings: bool = True\n"
_HEADS = '        """Heads divide the width, and groups divide the heads."""\n'

STUBBORN = Twin(
    name="properties-stubborn-fields",
    defect="One field has a type that says nothing, and of another the class takes one value only.",
    check="properties.config-roundtrip",
    message="",
    patches=(
        ("configuration.py", _LAST, f'{_LAST}    anything: object = None\n    fixed: str = "gelu"\n'),
        (
            "configuration.py",
            _HEADS,
            f'{_HEADS}        if self.fixed != "gelu":\n            raise ValueError("`fixed` is fixed")\n',
        ),
    ),
)


def test_fields_that_were_never_another_are_named(tmp_path: Path) -> None:
    """The notes say how many configs were valid, and warn of each field that never changed and why."""
    check = next(each for each in standard() if each.id == STUBBORN.check)
    with Worker(target_of(install(tmp_path, STUBBORN)), checks=standard()) as worker:
        found = worker.run(Job(check=check, subject=""))
    assert isinstance(found, Outcome)

    assert found.verdict == "passed", found.reason
    rate, *warnings = found.notes
    assert re.fullmatch(r"\d+ of \d+ configs were valid \(\d+ %\)", rate)
    assert warnings == [
        "warning: never exercised, since their types say too little (see `field_values`): anything",
        "warning: never exercised, since the class refused every value: fixed",
    ]

"""What transformers itself fails is excused only as long as it does."""

from __future__ import annotations

from functools import partial

import pytest
import transformers
from packaging.specifiers import SpecifierSet

from autoreg.conformance.checks import standard
from autoreg.conformance.outcome import Outcome
from autoreg.conformance.target import native_target
from autoreg.conformance.upstream import KNOWN, Upstream, excused
from autoreg.conformance.worker import Job, Worker

CHECKS = {check.id: check for check in standard()}


@pytest.mark.parametrize("entry", KNOWN, ids=lambda entry: f"{entry.check}-{entry.reference}")
def test_the_reference_fails_in_the_same_way(entry: Upstream) -> None:
    """transformers' own class fails the check with the words of the entry, in each version that it names."""
    assert SpecifierSet(entry.versions).contains(transformers.__version__, prereleases=True)
    reference = getattr(transformers, entry.reference)
    target = partial(native_target, reference.config_class.model_type)
    with Worker(target, checks=standard()) as worker:
        found = worker.run(Job(check=CHECKS[entry.check], subject=entry.reference))
    assert isinstance(found, Outcome)
    assert found.verdict == "failed"
    assert excused(found, transformers.__version__).verdict == "upstream"

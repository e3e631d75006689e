"""What a class can do is read from its attributes, its signature and one run of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from autoreg_convs2s.modeling_convs2s import ConvS2SModel
from autoreg_retnet.modeling_retnet import RetNetModel

from autoreg.conformance.derive import derive
from autoreg.conformance.subject import Subject
from autoreg.conformance.target import from_name


@pytest.mark.parametrize(("model_class", "attends"), [(ConvS2SModel, True), (RetNetModel, False)])
def test_attention_to_the_source_alone_counts(model_class: type, attends: bool, tmp_path: Path) -> None:
    """A decoder that attends to the source and not to itself returns attentions; one without attention does not."""
    target = from_name(model_class.config_class.model_type, native=False)
    derivation = derive(model_class, config_class=target.config_class, auto_classes=("AutoModel",))
    subject = Subject(target, model_class, scratch=tmp_path, seed=0, derivation=derivation)
    assert subject.can("attentions") is attends

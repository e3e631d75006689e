"""What the conformance suite reads off ConvS2S: a decoder that attends to the source and not to itself."""

from pathlib import Path

from autoreg.conformance.derive import derive
from autoreg.conformance.subject import Subject
from autoreg.conformance.target import from_name

from autoreg_convs2s import ConvS2SConfig, ConvS2SModel


def test_attention_to_the_source_alone_counts(tmp_path: Path) -> None:
    """Cross attentions alone make the capability `attentions`."""
    target = from_name("convs2s", native=False)
    derivation = derive(ConvS2SModel, config_class=ConvS2SConfig, auto_classes=("AutoModel",))
    subject = Subject(target, ConvS2SModel, scratch=tmp_path, seed=0, derivation=derivation)
    assert subject.can("attentions")

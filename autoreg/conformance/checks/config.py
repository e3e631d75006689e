"""Configs: what a config.json keeps, and what it does not."""

from __future__ import annotations

from autoreg.conformance.check import check
from autoreg.conformance.subject import Subject

__all__ = ["roundtrip"]


@check("config.roundtrip", level="loads", scope="architecture")
def roundtrip(subject: Subject) -> None:
    """A saved config loads as it was: every field, with its type.

    Hurts: a checkpoint loads with other sizes or switches than it was trained with, often without an error.

    Change: give each field an annotation in the class body and a type that JSON keeps: str keys, lists, no
    tuples or sets; set derived values in `__post_init__`.
    """
    config = subject.config()
    folder = subject.folder("config")
    config.save_pretrained(folder)
    loaded = subject.config_class.from_pretrained(folder)
    subject.same(
        loaded.to_dict(),
        config.to_dict(),
        what="A config that was saved and loaded differs from the original",
        compared="`from_pretrained(save_pretrained(config)).to_dict()` with `config.to_dict()`",
    )

"""What users do, for the cases to name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.trial.case import Act
from tests.trial.face import Face
from tests.trial.material import BERT, ZIGZAG, Place, write

__all__ = ["bert", "config_of", "edited", "load", "load_bert", "loading", "somebody_else", "zigzag"]

Make = Callable[[Place], Any]


def load(face: Face, place: Place) -> Any:
    """Load the checkpoint."""
    return face.load(place.folder)


def load_bert(face: Face, place: Place) -> Any:
    """Load the native checkpoint."""
    return face.load(place.folder, BERT.auto_class)


def loading(auto_class: str = "", **options: Any) -> Act:
    """Return what loads with these keywords; those that only autoreg knows are not given to transformers."""
    return lambda face, place: face.load(place.folder, auto_class or ZIGZAG.auto_class, **options)


def config_of(face: Face, place: Place) -> Any:
    """Load the config alone."""
    return face.load(place.folder, "AutoConfig")


def zigzag(place: Place) -> None:
    """Lay out the plugin's checkpoint, with nothing wrong."""
    write(place, ZIGZAG)


def bert(place: Place) -> None:
    """Lay out the native checkpoint, with nothing wrong."""
    write(place, BERT)


def edited(lay_out: Make = zigzag, **fields: Any) -> Make:
    """Return what lays a checkpoint out with other fields in its config; `...` takes one out."""

    def make(place: Place) -> None:
        lay_out(place)
        place.edit(**fields)

    return make


@contextmanager
def somebody_else() -> Iterator[None]:
    """Go on as a user who may not do everything, where this one may."""
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    yield
    if os.getuid() == 0:
        os.seteuid(0)
        os.setegid(0)

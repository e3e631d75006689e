"""The only room that touches transformers' mappings: install lazily, read back, undo.

transformers keeps what people register in plain dicts (`CONFIG_MAPPING._extra_content` and its like).
The bridge puts dicts in their place that answer `in` from the installed metadata and import a class on
`[]`. Everything that reads those mappings (AutoConfig, nested configs, pipelines, PEFT, hosts) then sees
plugins, and nobody pays for a plugin that is not looked up. Nothing here decides who owns a model type.

Depth: installing is free (it waits until transformers is imported); a look-up reaches the classes.
"""

from __future__ import annotations

from autoreg.bridge.fallback import register
from autoreg.bridge.install import Bridge
from autoreg.bridge.plugins import Plugins
from autoreg.bridge.questions import (
    HUB_OPTIONS,
    auto_class_named,
    classes_of,
    has_head,
    has_model_type,
    has_tokenizer_class,
    load_backbone,
    model_class,
    overridden_types,
    overriding_class,
    pin_revision,
    registered_by_user,
    registered_types,
    tokenizer_class_name,
)
from autoreg.bridge.tables import snapshot
from autoreg.bridge.weights import Observer, ties_of

__all__ = [
    "HUB_OPTIONS",
    "Bridge",
    "Observer",
    "Plugins",
    "auto_class_named",
    "classes_of",
    "has_head",
    "has_model_type",
    "has_tokenizer_class",
    "load_backbone",
    "model_class",
    "overridden_types",
    "overriding_class",
    "pin_revision",
    "register",
    "registered_by_user",
    "registered_types",
    "snapshot",
    "ties_of",
    "tokenizer_class_name",
]

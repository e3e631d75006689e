"""A config class as a tree of fields: what is declared, what it comes to, and how to make it again with changes."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

from autoreg.conformance.derive.inputs.facts import configs_in, read

__all__ = ["Leaf", "Template", "config_class_for", "default_config", "substitutes", "template_of"]

# What stands in where a composite config does not say what its parts are, by a word of the part's name.
_NATIVES = MappingProxyType(
    {
        "backbone": "resnet",
        "text": "bert",
        "vision": "vit",
        "image": "vit",
        "audio": "wav2vec2",
        "question": "bert",
        "generator": "bart",
        "encoder": "bert",
        "decoder": "bert",
    }
)
_DEMANDED = re.compile(r"(\w+) must be (\d+), got")
# Of the common ancestor: bookkeeping, or switches of what `forward` returns.
_NOT_SIZES = frozenset(inspect.signature(PreTrainedConfig.__init__).parameters) - {"is_encoder_decoder"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaf:
    """One field.

    Attributes:
        path: where it is, dotted.
        node: the path of the config that has it; empty for the outermost.
        name: its name there.
        declared: the default that the class states; None often means that it is computed from others.
        value: what it comes to.
    """

    path: str
    node: str
    name: str
    declared: Any
    value: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """A default config and those nested in it, from which changed ones are made.

    Attributes:
        config: the default config.
        given: what its maker passed to the class, where that is not the class's default.
        children: the nested ones by field name.
    """

    config: PreTrainedConfig
    given: Mapping[str, Any]
    children: Mapping[str, Template]

    def leaves(self, node: str = "") -> Iterator[Leaf]:
        """Yield every field of the tree that is no config, the outermost first."""
        defaults = _declared(type(self.config))
        for name, declared in defaults.items():
            if name in _NOT_SIZES or name in self.children:
                continue
            path = f"{node}.{name}" if node else name
            value = read(self.config, name)
            yield Leaf(path=path, node=node, name=name, declared=self.given.get(name, declared), value=value)
        for name, child in self.children.items():
            yield from child.leaves(f"{node}.{name}" if node else name)

    def make(self, changes: Mapping[str, Any], node: str = "") -> PreTrainedConfig:
        """Return a new config with these fields (by path) changed; raises whatever the class raises."""
        prefix = f"{node}." if node else ""
        arguments = dict(self.given)
        for path, value in changes.items():
            name = path.removeprefix(prefix)
            if path.startswith(prefix) and name.partition(".")[0] not in self.children:
                arguments[name] = value
        for name, child in self.children.items():
            arguments[name] = child.make(changes, f"{prefix}{name}")
        return _call(type(self.config), arguments, self.children)


def _call(cls: type[PreTrainedConfig], arguments: dict[str, Any], children: Mapping[str, Template]) -> PreTrainedConfig:
    try:
        return cls(**arguments)
    except (TypeError, AttributeError):
        # Older composite configs take their parts as dicts only.
        if not children:
            raise
        return cls(**{name: value.to_dict() if name in children else value for name, value in arguments.items()})


def template_of(config: PreTrainedConfig) -> Template:
    """Return the template that makes configs like this one."""
    children = {
        name: template_of(value) for name in _declared(type(config)) if (value := _nested(config, name)) is not None
    }
    return Template(config=config, given=_given(config, children), children=children)


def _nested(config: PreTrainedConfig, name: str) -> PreTrainedConfig | None:
    value = read(config, name)
    return value if isinstance(value, PreTrainedConfig) else None


def _declared(cls: type[PreTrainedConfig]) -> dict[str, Any]:
    """Return the fields and their defaults.

    The signature has them for the dataclasses of transformers 5 (through `__wrapped__`) and for classes
    with an `__init__` of their own alike.
    """
    found: dict[str, Any] = {}
    for parameter in inspect.signature(cls.__init__).parameters.values():
        if parameter.name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            # `_out_features` is how a backbone stores what it takes as `out_features`.
            found[parameter.name.lstrip("_")] = None if parameter.default is parameter.empty else parameter.default
    return found


def _given(config: PreTrainedConfig, children: Mapping[str, Template]) -> dict[str, Any]:
    """Return the fields in which a config differs from its class's default: its maker passed them."""
    names = [name for name in _declared(type(config)) if name not in _NOT_SIZES and name not in children]
    with contextlib.suppress(Exception):
        plain = type(config)()
        return {name: value for name in names if (value := read(config, name)) != read(plain, name)}
    return {name: value for name in names if (value := read(config, name)) is not None}


def config_class_for(model_class: Any, config_class: Any) -> Any:
    """Return the config class that the model class takes: some are for a part of a composite config only."""
    own = getattr(model_class, "config_class", None)
    if config_class is None or own is None:
        return own if config_class is None else config_class
    if issubclass(config_class, own) or not isinstance(own, type):
        return config_class
    with contextlib.suppress(Exception):
        if any(type(nested) is own for _, nested in configs_in(config_class())):
            return own
    return config_class


def default_config(config_class: Any) -> PreTrainedConfig:
    """Return a config with every default; its parts are small natives where the class does not say which."""
    try:
        plain: PreTrainedConfig = config_class()
    except Exception as error:
        parts = {name: part for name in _parts(config_class) if (part := _native(name)) is not None}
        for given in (parts, {name: part.to_dict() for name, part in parts.items()}) if parts else ():
            with contextlib.suppress(Exception):
                made: PreTrainedConfig = config_class(**given)
                return made
        demanded = _as_demanded(config_class, error)
        if demanded is not None:
            return demanded
        raise
    return plain


def _as_demanded(config_class: Any, error: Exception) -> PreTrainedConfig | None:
    """Return a config whose parts are as its class demands of them: `hidden_size must be 0, got 256`."""
    for part in _parts(config_class):
        given: dict[str, int] = {}
        latest = error
        while (missed := _DEMANDED.search(str(latest))) is not None and missed[1] not in given:
            given[missed[1]] = int(missed[2])
            try:
                made: PreTrainedConfig = config_class(**{part: given})
            except Exception as another:  # it may demand more than one thing
                latest = another
            else:
                return made
    return None


def _parts(config_class: Any) -> list[str]:
    """Return the names of the nested configs."""
    known = list(getattr(config_class, "sub_configs", None) or ())
    return known or [name for name in _declared(config_class) if name.endswith("config")]


def _native(name: str) -> PreTrainedConfig | None:
    word = next((word for word in _NATIVES if word in name), None)
    return CONFIG_MAPPING[_NATIVES[word]]() if word else None


def substitutes(template: Template) -> Iterator[Template]:
    """Yield the template with one nested config replaced by a native that can do the same, for want of a package."""
    for name, child in template.children.items():
        for other in substitutes(child):
            yield replace(template, children={**template.children, name: other})
        indices = read(child.config, "out_indices")
        native = _native(name)
        if indices is not None and "backbone" in name:
            made: Any = CONFIG_MAPPING["resnet"]
            native = made(out_indices=list(range(5 - min(len(indices), 4), 5)))
        if native is not None and type(native) is not type(child.config):
            yield replace(template, children={**template.children, name: template_of(native)})

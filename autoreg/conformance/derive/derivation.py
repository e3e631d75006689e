"""What a derivation is made of: the tiny config, what became of its fields, and the plan of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from autoreg.conformance.derive.inputs.draw import Draw, Sizes

__all__ = ["Derivation", "Field", "Input", "Recipe"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """What became of one field of the config: a row of `autoreg check --explain-subject`.

    Attributes:
        path: the field, `vision_config.hidden_size` for one of a nested config.
        default: what the config class sets.
        value: what the tiny config has.
        why: `shrunk: width`, `hint`, or what forbade it: `kept: the model does not build with 4 (ValueError: …)`.
    """

    path: str
    default: Any
    value: Any
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """One argument of `forward` that is passed.

    Attributes:
        name: the argument.
        kind: what it holds: `ids`, `mask`, `pixels`, `audio`, `series`, `values`, `boxes`, `index`, `labels`.
        batch_axis: the axis with a row for each example; None where there is none (flattened patches, grids).
        length_axis: the axis that the length of the text moves, if any.
        why: why it is passed.
    """

    name: str
    kind: str
    batch_axis: int | None = 0
    length_axis: int | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """An input and how it is made.

    Attributes:
        about: the input.
        make: from what is asked for (config, batch size, length, random numbers) to the value of the argument.
    """

    about: Input
    make: Callable[[Draw], Any]


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """A tiny config with which a model class runs, and inputs for it.

    Attributes:
        model_class: the class that was derived for.
        config: the tiny config; copy it before you change it.
        fields: what became of every field that is not at its default, or that could not be shrunk.
        inputs: the arguments that `make_inputs` returns.
        attempts: how many configs were tried.
    """

    model_class: type
    config: PreTrainedConfig
    fields: tuple[Field, ...]
    inputs: tuple[Input, ...]
    attempts: int
    recipes: tuple[Recipe, ...] = ()
    label_recipes: tuple[Recipe, ...] = ()
    sizes: Sizes | None = None
    input_hints: Callable[..., Mapping[str, Any]] | None = None

    def make_inputs(
        self, *, batch_size: int = 2, length: int | None = None, seed: int = 0, config: Any = None
    ) -> dict[str, Any]:
        """Return keyword arguments with which `forward` runs, the same for the same arguments.

        Args:
            batch_size: how many rows; they differ from one another.
            length: how many tokens of text, where the input has a `length_axis`; what was derived if None.
            seed: another seed gives other contents in the same shapes.
            config: a changed copy of the tiny config that the inputs must fit.
        """
        asked = self._draw(batch_size=batch_size, length=length, seed=seed, config=config)
        made = {recipe.about.name: recipe.make(asked) for recipe in self.recipes}
        if self.input_hints is not None:
            made.update(self.input_hints(asked.config, asked.batch_size, asked.length, seed))
        return made

    def make_labels(
        self, *, batch_size: int = 2, length: int | None = None, seed: int = 0, config: Any = None
    ) -> dict[str, Any]:
        """Return the further arguments that make `forward` return a loss; they fit `make_inputs` of the same arguments.

        Empty where none were found.
        """
        asked = self._draw(batch_size=batch_size, length=length, seed=seed, config=config)
        return {recipe.about.name: recipe.make(asked) for recipe in self.label_recipes}

    def _draw(self, *, batch_size: int, length: int | None, seed: int, config: Any) -> Draw:
        from autoreg.conformance.derive.inputs.draw import Draw, Sizes

        sizes = self.sizes or Sizes()
        return Draw(
            config=self.config if config is None else config,
            batch_size=batch_size,
            length=sizes.length if length is None else length,
            seed=seed,
            sizes=sizes,
        )

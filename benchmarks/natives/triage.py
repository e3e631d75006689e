"""What is known of the red cells: the defects of transformers behind them, and what is so by design."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["KNOWN", "Known", "explained"]

Kind: TypeAlias = Literal["defect", "design"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """One cause of red cells.

    Attributes:
        check: the id of the check, or several.
        pattern: what `"Class: reason | difference"` matches.
        kind: a `defect` of transformers, or so by `design` and right to say of an architecture all the same.
        why: what causes it, with the evidence.
    """

    check: str | tuple[str, ...]
    pattern: str
    kind: Kind
    why: str

    def explains(self, name: str, red: Mapping[str, Any]) -> bool:
        """Say whether this is the cause of a red cell."""
        checks = (self.check,) if isinstance(self.check, str) else self.check
        text = f"{name}: {red['reason']} | {red['difference']}"
        return red["check"] in checks and re.search(self.pattern, text, re.DOTALL) is not None


KNOWN: Sequence[Known] = (
    # --- configs ---
    Known(
        check=("config.default", "config.token-ids"),
        pattern=r"integer within the vocabulary|is not in the vocabulary",
        kind="defect",
        why="The config's own default ids of special tokens lie outside its default vocabulary.",
    ),
    Known(
        check="config.default",
        pattern=r"cannot be made without arguments",
        kind="defect",
        why="`Config()` raises: the default of a nested config, or of a validated field, is not valid.",
    ),
    Known(
        check="config.default",
        pattern=r"standardize_rope_params",
        kind="defect",
        why="The default config logs a warning about its own rope parameters.",
    ),
    Known(
        check="config.shared-defaults",
        pattern=r"share one object: `config\.\w+\.",
        kind="defect",
        why="`SubConfigSpec.create_subconfig` hands the lists of its own `init_kwargs` to every instance.",
    ),
    Known(
        check="config.kept",
        pattern=r"changes (the|its) config",
        kind="defect",
        why="The constructor writes into the config that the caller passed.",
    ),
    Known(
        check="config.copies",
        pattern=r"AmbiguousGlobalPerLayer",
        kind="defect",
        why="`==` reads an attribute that differs from layer to layer, and reading it raises.",
    ),
    Known(
        check="config.attribute-map",
        pattern=r"which the config has not",
        kind="defect",
        why="`attribute_map` names a field that does not exist.",
    ),
    Known(
        check="config.labels",
        pattern=r"`id2label` is wrong",
        kind="defect",
        why="`num_labels` is declared again as a field, and no longer sets the label tables.",
    ),
    Known(
        check="config.overrides",
        pattern=r"use_mambapy|use_flash",
        kind="design",
        why="The field is reset where the optional package is not installed.",
    ),
    Known(
        check="config.overrides",
        pattern=r"does not set `",
        kind="defect",
        why="The constructor's argument is overwritten, in `__post_init__` or by the parent.",
    ),
    Known(
        check=("config.roundtrip", "config.dictionary", "config.file", "config.nested", "properties.config-roundtrip"),
        pattern=r"__float__|audio_vocab_size|global_pool|tie_word_embeddings is in the first|dropout_rate",
        kind="defect",
        why="A value that `to_dict` writes is not read back: an infinity in a list, or a field of a nested config.",
    ),
    Known(
        check="config.nested",
        pattern=r"given as a config has other values",
        kind="design",
        why="The whole sets a size of its part from another part, whatever the part says.",
    ),
    # --- declarations ---
    Known(
        check="registration.module-names",
        pattern=r"_skip_keys_device_placement` names|_no_split_modules` names|_can_record_outputs` names",
        kind="defect",
        why="The table names a class, or an argument, that the architecture does not have.",
    ),
    Known(
        check=("registration.parallel-plans", "registration.weight-names"),
        pattern=r"matches no|is no module",
        kind="defect",
        why="The table names a module or a weight that the architecture does not have.",
    ),
    Known(
        check="registration.base-model-prefix",
        pattern=r"base_model_prefix` is",
        kind="defect",
        why="The prefix of the head is not that of the base model.",
    ),
    # --- weights ---
    Known(
        check="weights.requires-grad",
        pattern=r"constructor freezes is trained",
        kind="defect",
        why="Loading makes new parameters with `requires_grad=param.is_floating_point()` (`core_model_loading.py`):"
        " what `__init__` froze, such as sinusoidal positions, is trained.",
    ),
    Known(
        check=("weights.missing", "weights.base-into-head", "weights.partly-missing", "weights.initialised"),
        pattern=r"left uninitialised",
        kind="defect",
        why="`_init_weights` does not reach the tensor, so what `torch.empty` gave stays: parametrized weight norms,"
        " bare parameters beside the layers.",
    ),
    Known(
        check="weights.attributes",
        pattern=r"is an ordinary attribute",
        kind="defect",
        why="A tensor that the outputs depend on is no buffer: `.to(device)` leaves it behind.",
    ),
    Known(
        check="weights.meta-device",
        pattern=r"holds a parameter with memory",
        kind="defect",
        why="`torch.FloatTensor(n)` and `torch.Tensor(n)` ignore the device that the model is built on.",
    ),
    Known(
        check="weights.ignored-missing",
        pattern=r"_keys_to_ignore_on_load_missing` hides",
        kind="defect",
        why="A random weight is loaded without a word.",
    ),
    # --- forward ---
    Known(
        check=("forward.left-padding", "generation.left-padding"),
        pattern=r"padded on the left",
        kind="design",
        why="Positions are counted by column, and there is no `position_ids`: padding belongs on the right.",
    ),
    Known(
        check=("forward.mask", "forward.right-padding", "forward.left-padding", "forward.any-length"),
        pattern=r"^Rwkv",
        kind="defect",
        why="`attention_mask` is accepted and not used, and a batch of single tokens is taken for one text.",
    ),
    Known(
        check="forward.right-padding",
        pattern=r"^(Siglip|Canine|Siglip2)",
        kind="design",
        why="Trained with padding that is attended to; the last place is pooled.",
    ),
    Known(
        check=("forward.mask", "forward.right-padding"),
        pattern=r"^(ConvBert|Nystromformer|Yoso|MobileBert|Funnel)",
        kind="design",
        why="Convolutions, landmarks and pooled sequences mix neighbouring places before the mask applies.",
    ),
    Known(
        check=("forward.causal", "forward.prefix", "forward.mask", "forward.right-padding"),
        pattern=r"^(DiffusionGemma|XLNet)",
        kind="design",
        why="Registered as a causal language model and bidirectional by nature: diffusion, permutations.",
    ),
    Known(
        check="forward.eager-and-sdpa",
        pattern=r"cannot be built with `attn_implementation=\"sdpa\"`",
        kind="defect",
        why='`_supports_sdpa` is declared, and a part of the model refuses `attn_implementation="sdpa"`.',
    ),
    Known(
        check=("forward.mask", "forward.right-padding"),
        pattern=r"^(OwlViT|Owlv2|XCLIP|GroupViT|CLIPSeg|AltCLIP|ChineseCLIP)",
        kind="design",
        why="The text is pooled at its largest id, whatever the mask hides.",
    ),
    Known(
        check=("forward.hidden-states", "forward.attentions", "forward.any-batch"),
        pattern=r"image_hidden_states",
        kind="defect",
        why="`image_hidden_states` is the whole output of the vision model and no tensor.",
    ),
    Known(
        check="forward.deterministic",
        pattern=r"^Vilt.*aten::multinomial",
        kind="defect",
        why="`visual_embed` chooses the patches of smaller images by `multinomial`, in eval mode too.",
    ),
    Known(
        check="forward.attentions",
        pattern=r"are no weights",
        kind="design",
        why="What is returned as `attentions` are no softmax weights but the states of linear attention, or scores"
        " beside relative positions.",
    ),
    # --- training ---
    Known(
        check="training.num-items",
        pattern=r"num_items_in_batch` is ignored",
        kind="defect",
        why="`forward` takes `**kwargs`, which the Trainer reads as a promise to divide by `num_items_in_batch`"
        " (`trainer.py`), and returns a plain mean: with gradient accumulation the loss is a multiple of what it should"
        " be.",
    ),
    Known(
        check="training.loss",
        pattern=r"labels shifted by 0",
        kind="defect",
        why="Registered under AutoModelForCausalLM, and each logit is compared with the label at its own place.",
    ),
    Known(
        check="training.dropout",
        pattern=r"a rate of 0.5 is refused|^Mpt",
        kind="defect",
        why="The dropout fields are typed `int`, so that validation refuses every rate but 0 and 1.",
    ),
    Known(
        check="training.frozen-base",
        pattern=r"a leaf Variable that requires grad",
        kind="defect",
        why="The embeddings are changed in place, which LoRA with `enable_input_require_grads` does not survive.",
    ),
    Known(
        check=("training.bfloat16", "beyond.half-precision"),
        pattern=r"does not run|same dtype",
        kind="defect",
        why="A tensor that `forward` makes, or a part of the model, is float32 whatever the weights are.",
    ),
    Known(
        check="training.derivative",
        pattern=r"(Detr|Deimv2|DFine|Dino)",
        kind="design",
        why="The queries that the first stage selects are detached on purpose.",
    ),
    Known(
        check="training.derivative",
        pattern=r"^GroupViT",
        kind="design",
        why="Tokens are assigned to groups by a hard choice with the gradient of a soft one.",
    ),
    Known(
        check=("training.derivative", "training.gradients", "training.input-gradients", "training.finite"),
        pattern=r"^Reformer",
        kind="design",
        why="Reversible layers can be differentiated in train mode only, and there the length is fixed by the config.",
    ),
    # --- beyond ---
    Known(
        check=("beyond.offload", "beyond.linear-replaced"),
        pattern=r"left on disk|linear layers of eight bits",
        kind="defect",
        why="`forward` reads the weight of a submodule instead of calling it: hooks of accelerate and layers put in its"
        " place are passed over.",
    ),
    Known(
        check="beyond.pickling",
        pattern=r"install_output_capuring_hook",
        kind="defect",
        why="The hooks of `capture_outputs` are local functions, and stay on the model.",
    ),
    Known(
        check="generation.resize-saved",
        pattern=r"tie_word_embeddings=False",
        kind="defect",
        why="With ties off, resizing makes parameters one that were two; saving writes one, and loading draws or zeroes"
        " the other.",
    ),
    Known(
        check="generation.resize-untied",
        pattern=r"changes the outputs for the old tokens",
        kind="defect",
        why="With ties off, `resize_token_embeddings` puts the shared embeddings in the place of the encoder's own.",
    ),
)


def explained(name: str, red: Mapping[str, Any], known: Sequence[Known] = KNOWN) -> Known | None:
    """Return the first entry that explains the red cell."""
    return next((each for each in known if each.explains(name, red)), None)

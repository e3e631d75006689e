"""What the conformance suite is told of each architecture: which checks the classes of ibm-fms 1.13.1 fail, and why.

None is a defect of the declaration. Each is strict: where a new release mends one, the suite says so.
"""

from collections.abc import Mapping

from autoreg.conformance import Hints

_TWO_NAMES = (
    "ibm-fms: the base model keeps its embedding under two names and declares no tie, so `save_pretrained` refuses it"
)
_LIST = "ibm-fms: `_tied_weights_keys` is a list, as before transformers 5, so it can be neither saved nor tied"
_META = (
    "ibm-fms: its ties are found by comparing weights, which have no values on the meta device, where models are built"
)
_NOTHING = "ibm-fms: hidden states and attentions are asked for in vain: the fields stay empty"
_NO_CHECKPOINTING = "ibm-fms: `supports_gradient_checkpointing` is True, and no model of it can do it"
_NO_TUPLE = "ibm-fms: `return_dict=False` fails: the adapter reads its inner model's tuple as an object"
_NO_EMBEDS = "ibm-fms: `inputs_embeds` is in the signature and not used"
_ON_CPU = "ibm-fms: the positions are computed from a table on the CPU"
_OLD_CACHE = "ibm-fms: the adapter reads transformers' cache as the tuple of tensors that it once was"
_NO_GENERATION = (
    "ibm-fms: `generate` with its defaults fails: the adapter takes the maximum of a tensor that it was not given"
)
_EQUAL = "transformers: configs are compared by the fields in the class body, and these set theirs in `__init__`"
_EXPERTS = "ibm-fms: nothing initialises the experts of a model that is built from its config: it computes with garbage"
_UNWRITTEN = (
    "ibm-fms: `from_pretrained` leaves what a checkpoint lacks unwritten or at random, and hides it from the report"
)
_DROPPED = "ibm-fms: `state_dict` leaves out one of the two names of its embedding"
_ITEMS = "ibm-fms: the loss takes `**kwargs` and ignores `num_items_in_batch`"
_PIECES = "ibm-fms: a text that is passed in pieces with its cache has other logits than the whole"
_DEPRECATED = "ibm-fms: its default config sets `rope_scaling`, which transformers has deprecated"
_FIXED_TIES = "ibm-fms: ties are what the architecture says, whatever `tie_word_embeddings` is"
_MUTABLE = "ibm-fms: two default configs share one dictionary of rope parameters"
_NO_ALIAS = "ibm-fms: `attribute_map` maps `eos_token_id` to itself, and the config has no such field"
_LABELS = "ibm-fms: `num_labels` does not come through saving and loading"

_EXPECTED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    _TWO_NAMES: {
        "gpt_bigcode": (
            "beyond.device-map[HFAdaptedGPTBigCodeHeadless]",
            "beyond.half-precision[HFAdaptedGPTBigCodeHeadless]",
            "generation.config-roundtrip[HFAdaptedGPTBigCodeHeadless]",
            "weights.auto[HFAdaptedGPTBigCodeHeadless]",
            "weights.complete[HFAdaptedGPTBigCodeHeadless]",
            "weights.dtype[HFAdaptedGPTBigCodeHeadless]",
            "weights.flipped-ties[HFAdaptedGPTBigCodeHeadless]",
            "weights.outputs[HFAdaptedGPTBigCodeHeadless]",
            "weights.roundtrip[HFAdaptedGPTBigCodeHeadless]",
            "weights.saved-keys[HFAdaptedGPTBigCodeHeadless]",
            "weights.saving-twice[HFAdaptedGPTBigCodeHeadless]",
            "weights.sharded[HFAdaptedGPTBigCodeHeadless]",
        ),
        "gpt_oss": (
            "beyond.device-map[HFAdaptedGptOssHeadless]",
            "beyond.half-precision[HFAdaptedGptOssHeadless]",
            "generation.config-roundtrip[HFAdaptedGptOssHeadless]",
            "weights.auto[HFAdaptedGptOssHeadless]",
            "weights.complete[HFAdaptedGptOssHeadless]",
            "weights.dtype[HFAdaptedGptOssHeadless]",
            "weights.flipped-ties[HFAdaptedGptOssHeadless]",
            "weights.outputs[HFAdaptedGptOssHeadless]",
            "weights.roundtrip[HFAdaptedGptOssHeadless]",
            "weights.saved-keys[HFAdaptedGptOssHeadless]",
            "weights.saving-twice[HFAdaptedGptOssHeadless]",
            "weights.sharded[HFAdaptedGptOssHeadless]",
        ),
        "granite": (
            "beyond.device-map[HFAdaptedGraniteHeadless]",
            "beyond.half-precision[HFAdaptedGraniteHeadless]",
            "generation.config-roundtrip[HFAdaptedGraniteHeadless]",
            "weights.auto[HFAdaptedGraniteHeadless]",
            "weights.complete[HFAdaptedGraniteHeadless]",
            "weights.dtype[HFAdaptedGraniteHeadless]",
            "weights.flipped-ties[HFAdaptedGraniteHeadless]",
            "weights.outputs[HFAdaptedGraniteHeadless]",
            "weights.roundtrip[HFAdaptedGraniteHeadless]",
            "weights.saved-keys[HFAdaptedGraniteHeadless]",
            "weights.saving-twice[HFAdaptedGraniteHeadless]",
            "weights.sharded[HFAdaptedGraniteHeadless]",
        ),
        "llama": (
            "beyond.device-map[HFAdaptedLLaMAHeadless]",
            "beyond.half-precision[HFAdaptedLLaMAHeadless]",
            "generation.config-roundtrip[HFAdaptedLLaMAHeadless]",
            "weights.auto[HFAdaptedLLaMAHeadless]",
            "weights.complete[HFAdaptedLLaMAHeadless]",
            "weights.dtype[HFAdaptedLLaMAHeadless]",
            "weights.flipped-ties[HFAdaptedLLaMAHeadless]",
            "weights.outputs[HFAdaptedLLaMAHeadless]",
            "weights.roundtrip[HFAdaptedLLaMAHeadless]",
            "weights.saved-keys[HFAdaptedLLaMAHeadless]",
            "weights.saving-twice[HFAdaptedLLaMAHeadless]",
            "weights.sharded[HFAdaptedLLaMAHeadless]",
        ),
        "qwen3": (
            "beyond.device-map[HFAdaptedQwen3Headless]",
            "beyond.half-precision[HFAdaptedQwen3Headless]",
            "generation.config-roundtrip[HFAdaptedQwen3Headless]",
            "weights.auto[HFAdaptedQwen3Headless]",
            "weights.complete[HFAdaptedQwen3Headless]",
            "weights.dtype[HFAdaptedQwen3Headless]",
            "weights.flipped-ties[HFAdaptedQwen3Headless]",
            "weights.outputs[HFAdaptedQwen3Headless]",
            "weights.roundtrip[HFAdaptedQwen3Headless]",
            "weights.saved-keys[HFAdaptedQwen3Headless]",
            "weights.saving-twice[HFAdaptedQwen3Headless]",
            "weights.sharded[HFAdaptedQwen3Headless]",
        ),
        "roberta": (
            "beyond.device-map[HFAdaptedRoBERTaHeadless]",
            "beyond.half-precision[HFAdaptedRoBERTaHeadless]",
            "weights.auto[HFAdaptedRoBERTaHeadless]",
            "weights.complete[HFAdaptedRoBERTaHeadless]",
            "weights.dtype[HFAdaptedRoBERTaHeadless]",
            "weights.flipped-ties[HFAdaptedRoBERTaHeadless]",
            "weights.outputs[HFAdaptedRoBERTaHeadless]",
            "weights.roundtrip[HFAdaptedRoBERTaHeadless]",
            "weights.saved-keys[HFAdaptedRoBERTaHeadless]",
            "weights.saving-twice[HFAdaptedRoBERTaHeadless]",
            "weights.sharded[HFAdaptedRoBERTaHeadless]",
        ),
    },
    _LIST: {
        "gpt_oss": (
            "beyond.device-map[HFAdaptedGptOssForCausalLM]",
            "beyond.half-precision[HFAdaptedGptOssForCausalLM]",
            "generation.config-roundtrip[HFAdaptedGptOssForCausalLM]",
            "generation.resize-untied",
            "weights.auto[HFAdaptedGptOssForCausalLM]",
            "weights.complete[HFAdaptedGptOssForCausalLM]",
            "weights.dtype[HFAdaptedGptOssForCausalLM]",
            "weights.flipped-ties[HFAdaptedGptOssForCausalLM]",
            "weights.outputs[HFAdaptedGptOssForCausalLM]",
            "weights.roundtrip[HFAdaptedGptOssForCausalLM]",
            "weights.saved-keys[HFAdaptedGptOssForCausalLM]",
            "weights.saving-twice[HFAdaptedGptOssForCausalLM]",
            "weights.sharded[HFAdaptedGptOssForCausalLM]",
            "weights.ties[HFAdaptedGptOssForCausalLM]",
        ),
    },
    _META: {
        "granite": (
            "beyond.device-map[HFAdaptedGraniteForCausalLM]",
            "beyond.half-precision[HFAdaptedGraniteForCausalLM]",
            "generation.config-roundtrip[HFAdaptedGraniteForCausalLM]",
            "weights.auto[HFAdaptedGraniteForCausalLM]",
            "weights.complete[HFAdaptedGraniteForCausalLM]",
            "weights.dtype[HFAdaptedGraniteForCausalLM]",
            "weights.outputs[HFAdaptedGraniteForCausalLM]",
            "weights.roundtrip[HFAdaptedGraniteForCausalLM]",
            "weights.sharded[HFAdaptedGraniteForCausalLM]",
        ),
    },
    _NOTHING: {
        "gpt_bigcode gpt_oss granite llama mixtral qwen3 roberta": (
            "forward.attentions",
            "forward.hidden-states",
        ),
    },
    _NO_CHECKPOINTING: {
        "gpt_bigcode gpt_oss granite llama mixtral qwen3 roberta": ("training.checkpointing",),
    },
    _NO_TUPLE: {
        "gpt_bigcode gpt_oss granite llama mixtral qwen3 roberta": ("forward.return-dict",),
    },
    _NO_EMBEDS: {
        "gpt_bigcode gpt_oss granite llama mixtral qwen3 roberta": ("forward.inputs-embeds",),
    },
    _ON_CPU: {
        "gpt_oss granite llama mixtral qwen3": ("forward.device",),
    },
    _OLD_CACHE: {
        "gpt_bigcode": (
            "generation.cache",
            "generation.runs",
        ),
    },
    _NO_GENERATION: {
        "gpt_oss granite llama mixtral qwen3": ("generation.runs",),
    },
    _EQUAL: {
        "gpt_bigcode gpt_oss granite llama mixtral qwen3": ("config.copies",),
    },
    _EXPERTS: {
        "gpt_oss": (
            "beyond.deep-copy",
            "beyond.linear-replaced",
            "beyond.meta-device",
            "beyond.pickling",
            "forward.any-batch",
            "forward.any-length",
            "forward.causal",
            "forward.default-mask",
            "forward.left-padding",
            "forward.mask",
            "forward.prefix",
            "training.bfloat16",
            "training.finite",
            "training.gradients",
            "weights.initialised",
        ),
        "mixtral": (
            "beyond.deep-copy",
            "beyond.device-map",
            "beyond.linear-replaced",
            "beyond.meta-device",
            "beyond.pickling",
            "forward.any-batch",
            "forward.any-length",
            "forward.causal",
            "forward.default-mask",
            "forward.left-padding",
            "forward.mask",
            "forward.prefix",
            "training.bfloat16",
            "training.finite",
            "training.gradients",
            "weights.initialised",
            "weights.outputs",
        ),
    },
    _UNWRITTEN: {
        "gpt_bigcode": (
            "weights.ignored-missing[HFAdaptedGPTBigCodeForCausalLM]",
            "weights.missing[HFAdaptedGPTBigCodeForCausalLM]",
        ),
        "gpt_oss": ("weights.ignored-missing[HFAdaptedGptOssForCausalLM]",),
        "granite": (
            "weights.ignored-missing[HFAdaptedGraniteForCausalLM]",
            "weights.missing[HFAdaptedGraniteForCausalLM]",
        ),
        "mixtral": (
            "weights.ignored-missing",
            "weights.missing",
        ),
        "qwen3": (
            "weights.ignored-missing[HFAdaptedQwen3ForCausalLM]",
            "weights.missing[HFAdaptedQwen3ForCausalLM]",
        ),
    },
    _DROPPED: {
        "gpt_bigcode": ("weights.state-dict[HFAdaptedGPTBigCodeForCausalLM]",),
        "granite": ("weights.state-dict[HFAdaptedGraniteForCausalLM]",),
        "llama": ("weights.state-dict[HFAdaptedLLaMAForCausalLM]",),
        "qwen3": ("weights.state-dict[HFAdaptedQwen3ForCausalLM]",),
        "roberta": ("weights.state-dict[HFAdaptedRoBERTaForMaskedLM]",),
    },
    _ITEMS: {
        "gpt_bigcode granite llama qwen3 roberta": ("training.num-items",),
    },
    _PIECES: {
        "gpt_bigcode gpt_oss granite llama mixtral qwen3": ("generation.chunks",),
    },
    _DEPRECATED: {
        "gpt_oss llama qwen3": ("config.default",),
    },
    _FIXED_TIES: {
        "llama": ("weights.flipped-ties[HFAdaptedLLaMAForCausalLM]",),
        "mixtral": ("weights.flipped-ties",),
        "qwen3": ("weights.flipped-ties[HFAdaptedQwen3ForCausalLM]",),
    },
    _MUTABLE: {
        "llama qwen3": ("config.shared-defaults",),
    },
    _NO_ALIAS: {
        "gpt_oss": ("config.attribute-map",),
    },
    _LABELS: {
        "roberta": (
            "config.dictionary",
            "config.file",
            "config.labels",
            "config.roundtrip",
            "properties.config-roundtrip",
        ),
    },
}
"""By reason: for these architectures, the checks (of these classes) that fail."""


def _hints(name: str) -> Hints:
    """Return the hints of one architecture."""
    found = {
        check: reason
        for reason, architectures in _EXPECTED.items()
        for names, checks in architectures.items()
        for check in checks
        if name in names.split()
    }
    return Hints(expected_failures=found)


gpt_bigcode = _hints("gpt_bigcode")
gpt_oss = _hints("gpt_oss")
granite = _hints("granite")
llama = _hints("llama")
mixtral = _hints("mixtral")
qwen3 = _hints("qwen3")
roberta = _hints("roberta")

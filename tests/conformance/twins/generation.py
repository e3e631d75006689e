"""Broken twins: generation."""

from tests.conformance.twins import Twin

_LM = "TidyForCausalLM"
_CLASS = '    """Tidy with a language-model head."""\n'


def _method(text: str) -> tuple[str, str, str]:
    """Return the patch that gives the language model a further method."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in text.strip("\n").split("\n"))
    return ("modeling.py", _CLASS, f"{_CLASS}\n{lines}")


TWINS: tuple[Twin, ...] = (
    Twin(
        name="generation-no-mixin",
        defect="The language model does not inherit from `GenerationMixin`.",
        check="generation.mixin",
        on=_LM,
        message="does not inherit from `GenerationMixin`",
        patches=(
            (
                "modeling.py",
                "class TidyForCausalLM(TidyPreTrainedModel, GenerationMixin)",
                "class TidyForCausalLM(TidyPreTrainedModel)",
            ),
        ),
    ),
    Twin(
        name="generation-last-logits-only",
        defect="The logits are those of the last token, without an axis for the places.",
        check="generation.runs",
        on=_LM,
        message="`generate` fails",
        patches=(
            (
                "modeling.py",
                "self.lm_head(outputs.last_hidden_state[:, kept])",
                "self.lm_head(outputs.last_hidden_state[:, -1])",
            ),
        ),
    ),
    Twin(
        name="generation-one-layer-of-cache",
        defect="All layers write to the first layer of the cache.",
        check="generation.cache",
        on=_LM,
        message="other logits with the cache",
        patches=(
            (
                "modeling.py",
                "past_key_values.update(key, value, self.layer_idx)",
                "past_key_values.update(key, value, 0)",
            ),
        ),
    ),
    Twin(
        name="generation-cache-turned-twice",
        defect="The last token alone is written to the cache before it is rotated.",
        check="generation.cache",
        on=_LM,
        message="other logits with the cache",
        patches=(
            (
                "modeling.py",
                "        key = rotate(key, positions, self.config.rotation_base)\n",
                "        if key.shape[2] > 1:\n            key = rotate(key, positions, self.config.rotation_base)\n",
            ),
        ),
    ),
    Twin(
        name="generation-positions-from-zero",
        defect="Positions begin at zero for every piece of a text.",
        check="generation.chunks",
        on=_LM,
        message="A text passed in pieces",
        patches=(("modeling.py", "return past + torch.arange", "return torch.arange"),),
    ),
    Twin(
        name="generation-new-cache-for-every-prompt",
        defect="More than one token at once is taken for the beginning of a text.",
        check="generation.continued",
        on=_LM,
        message="Generating on from the returned",
        patches=(
            (
                "modeling.py",
                "        if output_hidden_states is None:\n",
                "        if past_key_values is not None and inputs_embeds.shape[1] > 1:\n"
                "            past_key_values = DynamicCache(config=self.config)\n"
                "        if output_hidden_states is None:\n",
            ),
        ),
    ),
    Twin(
        name="generation-mask-dropped",
        defect="`prepare_inputs_for_generation` does not pass the attention mask on.",
        check="generation.left-padding",
        on=_LM,
        message="padded on the left generates other logits",
        patches=(
            _method(
                """
def prepare_inputs_for_generation(self, input_ids, **kwargs):
    inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)
    return {name: value for name, value in inputs.items() if name != "attention_mask"}
"""
            ),
        ),
    ),
    Twin(
        name="generation-states-on-the-layer",
        defect="Keys and values are kept on the attention layer, where no beam search reorders them.",
        check="generation.beams",
        on=_LM,
        message="Beam search gives other scores with the cache than without",
        patches=(
            (
                "modeling.py",
                "            key, value = past_key_values.update(key, value, self.layer_idx)\n",
                "            fresh = past_key_values.get_seq_length(self.layer_idx) == 0\n"
                "            past_key_values.update(key, value, self.layer_idx)\n"
                "            if not fresh:\n"
                "                key, value = torch.cat([self.kept[0], key], 2), torch.cat([self.kept[1], value], 2)\n"
                "            self.kept = key, value\n",
            ),
        ),
    ),
    Twin(
        name="generation-notes-in-config",
        defect="`forward` notes the length of the text in the config.",
        check="generation.untouched",
        on=_LM,
        message="`generate` changes the config",
        patches=(
            (
                "modeling.py",
                "        if output_hidden_states is None:\n",
                "        self.config.seen_length = inputs_embeds.shape[1]\n        if output_hidden_states is None:\n",
            ),
        ),
    ),
    Twin(
        name="generation-counter-outlives-call",
        defect="The logits are turned by a counter that outlives the call.",
        check="generation.sampling",
        on=_LM,
        message="Sampling twice",
        patches=(
            (
                "modeling.py",
                "        loss = None\n        if labels is not None:\n"
                "            loss = self.loss_function(logits=logits, labels=labels, vocab",
                "        self.count = getattr(self, 'count', 0) + 1\n        logits = logits.roll(self.count, -1)\n"
                "        loss = None\n        if labels is not None:\n"
                "            loss = self.loss_function(logits=logits, labels=labels, vocab",
            ),
        ),
    ),
    Twin(
        name="generation-static-cache-unmasked",
        defect="The mask is cut to the length of the text, and the empty places of a static cache are dropped with it.",
        check="generation.static-cache",
        on=_LM,
        message='static cache|`cache_implementation="static"` fails',
        patches=(
            (
                "modeling.py",
                "        hidden_states = inputs_embeds * self.stream_scale",
                "        if past_key_values is not None and past_key_values.is_compileable:\n"
                "            causal_mask = None\n"
                "        hidden_states = inputs_embeds * self.stream_scale",
            ),
        ),
    ),
    Twin(
        name="generation-embeds-at-every-step",
        defect="`prepare_inputs_for_generation` takes the ids even where embeddings are given.",
        check="generation.inputs-embeds",
        on=_LM,
        message="`inputs_embeds`",
        patches=(
            _method(
                """
def prepare_inputs_for_generation(self, input_ids, inputs_embeds=None, **kwargs):
    if inputs_embeds is not None and not input_ids.shape[1]:
        input_ids = torch.zeros(inputs_embeds.shape[:2], dtype=torch.long, device=input_ids.device)
    return super().prepare_inputs_for_generation(input_ids, **kwargs)
"""
            ),
        ),
    ),
    Twin(
        name="generation-all-logits-kept",
        defect="`logits_to_keep` is accepted and not used.",
        check="generation.logits-to-keep",
        on=_LM,
        message="`logits_to_keep=1` is ignored",
        patches=(
            (
                "modeling.py",
                "slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep",
                "slice(None)",
            ),
        ),
    ),
    Twin(
        name="generation-first-logits-kept",
        defect="`logits_to_keep` keeps the first places.",
        check="generation.logits-to-keep",
        on=_LM,
        message="logits of other places",
        patches=(("modeling.py", "slice(-logits_to_keep, None)", "slice(None, logits_to_keep or None)"),),
    ),
    Twin(
        name="generation-config-not-saved",
        defect="`save_pretrained` cleans up after itself too well.",
        check="generation.config-roundtrip",
        on=_LM,
        message="`generation_config` is lost",
        patches=(
            _method(
                """
def save_pretrained(self, save_directory, **kwargs):
    super().save_pretrained(save_directory, **kwargs)
    import pathlib
    pathlib.Path(save_directory, "generation_config.json").unlink(missing_ok=True)
"""
            ),
        ),
    ),
    Twin(
        name="generation-logits-cut",
        defect="The logits are cut to the vocabulary of the day when the model was built.",
        check="generation.resize",
        on=_LM,
        message="the logits are not",
        patches=(
            (
                "modeling.py",
                "        self.vocab_size = config.vocab_size\n",
                "        self.vocab_size = config.vocab_size\n        self.classes = config.vocab_size\n",
            ),
            (
                "modeling.py",
                "self.lm_head(outputs.last_hidden_state[:, kept])",
                "self.lm_head(outputs.last_hidden_state[:, kept])[..., : self.classes]",
            ),
        ),
    ),
    Twin(
        name="generation-separate-bias",
        defect="The bias of the head is a parameter beside it, which nobody resizes.",
        check="generation.resize",
        on=_LM,
        message="after `resize_token_embeddings`",
        patches=(
            (
                "modeling.py",
                "        self.vocab_size = config.vocab_size\n",
                "        self.vocab_size = config.vocab_size\n"
                "        self.bias = nn.Parameter(torch.zeros(config.vocab_size))\n",
            ),
            (
                "modeling.py",
                "self.lm_head(outputs.last_hidden_state[:, kept])",
                "self.lm_head(outputs.last_hidden_state[:, kept]) + self.bias",
            ),
        ),
    ),
    Twin(
        name="generation-untied-head-not-resized",
        defect="`resize_token_embeddings` counts on the tie for the head.",
        check="generation.resize-untied",
        on=_LM,
        message="does not resize the weight of the head|the logits are not",
        patches=(
            _method(
                """
def resize_token_embeddings(self, new_num_tokens=None, *args, **kwargs):
    found = self.model.resize_token_embeddings(new_num_tokens, *args, **kwargs)
    self.config.vocab_size = new_num_tokens
    self.tie_weights()
    return found
"""
            ),
        ),
    ),
    Twin(
        name="generation-config-not-resized",
        defect="The config keeps the old size of the vocabulary.",
        check="generation.resize-saved",
        on=_LM,
        message="cannot be loaded|other tensors",
        patches=(
            _method(
                """
def resize_token_embeddings(self, *args, **kwargs):
    size = self.config.vocab_size
    found = super().resize_token_embeddings(*args, **kwargs)
    self.config.vocab_size = size
    return found
"""
            ),
        ),
    ),
)

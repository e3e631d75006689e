"""Broken twins: the forward pass."""

from tests.conformance.twins import Twin

_SEQUENCE = "TidyForSequenceClassification"

TWINS: tuple[Twin, ...] = (
    Twin(
        name="forward-dropout-in-eval",
        defect="The functional dropout of the attention is told to run in eval mode too.",
        check="forward.deterministic",
        on="TidyModel",
        message="two passes",
        patches=(
            ("modeling.py", "p=dropout, training=module.training)", "p=0.1, training=True)"),
            ("modeling.py", "    _supports_sdpa = True\n", ""),
        ),
    ),
    Twin(
        name="forward-noise-in-eval",
        defect="The embeddings are jittered, as in training, in eval mode too.",
        check="forward.deterministic",
        on="TidyModel",
        message="aten::rand",
        patches=(
            (
                "modeling.py",
                "inputs_embeds = self.embed_tokens(input_ids)",
                "inputs_embeds = self.embed_tokens(input_ids)\n"
                "            inputs_embeds = inputs_embeds + 0.01 * torch.randn_like(inputs_embeds)",
            ),
        ),
    ),
    Twin(
        name="forward-no-tuple",
        defect="`forward` lacks the decorator that makes a tuple of the output.",
        check="forward.return-dict",
        on="TidyModel",
        message="`return_dict=False` is ignored",
        patches=(
            (
                "modeling.py",
                "        self.gradient_checkpointing = False\n        self.post_init()\n\n    @can_return_tuple\n",
                "        self.gradient_checkpointing = False\n        self.post_init()\n\n",
            ),
        ),
    ),
    Twin(
        name="forward-bare-tuple",
        defect="The model returns a tuple, whatever is asked for.",
        check="forward.return-dict",
        on="TidyForSequenceClassification",
        message="returns tuple, not a `ModelOutput`",
        patches=(
            (
                "modeling.py",
                "        return SequenceClassifierOutputWithPast(\n            loss=loss,\n",
                "        return (\n",
            ),
            (
                "modeling.py",
                "pooled_logits=logits, config=self.config)\n        return (\n            logits=logits,\n"
                "            past_key_values=outputs.past_key_values,\n"
                "            hidden_states=outputs.hidden_states,\n"
                "            attentions=outputs.attentions,\n        )\n",
                "pooled_logits=logits, config=self.config)\n        return logits, outputs.past_key_values\n",
            ),
        ),
    ),
    Twin(
        name="forward-mask-counted-in-place",
        defect="Positions are counted in the memory of the attention mask that was passed.",
        check="forward.inputs-untouched",
        on="TidyModel",
        message="attention_mask",
        patches=(("modeling.py", "attention_mask.long().cumsum(-1) - 1", "attention_mask.cumsum_(-1) - 1"),),
    ),
    Twin(
        name="forward-module-in-class-body",
        defect="A layer is kept in a dict of the class, and so by all models of the process.",
        check="forward.instances",
        on="TidyModel",
        message="another model of the class",
        patches=(
            (
                "modeling.py",
                "        self.down_proj = nn.Linear(inner.intermediate_size, config.hidden_size)\n",
                "        self.down_proj = self.made.setdefault(\n"
                "            config.hidden_size, nn.Linear(inner.intermediate_size, config.hidden_size)\n        )\n",
            ),
            (
                "modeling.py",
                '    """Two linear maps with an activation between them."""\n',
                '    """Two linear maps with an activation between them."""\n\n    made = {}\n',
            ),
        ),
    ),
    Twin(
        name="forward-positions-of-first-call",
        defect="Positions are made for the first text and kept on the model.",
        check="forward.stateless",
        on="TidyModel",
        message="first called with other inputs|was called with before",
        patches=(
            (
                "modeling.py",
                "            position_ids = self._positions(inputs_embeds, attention_mask, past_key_values)\n",
                "            if not hasattr(self, 'places'):\n"
                "                self.places = self._positions(inputs_embeds, attention_mask, past_key_values)\n"
                "            position_ids = self.places[:, : inputs_embeds.shape[1]]\n",
            ),
        ),
    ),
    Twin(
        name="forward-running-average",
        defect="The stream is centred by an average over all that the model has seen.",
        check="forward.stateless",
        on="TidyModel",
        message="called with before",
        patches=(
            (
                "modeling.py",
                "        all_hidden_states, all_attentions = (hidden_states,), ()\n",
                "        self.mean = 0.9 * getattr(self, 'mean', 0.0) + 0.1 * hidden_states.mean().item()\n"
                "        hidden_states = hidden_states - self.mean\n"
                "        all_hidden_states, all_attentions = (hidden_states,), ()\n",
            ),
        ),
    ),
    Twin(
        name="forward-norm-over-batch",
        defect="The norm averages over the batch as well.",
        check="forward.rows-alone",
        on="TidyModel",
        message="other outputs alone",
        patches=(("modeling.py", ".pow(2).mean(-1, keepdim=True)", ".pow(2).mean((0, -1), keepdim=True)"),),
    ),
    Twin(
        name="forward-squeezed-batch",
        defect="`squeeze()` without an axis takes away a batch of one.",
        check="forward.any-batch",
        on=_SEQUENCE,
        message="batch of one row have other axes",
        patches=(
            (
                "modeling.py",
                "device=states.device), last])",
                "device=states.device), last]).squeeze()",
            ),
        ),
    ),
    Twin(
        name="forward-rows-mixed",
        defect="A skip connection reads the row before, by a roll along the wrong axis.",
        check="forward.rows-leak",
        on="TidyModel",
        message="order of the rows|influences another",
        patches=(
            (
                "modeling.py",
                "        hidden_states = self.norm(hidden_states)\n",
                "        hidden_states = self.norm(hidden_states + 0.1 * hidden_states.roll(1, 0))\n",
            ),
        ),
    ),
    Twin(
        name="forward-fixed-labels",
        defect="The classifier has two outputs, whatever `num_labels` says.",
        check="forward.logits-shape",
        on=_SEQUENCE,
        message="`config.num_labels` = 5",
        patches=(("modeling.py", "config.num_labels, bias=False)", "2, bias=False)"),),
    ),
    Twin(
        name="forward-arange-on-cpu",
        defect="The angles of the rotation are made without a device.",
        check="forward.device",
        on="TidyModel",
        message=r"made on the CPU.*modeling\.py",
        patches=(("modeling.py", "torch.arange(half, device=states.device, dtype", "torch.arange(half, dtype"),),
    ),
    Twin(
        name="forward-table-as-attribute",
        defect="A table is a plain attribute, which `model.to(device)` leaves where it is.",
        check="forward.device",
        on="TidyModel",
        message=r"made on the CPU.*modeling\.py",
        patches=(
            (
                "modeling.py",
                "        self.layers = nn.ModuleList(",
                "        self.gains = torch.ones(config.hidden_size)\n        self.layers = nn.ModuleList(",
            ),
            (
                "modeling.py",
                "self.norm(hidden_states)\n        return BaseModel",
                "self.norm(hidden_states) * self.gains\n        return BaseModel",
            ),
        ),
    ),
    Twin(
        name="forward-mask-ignored",
        defect="The attention mask is not passed on.",
        check="forward.mask",
        on="TidyModel",
        message="the mask is ignored",
        patches=(
            (
                "modeling.py",
                "            attention_mask=attention_mask,\n            past_key_values=past_key_values,\n"
                "            position_ids=None,\n",
                "            attention_mask=None,\n            past_key_values=past_key_values,\n"
                "            position_ids=None,\n",
            ),
        ),
    ),
    Twin(
        name="forward-default-mask-inverted",
        defect="Where no mask is passed, padding is taken for text and text for padding.",
        check="forward.default-mask",
        on=_SEQUENCE,
        message="Without an attention mask",
        patches=(
            ("modeling.py", "attention_mask = input_ids != self.config", "attention_mask = input_ids == self.config"),
        ),
    ),
    Twin(
        name="forward-pools-last-place",
        defect="The classifier reads the last place, padding or not.",
        check="forward.right-padding",
        on=_SEQUENCE,
        message="padded on the right",
        patches=(
            (
                "modeling.py",
                "last = (columns * attention_mask[:, -states.shape[1] :].to(columns)).argmax(-1)",
                "last = -1",
            ),
        ),
    ),
    Twin(
        name="forward-places-for-positions",
        defect="Learned positions are counted from the left edge of the batch.",
        check="forward.left-padding",
        on="TidyForCausalLM",
        message="padded on the left",
        patches=(
            (
                "modeling.py",
                "        self.layers = nn.ModuleList(",
                "        self.embed_positions = nn.Embedding(512, config.hidden_size)\n"
                "        self.layers = nn.ModuleList(",
            ),
            (
                "modeling.py",
                "        all_hidden_states, all_attentions = (hidden_states,), ()\n",
                "        past = past_key_values.get_seq_length() if past_key_values is not None else 0\n"
                "        places = past + torch.arange(hidden_states.shape[1], device=hidden_states.device)\n"
                "        hidden_states = hidden_states + 10 * self.embed_positions(places)\n"
                "        all_hidden_states, all_attentions = (hidden_states,), ()\n",
            ),
        ),
    ),
    Twin(
        name="forward-not-causal",
        defect="The attention does not say that it is causal, and without padding there is no mask to say it.",
        check="forward.causal",
        on="TidyForCausalLM",
        message="Future tokens leak",
        patches=(("modeling.py", "self.is_causal = True", "self.is_causal = False"),),
    ),
    Twin(
        name="forward-scaled-by-length",
        defect="Attention is scaled by the length of the text, not by the size of a head.",
        check="forward.prefix",
        on="TidyForCausalLM",
        message="beginning of a text",
        patches=(("modeling.py", "scaling=self.scaling,", "scaling=key.shape[-2] ** -0.5,"),),
    ),
    Twin(
        name="forward-embeds-not-scaled",
        defect="Embeddings are scaled where they are looked up, not where they are passed.",
        check="forward.inputs-embeds",
        on="TidyModel",
        message="`inputs_embeds` gives other outputs",
        patches=(
            (
                "modeling.py",
                "inputs_embeds = self.embed_tokens(input_ids)",
                "inputs_embeds = self.embed_tokens(input_ids) * self.stream_scale",
            ),
            ("modeling.py", "inputs_embeds * self.stream_scale.to(inputs_embeds)", "inputs_embeds"),
        ),
    ),
    Twin(
        name="forward-eager-unscaled",
        defect="Only one of the two ways to attend scales the scores.",
        check="forward.eager-and-sdpa",
        on="TidyModel",
        message="other outputs than",
        patches=(("modeling.py", "key.transpose(2, 3) * scaling", "key.transpose(2, 3)"),),
    ),
    Twin(
        name="forward-eager-mask-of-first-row",
        defect="The plain attention takes the mask of the first row for all.",
        check="forward.eager-and-sdpa-padded",
        on="TidyModel",
        message="With padding on the right",
        patches=(("modeling.py", "scores = scores + attention_mask", "scores = scores + attention_mask[:1]"),),
    ),
    Twin(
        name="forward-squeezed-length",
        defect="`squeeze(1)` takes away a text of one token.",
        check="forward.any-length",
        on="TidyModel",
        message="text of 1 tokens? fails|one place for each token",
        patches=(
            (
                "modeling.py",
                "self.norm(hidden_states)\n        return BaseModel",
                "self.norm(hidden_states.squeeze(1))\n        return BaseModel",
            ),
        ),
    ),
    Twin(
        name="forward-no-hidden-states",
        defect="The hidden states are collected and not returned.",
        check="forward.hidden-states",
        on="TidyModel",
        message="`output_hidden_states=True` is ignored",
        patches=(
            ("modeling.py", "(*all_hidden_states[:-1], hidden_states) if output_hidden_states else None", "None"),
        ),
    ),
    Twin(
        name="forward-one-hidden-state-more",
        defect="The normed states come as one more layer.",
        check="forward.hidden-states",
        on="TidyModel",
        message="`config.num_hidden_layers`",
        patches=(("modeling.py", "(*all_hidden_states[:-1], hidden_states)", "(*all_hidden_states, hidden_states)"),),
    ),
    Twin(
        name="forward-hidden-states-by-argument-only",
        defect="`config.output_hidden_states` is not read.",
        check="forward.hidden-states",
        on="TidyModel",
        message="`config.output_hidden_states = True`",
        patches=(
            ("modeling.py", "output_hidden_states = self.config.output_hidden_states", "output_hidden_states = False"),
        ),
    ),
    Twin(
        name="forward-no-attentions",
        defect="The attentions are collected and not returned.",
        check="forward.attentions",
        on="TidyModel",
        message="`output_attentions=True` is ignored",
        patches=(("modeling.py", "all_attentions if output_attentions else None", "None"),),
    ),
    Twin(
        name="forward-scores-for-attentions",
        defect="The scores are returned in place of the weights.",
        check="forward.attentions",
        on="TidyModel",
        message="are no weights",
        patches=(("modeling.py", ".transpose(1, 2), weights\n", ".transpose(1, 2), scores\n"),),
    ),
)

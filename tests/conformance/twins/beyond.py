"""Broken twins: beyond one float32 model in one process."""

from tests.conformance.twins import Twin

_EXPORT = "if inputs_embeds is None:\n            inputs_embeds = self.embed_tokens(input_ids)\n"

TWINS: tuple[Twin, ...] = (
    Twin(
        name="beyond-lambda-on-the-model",
        defect="The activation is a lambda that a module keeps.",
        check="beyond.pickling",
        on="TidyModel",
        message="A TidyModel does not pickle: .*lambda",
        patches=(
            (
                "modeling.py",
                "self.act_fn = ACT2FN[inner.hidden_act]",
                "self.act_fn = lambda states: nn.functional.silu(states)",
            ),
        ),
    ),
    Twin(
        name="beyond-output-class-in-a-function",
        defect="The class of the outputs is made inside of `forward`.",
        check="beyond.pickling",
        on="TidyForSequenceClassification",
        message="What TidyForSequenceClassification returns .*does not pickle",
        patches=(
            (
                "modeling.py",
                "        return SequenceClassifierOutputWithPast(\n",
                "        class TidyOutput(SequenceClassifierOutputWithPast):\n"
                "            pass\n"
                "\n"
                "        return TidyOutput(\n",
            ),
        ),
    ),
    Twin(
        name="beyond-copy-shares-weights",
        defect="A module keeps a lambda that has captured its original, which a deep copy keeps too.",
        check="beyond.deep-copy",
        on="TidyModel",
        message="changes when the weights of its original do",
        patches=(
            (
                "modeling.py",
                "        self.dropout = nn.Dropout(inner.dropout)\n",
                "        self.dropout = nn.Dropout(inner.dropout)\n"
                "        self.down = lambda states: self.down_proj(states)\n",
            ),
            ("modeling.py", "self.dropout(self.down_proj(self.act_fn", "self.dropout(self.down(self.act_fn"),
        ),
    ),
    Twin(
        name="beyond-half-mask-overflows",
        defect="Masked places get -1e9, which float16 cannot hold.",
        check="beyond.half-precision",
        on="TidyModel",
        message="does not run in torch.float16: (?s:.*)modeling.py",
        patches=(
            (
                "modeling.py",
                "        scores = scores + attention_mask\n",
                "        scores = scores.masked_fill(attention_mask != 0, -1e9)\n",
            ),
            ("modeling.py", "    _supports_sdpa = True\n", ""),
        ),
    ),
    Twin(
        name="beyond-half-hard-coded-float32",
        defect="The norm returns float32 whatever it is given.",
        check="beyond.half-precision",
        on="TidyModel",
        message="does not run in torch.bfloat16: .*(?s:.*)modeling.py",
        patches=(
            ("modeling.py", "torch.rsqrt(variance + self.eps)).to(states.dtype)", "torch.rsqrt(variance + self.eps))"),
        ),
    ),
    Twin(
        name="beyond-half-other-path",
        defect="The path for half precision forgets the residual scale.",
        check="beyond.half-precision",
        on="TidyForCausalLM",
        message="is not what it is in float32",
        patches=(
            (
                "modeling.py",
                "        hidden_states = hidden_states + self.scale * mixed\n",
                "        scale = self.scale if mixed.dtype == torch.float32 else 10.0\n"
                "        hidden_states = hidden_states + scale * mixed\n",
            ),
        ),
    ),
    Twin(
        name="beyond-half-not-finite",
        defect="The norm squares in the dtype of the states, which overflows in float16.",
        check="beyond.half-precision",
        on="TidyModel",
        message="not finite|is not what it is in float32",
        patches=(
            (
                "modeling.py",
                "variance = states.float().pow(2).mean(-1, keepdim=True)",
                "variance = (states * 1e3).pow(2).mean(-1, keepdim=True).float() / 1e6",
            ),
        ),
    ),
    Twin(
        name="beyond-forward-called-directly",
        defect="The layer calls the `forward` of its attention.",
        check="beyond.submodules-called",
        on="TidyModel",
        message=r"calls `forward` of layers.0.attention instead(?s:.*)modeling.py:\d+",
        patches=(
            (
                "modeling.py",
                "self.attention(self.attention_norm(hidden_states)",
                "self.attention.forward(self.attention_norm(hidden_states)",
            ),
        ),
    ),
    Twin(
        name="beyond-states-on-the-model",
        defect="The model keeps the embeddings of a call on itself until the end of the call.",
        check="beyond.threads",
        on="TidyModel",
        message="another thread",
        patches=(
            (
                "modeling.py",
                "        hidden_states = inputs_embeds * self.stream_scale",
                "        self.embedded = inputs_embeds\n        hidden_states = inputs_embeds * self.stream_scale",
            ),
            (
                "modeling.py",
                "        hidden_states = self.norm(hidden_states)\n",
                "        hidden_states = self.norm(hidden_states + self.embedded)\n",
            ),
        ),
    ),
    Twin(
        name="beyond-value-in-the-constructor",
        defect="The constructor asks a tensor for its value, which it lacks while a checkpoint is loaded.",
        check="beyond.device-map",
        on="TidyModel",
        message="does not load with `device_map=",
        patches=(
            (
                "modeling.py",
                "        self.gradient_checkpointing = False\n",
                "        self.gradient_checkpointing = False\n"
                "        self.spread = float(self.embed_tokens.weight.std())\n",
            ),
        ),
    ),
    Twin(
        name="beyond-weight-read-from-outside",
        defect="The attention reads the weight of its projection instead of calling it.",
        check="beyond.offload",
        on="TidyModel",
        message="left on disk",
        patches=(
            (
                "modeling.py",
                "return self.o_proj(states.flatten(2).contiguous()), weights",
                "return states.flatten(2) @ self.o_proj.weight.T, weights",
            ),
            ("modeling.py", '    _no_split_modules = ["TidyLayer"]\n', '    _no_split_modules = ["TidyNorm"]\n'),
        ),
    ),
    Twin(
        name="beyond-residual-divided",
        defect="The block with the residual connections is not among those that may not be split.",
        check="beyond.split",
        on="TidyModel",
        message="divided at `layers.*devices",
        patches=(
            ("modeling.py", '    _no_split_modules = ["TidyLayer"]\n', '    _no_split_modules = ["TidyAttention"]\n'),
        ),
    ),
    Twin(
        name="beyond-tensor-in-an-attribute",
        defect="A table is a plain attribute and no buffer.",
        check="beyond.meta-device",
        on="TidyModel",
        message=r"`to_empty` does not reach \(table\)",
        patches=(
            (
                "modeling.py",
                "        self.gradient_checkpointing = False\n",
                "        self.gradient_checkpointing = False\n        self.table = torch.ones(config.hidden_size)\n",
            ),
            (
                "modeling.py",
                "        hidden_states = inputs_embeds * self.stream_scale",
                "        hidden_states = inputs_embeds * self.table.to(inputs_embeds.device) * self.stream_scale",
            ),
        ),
    ),
    Twin(
        name="beyond-garbage-in-a-buffer",
        defect="A buffer that is not saved is filled by the constructor alone.",
        check="beyond.meta-device",
        on="TidyModel",
        message="built on the meta device",
        patches=(
            (
                "modeling.py",
                "        self.gradient_checkpointing = False\n",
                "        self.gradient_checkpointing = False\n"
                '        self.register_buffer("table", torch.ones(config.hidden_size), persistent=False)\n',
            ),
            (
                "modeling.py",
                "        hidden_states = inputs_embeds * self.stream_scale",
                "        hidden_states = inputs_embeds * self.table * self.stream_scale",
            ),
        ),
    ),
    Twin(
        name="beyond-branch-on-values",
        defect="`forward` decides by the values of the mask.",
        check="beyond.compile",
        on="TidyModel",
        message="fullgraph=True.* fails(?s:.*)modeling.py",
        patches=(
            (
                "modeling.py",
                _EXPORT.splitlines()[1] + "\n",
                _EXPORT.splitlines()[1]
                + (
                    "\n"
                    "        if attention_mask is not None and bool(attention_mask.float().mean() < 0.5):\n"
                    "            inputs_embeds = inputs_embeds * 2\n"
                ),
            ),
        ),
    ),
    Twin(
        name="beyond-counter-on-the-model",
        defect="`forward` counts its calls, and goes by the count.",
        check="beyond.compile",
        on="TidyModel",
        message="compiled anew for every call",
        patches=(
            (
                "modeling.py",
                "        self.gradient_checkpointing = False\n",
                "        self.gradient_checkpointing = False\n        self.calls = 0\n",
            ),
            (
                "modeling.py",
                _EXPORT.splitlines()[1] + "\n",
                _EXPORT.splitlines()[1]
                + (
                    "\n"
                    "        self.calls += 1\n"
                    "        inputs_embeds = inputs_embeds + (0.0 if self.calls % 1000 else 1.0)\n"
                ),
            ),
        ),
    ),
    Twin(
        name="beyond-export-item",
        defect="`forward` cuts the text to the longest row, whose length it reads from the mask.",
        check="beyond.export",
        on="TidyModel",
        message="`torch.export` of TidyModel fails(?s:.*)modeling.py",
        patches=(
            (
                "modeling.py",
                _EXPORT.splitlines()[1] + "\n",
                _EXPORT.splitlines()[1]
                + (
                    "\n"
                    "        if attention_mask is not None and int(attention_mask.sum(-1).max()) < 1:\n"
                    "            raise ValueError('an empty text')\n"
                ),
            ),
        ),
    ),
    Twin(
        name="beyond-heads-counted-whole",
        defect="The attention splits heads by their whole number, of which a process has only its share.",
        check="beyond.tensor-parallel",
        on="TidyForCausalLM",
        message="does not run on two processes by its tensor-parallel plan(?s:.*)modeling.py",
        patches=(
            (
                "modeling.py",
                "query = self.q_proj(hidden_states).view(shape)",
                "query = self.q_proj(hidden_states).view(*shape[:2], self.config.num_attention_heads, self.head_dim)",
            ),
        ),
    ),
    Twin(
        name="beyond-plan-never-sums",
        defect="The plan lacks the projection that sums what the processes have.",
        check="beyond.tensor-parallel",
        on="TidyModel",
        message="tensor-parallel plan",
        patches=(("configuration.py", '        "layers.*.feed_forward.up_proj": "colwise",\n', ""),),
    ),
    Twin(
        name="beyond-scalar-parameter",
        defect="A parameter has no dimension.",
        check="beyond.fsdp",
        on="TidyModel",
        message="does not train under FSDP2.*scalar|salar",
        patches=(
            (
                "modeling.py",
                "        self.scale = float(scales[layer_idx % len(scales)])\n",
                "        self.scale = nn.Parameter(torch.tensor(float(scales[layer_idx % len(scales)])))\n",
            ),
        ),
    ),
    Twin(
        name="beyond-weight-of-another-block",
        defect="The model reads a weight of its first layer, which FSDP has not gathered by then.",
        check="beyond.fsdp",
        on="TidyModel",
        message="does not train under FSDP2",
        patches=(
            (
                "modeling.py",
                "        hidden_states = inputs_embeds * self.stream_scale",
                "        inputs_embeds = inputs_embeds * self.layers[0].attention_norm.weight\n"
                "        hidden_states = inputs_embeds * self.stream_scale",
            ),
        ),
    ),
    Twin(
        name="beyond-own-state-dict",
        defect="`state_dict` is the model's own, and gathers two weights into one.",
        check="beyond.distributed-checkpoint",
        on="TidyModel",
        message="distributed checkpoint|torch.distributed.checkpoint",
        patches=(
            (
                "modeling.py",
                "    def _positions(self, inputs_embeds",
                "    def state_dict(self, *args, **kwargs):\n"
                "        found = super().state_dict(*args, **kwargs)\n"
                "        return {name.replace('norm.weight', 'norm.scale'): value for name, value in found.items()}\n"
                "\n"
                "    def _positions(self, inputs_embeds",
            ),
        ),
    ),
    Twin(
        name="beyond-dtype-of-a-weight",
        defect="The feed-forward casts its states to the dtype of a weight.",
        check="beyond.linear-replaced",
        on="TidyModel",
        message="linear layers of eight bits",
        patches=(
            (
                "modeling.py",
                "self.act_fn(self.up_proj(hidden_states))",
                "self.act_fn(self.up_proj(hidden_states)).to(self.down_proj.weight.dtype)",
            ),
        ),
    ),
    Twin(
        name="beyond-lora-not-seen",
        defect="Every linear layer is applied by way of its weight.",
        check="beyond.lora",
        on="TidyModel",
        message="has no influence on its outputs",
        patches=(
            (
                "modeling.py",
                "query = self.q_proj(hidden_states).view",
                "query = nn.functional.linear(hidden_states, self.q_proj.weight, self.q_proj.bias).view",
            ),
            (
                "modeling.py",
                "key = self.k_proj(hidden_states).view",
                "key = nn.functional.linear(hidden_states, self.k_proj.weight, self.k_proj.bias).view",
            ),
            (
                "modeling.py",
                "value = self.v_proj(hidden_states).view",
                "value = nn.functional.linear(hidden_states, self.v_proj.weight, self.v_proj.bias).view",
            ),
            (
                "modeling.py",
                "return self.o_proj(states.flatten(2).contiguous()), weights",
                "return nn.functional.linear(states.flatten(2), self.o_proj.weight), weights",
            ),
            (
                "modeling.py",
                "return self.dropout(self.down_proj(self.act_fn(self.up_proj(hidden_states))))",
                "inner = self.act_fn(nn.functional.linear(hidden_states, self.up_proj.weight, self.up_proj.bias))\n"
                "        return self.dropout(nn.functional.linear(inner, self.down_proj.weight, self.down_proj.bias))",
            ),
        ),
    ),
    Twin(
        name="beyond-loss-without-gradient",
        defect="The loss is detached from the weights.",
        check="beyond.trainer",
        on="TidyForSequenceClassification",
        message="The Trainer cannot train|changes no weight|loss",
        patches=(
            (
                "modeling.py",
                "pooled_logits=logits, config=self.config)\n",
                "pooled_logits=logits, config=self.config).detach()\n",
            ),
        ),
    ),
)

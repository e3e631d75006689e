"""Broken twins: training."""

from tests.conformance.twins import Twin

_LOSS = "loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)"

TWINS: tuple[Twin, ...] = (
    Twin(
        name="training-detached",
        defect="The head works on detached states.",
        check="training.gradients",
        on="TidyForCausalLM",
        message=r"no gradient reaches it\n.*model\.",
        patches=(
            (
                "modeling.py",
                "logits = self.lm_head(outputs.last_hidden_state[:, kept])",
                "logits = self.lm_head(outputs.last_hidden_state.detach()[:, kept])",
            ),
        ),
    ),
    Twin(
        name="training-unused-norm",
        defect="The last norm is made and not used.",
        check="training.gradients",
        on="TidyModel",
        message=r"neither by the loss nor by any output\n.*norm\.weight",
        patches=(("modeling.py", "        hidden_states = self.norm(hidden_states)\n", ""),),
    ),
    Twin(
        name="training-unused-layer",
        defect="The stack leaves out its last layer.",
        check="training.gradients",
        on="TidyModel",
        message=r"neither by the loss nor by any output\n.*layers\.",
        patches=(("modeling.py", "for layer in self.layers:", "for layer in self.layers[:-1]:"),),
    ),
    Twin(
        name="training-nan",
        defect="A dropout of its own divides by its mask.",
        check="training.finite",
        on="TidyModel",
        message="not finite",
        patches=(
            (
                "modeling.py",
                "return self.dropout(self.down_proj(self.act_fn(self.up_proj(hidden_states))))",
                "states = self.down_proj(self.act_fn(self.up_proj(hidden_states)))\n"
                "        return states / (torch.rand_like(states) > self.dropout.p) if self.training else states",
            ),
        ),
    ),
    Twin(
        name="training-noisy-evaluation",
        defect="The loss smooths the labels with noise, also in eval mode.",
        check="training.finite",
        on="TidyForCausalLM",
        message="loss of the same batch differs",
        patches=(("modeling.py", _LOSS, f"{_LOSS} * (1 + 0.01 * torch.rand(()))"),),
    ),
    Twin(
        name="training-detached-branch",
        defect="The attention reads detached states, so that only the feed-forward half is trained properly.",
        check="training.derivative",
        on="TidyModel",
        message="by something else than the gradient says",
        patches=(
            (
                "modeling.py",
                "hidden_states = hidden_states + self.scale * mixed",
                "hidden_states = hidden_states.detach() + self.scale * mixed",
            ),
        ),
    ),
    Twin(
        name="training-checkpointing-not-wired",
        defect="The layers are no `GradientCheckpointingLayer`, although checkpointing is declared.",
        check="training.checkpointing",
        on="TidyModel",
        message="nothing is computed again",
        patches=(("modeling.py", "class TidyLayer(GradientCheckpointingLayer):", "class TidyLayer(nn.Module):"),),
    ),
    Twin(
        name="training-checkpointing-refused",
        defect="No module has a switch for checkpointing, although it is declared.",
        check="training.checkpointing",
        on="TidyModel",
        message="turning it on fails",
        patches=(
            ("modeling.py", "class TidyLayer(GradientCheckpointingLayer):", "class TidyLayer(nn.Module):"),
            ("modeling.py", "        self.gradient_checkpointing = False\n", ""),
            ("modeling.py", " and not (self.gradient_checkpointing and self.training)", ""),
        ),
    ),
    Twin(
        name="training-detached-embeddings",
        defect="Embeddings that are passed in are copied without their gradient.",
        check="training.input-gradients",
        on="TidyModel",
        message="No gradient reaches `inputs_embeds`",
        patches=(
            (
                "modeling.py",
                "            inputs_embeds = self.embed_tokens(input_ids)\n",
                "            inputs_embeds = self.embed_tokens(input_ids)\n"
                "        else:\n            inputs_embeds = inputs_embeds.detach().clone()\n",
            ),
        ),
    ),
    Twin(
        name="training-embedding-not-called",
        defect="`forward` uses the weight of the embedding, not the module.",
        check="training.frozen-base",
        on="TidyModel",
        message="no output requires a gradient",
        patches=(
            (
                "modeling.py",
                "inputs_embeds = self.embed_tokens(input_ids)",
                "inputs_embeds = nn.functional.embedding(input_ids, self.embed_tokens.weight)",
            ),
        ),
    ),
    Twin(
        name="training-embeddings-in-place",
        defect="`forward` scales the embeddings in place.",
        check="training.frozen-base",
        on="TidyModel",
        message="the forward pass fails: RuntimeError: a leaf Variable",
        patches=(
            (
                "modeling.py",
                "hidden_states = inputs_embeds * self.stream_scale.to(inputs_embeds)",
                "inputs_embeds *= self.stream_scale.to(inputs_embeds)\n        hidden_states = inputs_embeds",
            ),
        ),
    ),
    Twin(
        name="training-shifted-twice",
        defect="The labels are shifted before the loss, which shifts them again.",
        check="training.loss",
        on="TidyForCausalLM",
        message="labels shifted by 2",
        patches=(
            (
                "modeling.py",
                _LOSS,
                f"labels = nn.functional.pad(labels[:, 1:], (0, 1), value=-100)\n            {_LOSS}",
            ),
        ),
    ),
    Twin(
        name="training-not-shifted",
        defect="The labels are not shifted at all.",
        check="training.loss",
        on="TidyForCausalLM",
        message="labels shifted by 0",
        patches=(("modeling.py", _LOSS, _LOSS.replace("labels=labels,", "labels=labels, shift_labels=labels,")),),
    ),
    Twin(
        name="training-ignored-labels-count",
        defect="Labels of -100 are clamped to a token before the loss.",
        check="training.ignored-labels",
        on="TidyForCausalLM",
        message="label of -100 counts",
        patches=(("modeling.py", _LOSS, _LOSS.replace("labels=labels,", "labels=labels.clamp(min=0),")),),
    ),
    Twin(
        name="training-num-items-ignored",
        defect="The keyword arguments are not passed on to the loss.",
        check="training.num-items",
        on="TidyForCausalLM",
        message="`num_items_in_batch` is ignored",
        patches=(("modeling.py", _LOSS, _LOSS.replace(", **kwargs)", ")")),),
    ),
    Twin(
        name="training-no-dropout",
        defect="`forward` puts the model into eval mode.",
        check="training.dropout",
        on="TidyModel",
        message="all passes in train mode are the same",
        patches=(
            (
                "modeling.py",
                "        if inputs_embeds is None:\n            inputs_embeds = self.embed",
                "        self.eval()\n        if inputs_embeds is None:\n            inputs_embeds = self.embed",
            ),
        ),
    ),
    Twin(
        name="training-norm-in-float32",
        defect="The norm returns float32 whatever it is given.",
        check="training.bfloat16",
        on="TidyModel",
        message="bfloat16 model does not run",
        patches=(
            (
                "modeling.py",
                "return self.weight * (states.float() * torch.rsqrt(variance + self.eps)).to(states.dtype)",
                "return self.weight.float() * (states.float() * torch.rsqrt(variance + self.eps))",
            ),
        ),
    ),
    Twin(
        name="training-squashed-logits",
        defect="The logits are squashed into a narrow range, so that no answer can be learned.",
        check="training.overfit",
        on="TidyForCausalLM",
        message="do not bring the loss down",
        patches=(
            (
                "modeling.py",
                "logits = self.lm_head(outputs.last_hidden_state[:, kept])",
                "logits = 0.1 * self.lm_head(outputs.last_hidden_state[:, kept]).tanh()",
            ),
        ),
    ),
)

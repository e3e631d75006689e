"""Broken twins: weights."""

from tests.conformance.twins import Twin

_SCALE = 'self.register_buffer("stream_scale", torch.tensor(config.hidden_size**0.5), persistent=True)'
_SCALE_INIT = """        elif isinstance(module, TidyModel):
            nn.init.constant_(module.stream_scale, module.config.hidden_size**0.5)
"""
_NORM_INIT = """        elif isinstance(module, TidyNorm):
            nn.init.ones_(module.weight)
"""
_NORM_WEIGHT = "self.weight = nn.Parameter(torch.ones(config.hidden_size))"
_COMMON = '    base_model_prefix = "model"\n'
_TIED = '    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}\n'
_HEAD = (
    "        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)\n        self.post_init()\n"
)
_SCORE = "        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)\n        self.post_init()\n"
_FORGETFUL_TIES = """
    def tie_weights(self, missing_keys=None, **options):
        super().tie_weights(missing_keys=missing_keys, **options)
        if missing_keys:
            self.score = self.score.to("meta")
"""
_CLASSIFIER = '    """Tidy with a classifier on the last real token."""\n'


def _method(text: str) -> tuple[tuple[str, str, str], ...]:
    """Give every Tidy model a method more."""
    return (("modeling.py", _COMMON, f"{_COMMON}\n{text}\n"),)


TWINS: tuple[Twin, ...] = (
    Twin(
        name="weights-constant-reinitialised",
        defect="`_init_weights` of the stack writes the last norm in place.",
        check="weights.roundtrip",
        on="TidyModel",
        message=r"saved and loaded differs.*\n.*norm\.weight",
        patches=(
            ("modeling.py", _SCALE, _SCALE.replace("persistent=True", "persistent=False")),
            ("modeling.py", _SCALE_INIT, _SCALE_INIT + "            module.norm.weight.data.fill_(1.0)\n"),
        ),
    ),
    Twin(
        name="weights-ignored-on-save",
        defect="The head is in `_keys_to_ignore_on_save`.",
        check="weights.complete",
        on="TidyForSequenceClassification",
        message=r"missing keys\n.*score\.weight",
        patches=(("modeling.py", _CLASSIFIER, _CLASSIFIER + '\n    _keys_to_ignore_on_save = ["score.weight"]\n'),),
    ),
    Twin(
        name="weights-ignored-on-save-and-load",
        defect="The head is in `_keys_to_ignore_on_save`, and the warning is silenced.",
        check="weights.complete",
        on="TidyForSequenceClassification",
        message=r"`_keys_to_ignore_on_save` keeps a tensor out.*\n.*score\.weight",
        patches=(
            (
                "modeling.py",
                _CLASSIFIER,
                _CLASSIFIER
                + '\n    _keys_to_ignore_on_save = ["score.weight"]\n'
                + '    _keys_to_ignore_on_load_missing = ["score.weight"]\n',
            ),
        ),
    ),
    Twin(
        name="weights-renamed-on-save",
        defect="`save_pretrained` writes the names of the paper's checkpoint.",
        check="weights.saved-keys",
        on="TidyModel",
        message="has a name that the model has not",
        patches=_method(
            """    def save_pretrained(self, *args, **kwargs):
        state = {key.replace("layers.", "blocks."): each for key, each in self.state_dict().items()}
        super().save_pretrained(*args, **{**kwargs, "state_dict": state})
"""
        ),
    ),
    Twin(
        name="weights-saved-without-architectures",
        defect="`save_pretrained` writes the config again, without the class.",
        check="weights.saved-keys",
        on="TidyModel",
        message="config.json does not name the class",
        patches=_method(
            """    def save_pretrained(self, folder, **kwargs):
        super().save_pretrained(folder, **kwargs)
        self.config.architectures = None
        self.config.save_pretrained(folder)
"""
        ),
    ),
    Twin(
        name="weights-state-dict-hook",
        defect="A state-dict hook drops the buffer that old checkpoints lack.",
        check="weights.state-dict",
        on="TidyModel",
        message=r"renames, adds or drops a tensor\n.*stream_scale \(not in the state\)",
        patches=(
            (
                "modeling.py",
                _SCALE,
                f"{_SCALE}\n"
                "        self.register_state_dict_post_hook("
                'lambda module, state, prefix, _: state.pop(f"{prefix}stream_scale", None) and None)',
            ),
        ),
    ),
    Twin(
        name="weights-buffer-of-garbage",
        defect="A non-persistent buffer is filled by `__init__` only.",
        check="weights.buffers",
        on="TidyModel",
        message=r"another value after loading\n.*stream_scale",
        patches=(
            ("modeling.py", _SCALE, _SCALE.replace("persistent=True", "persistent=False")),
            ("modeling.py", _SCALE_INIT, ""),
        ),
    ),
    Twin(
        name="weights-plain-tensor",
        defect="A tensor is an ordinary attribute.",
        check="weights.attributes",
        on="TidyModel",
        message="`stream_scale` of TidyModel is an ordinary attribute",
        patches=(
            ("modeling.py", _SCALE, "self.stream_scale = torch.tensor(config.hidden_size**0.5)"),
            ("modeling.py", _SCALE_INIT, ""),
        ),
    ),
    Twin(
        name="weights-parameters-in-a-list",
        defect="Parameters are kept in a list, where torch does not see them.",
        check="weights.attributes",
        on="TidyModel",
        message=r"hidden from its module\n.*gates",
        patches=(
            ("modeling.py", _SCALE, f"{_SCALE}\n        self.gates = [nn.Parameter(torch.ones(1))]"),
            ("modeling.py", "hidden_states = inputs_embeds * ", "hidden_states = self.gates[0] * inputs_embeds * "),
        ),
    ),
    Twin(
        name="weights-number-drawn",
        defect="A number that `forward` uses is drawn when the model is built.",
        check="weights.outputs",
        on="TidyModel",
        message="outputs of a model that was saved and loaded differ",
        patches=(
            ("modeling.py", "import torch\n", "import random\n\nimport torch\n"),
            ("modeling.py", "self.scale = float(scales[layer_idx % len(scales)])", "self.scale = 1 + random.random()"),
        ),
    ),
    Twin(
        name="weights-unsharded",
        defect="`save_pretrained` does not pass `max_shard_size` on.",
        check="weights.sharded",
        on="TidyModel",
        message="ignores `max_shard_size`",
        patches=_method(
            """    def save_pretrained(self, folder, max_shard_size=None, **kwargs):
        super().save_pretrained(folder, **kwargs)
"""
        ),
    ),
    Twin(
        name="weights-cast-by-saving",
        defect="`save_pretrained` halves the model itself.",
        check="weights.saving-twice",
        on="TidyModel",
        message="Saving a model changes it",
        patches=_method(
            """    def save_pretrained(self, *args, **kwargs):
        self.half()
        super().save_pretrained(*args, **kwargs)
"""
        ),
    ),
    Twin(
        name="weights-time-of-saving",
        defect="`save_pretrained` writes the time into the config.",
        check="weights.saving-twice",
        on="TidyModel",
        message="Saving one model twice writes different files",
        patches=(
            ("modeling.py", "import torch\n", "import time\n\nimport torch\n"),
            *_method(
                """    def save_pretrained(self, *args, **kwargs):
        self.config.saved_at = time.time_ns()
        super().save_pretrained(*args, **kwargs)
"""
            ),
        ),
    ),
    Twin(
        name="weights-undeclared-tie",
        defect="The head is tied by an assignment, and nothing declares it.",
        check="weights.ties",
        on="TidyForCausalLM",
        message="shares its memory with .* no `_tied_weights_keys` says so",
        patches=(
            ("modeling.py", _TIED, ""),
            ("modeling.py", _HEAD, _HEAD + "        self.lm_head.weight = self.model.embed_tokens.weight\n"),
        ),
    ),
    Twin(
        name="weights-mistyped-tie",
        defect="The tie names a parameter that is not there; by default nothing is tied.",
        check="weights.ties",
        on="TidyForCausalLM",
        message="With `tie_word_embeddings=True` the model cannot be built",
        patches=(
            ("configuration.py", "tie_word_embeddings: bool = True", "tie_word_embeddings: bool = False"),
            ("modeling.py", _TIED, _TIED.replace("embed_tokens", "embed_token")),
        ),
    ),
    Twin(
        name="weights-tie-without-a-field",
        defect="The config has no field `tie_word_embeddings`, so that the declared tie is none.",
        check="weights.ties",
        on="TidyForCausalLM",
        message="has no field `tie_word_embeddings`",
        patches=(("configuration.py", "    tie_word_embeddings: bool = True\n", ""),),
    ),
    Twin(
        name="weights-always-tied",
        defect="The head is tied whatever the config says.",
        check="weights.flipped-ties",
        on="TidyForCausalLM",
        message="`tie_word_embeddings=False` changes nothing",
        patches=(("modeling.py", _HEAD, _HEAD + "        self.lm_head.weight = self.model.embed_tokens.weight\n"),),
    ),
    Twin(
        name="weights-frozen-parameter",
        defect="A constant is a parameter that `__init__` freezes.",
        check="weights.requires-grad",
        on="TidyModel",
        message=r"trained after loading\n.*norm\.weight",
        patches=(
            (
                "modeling.py",
                "        self.norm = TidyNorm(config)\n",
                "        self.norm = TidyNorm(config)\n        self.norm.weight.requires_grad_(False)\n",
            ),
        ),
    ),
    Twin(
        name="weights-narrow-from-pretrained",
        defect="`from_pretrained` takes no arguments but the folder.",
        check="weights.auto",
        on="TidyModel",
        message="AutoModel.from_pretrained fails: TypeError",
        patches=_method(
            """    @classmethod
    def from_pretrained(cls, folder):
        return super().from_pretrained(folder)
"""
        ),
    ),
    Twin(
        name="weights-made-at-import",
        defect="A buffer holds what was computed when the module was imported.",
        check="weights.fresh-process",
        on="TidyModel",
        message=r"another process loads differs.*\n.*stream_scale",
        patches=(
            ("modeling.py", "import torch\n", "import time\n\nimport torch\n"),
            (
                "modeling.py",
                "def rotate(states",
                "MADE = time.time() % 1.0\n\n\ndef rotate(states",
            ),
            ("modeling.py", _SCALE, _SCALE.replace("persistent=True", "persistent=False")),
            ("modeling.py", _SCALE_INIT, _SCALE_INIT.replace("module.config.hidden_size**0.5", "MADE")),
        ),
    ),
    Twin(
        name="weights-random-width",
        defect="The width of a layer is drawn.",
        check="weights.structure",
        on="TidyModel",
        message="structure of the model depends on the random state",
        patches=(
            ("modeling.py", "import torch\n", "import random\n\nimport torch\n"),
            ("modeling.py", _SCALE, f"{_SCALE}\n        self.spare = nn.Linear(8, random.randint(8, 99999))"),
        ),
    ),
    Twin(
        name="weights-random-buffer",
        defect="A buffer that is not saved is drawn.",
        check="weights.structure",
        on="TidyModel",
        message="buffer that is not saved depends on the random state",
        patches=(
            ("modeling.py", _SCALE, _SCALE.replace("persistent=True", "persistent=False")),
            (
                "modeling.py",
                _SCALE_INIT,
                _SCALE_INIT.replace("module.config.hidden_size**0.5", "torch.rand(()).item()"),
            ),
        ),
    ),
    Twin(
        name="weights-made-on-first-use",
        defect="A parameter is made by the first forward pass.",
        check="weights.first-use",
        on="TidyModel",
        message=r"changes which tensors the model has.*\n.*gate",
        patches=(
            (
                "modeling.py",
                "        hidden_states = inputs_embeds * ",
                '        if not hasattr(self, "gate"):\n'
                "            self.gate = nn.Parameter(torch.ones(inputs_embeds.shape[-1]))\n"
                "        hidden_states = self.gate * inputs_embeds * ",
            ),
        ),
    ),
    Twin(
        name="weights-no-post-init",
        defect="The constructor does not call `post_init`.",
        check="weights.post-init",
        on="TidyForSequenceClassification",
        message=r"does not call `self.post_init\(\)`",
        patches=(("modeling.py", _SCORE, _SCORE.replace("        self.post_init()\n", "")),),
    ),
    Twin(
        name="weights-early-post-init",
        defect="The head is made after `post_init`.",
        check="weights.post-init",
        on="TidyForSequenceClassification",
        message=r"was not called for a module.*\n.*score",
        patches=(
            ("modeling.py", _SCORE, "        self.post_init()\n" + _SCORE.replace("        self.post_init()\n", "")),
        ),
    ),
    Twin(
        name="weights-uninitialised",
        defect="A parameter is made with `torch.empty`, and nothing fills it.",
        check="weights.initialised",
        on="TidyForSequenceClassification",
        message=r"memory that nobody wrote\n.*score_bias",
        patches=(
            (
                "modeling.py",
                _SCORE,
                f"        self.score_bias = nn.Parameter(torch.empty(config.num_labels))\n{_SCORE}",
            ),
        ),
    ),
    Twin(
        name="weights-initialised-in-init",
        defect="A parameter is filled by `__init__`, and not by `_init_weights`.",
        check="weights.missing",
        on="TidyModel",
        message=r"left uninitialised by `from_pretrained`\n.*norm\.weight",
        patches=(("modeling.py", _NORM_INIT, ""),),
    ),
    Twin(
        name="weights-left-on-meta",
        defect="`tie_weights` puts the head back on the meta device where a checkpoint lacks it.",
        check="weights.missing",
        on="TidyForSequenceClassification",
        message=r"left uninitialised by `from_pretrained`\n.*score\.weight",
        patches=(("modeling.py", _SCORE, f"{_SCORE}{_FORGETFUL_TIES}"),),
    ),
    Twin(
        name="weights-initialised-after-post-init",
        defect="The head gets a wider initialisation after `post_init`.",
        check="weights.missing",
        on="TidyForSequenceClassification",
        message=r"`score\.weight` is initialised in another way",
        patches=(("modeling.py", _SCORE, f"{_SCORE}        nn.init.normal_(self.score.weight, std=1.0)\n"),),
    ),
    Twin(
        name="weights-initialised-in-place",
        defect="`_init_weights` writes biases through `.data`.",
        check="weights.partly-missing",
        on="TidyModel",
        message=r"initialised again because its neighbour is missing\n.*bias",
        patches=(("modeling.py", "nn.init.zeros_(module.bias)", "module.bias.data.zero_()"),),
    ),
    Twin(
        name="weights-missing-head-hidden",
        defect="`_keys_to_ignore_on_load_missing` silences the warning of the new head.",
        check="weights.ignored-missing",
        on="TidyForSequenceClassification",
        message=r"hides a parameter that is drawn.*\n.*score\.weight",
        patches=(("modeling.py", _CLASSIFIER, _CLASSIFIER + '\n    _keys_to_ignore_on_load_missing = ["score"]\n'),),
    ),
    Twin(
        name="weights-wrong-prefix",
        defect="`base_model_prefix` names no attribute.",
        check="weights.base-prefix",
        on="TidyForCausalLM",
        message="`base_model_prefix` is 'tidy', and the base model is `model`",
        patches=(("modeling.py", _COMMON, _COMMON.replace('"model"', '"tidy"')),),
    ),
    Twin(
        name="weights-prefix-of-its-own",
        defect="One head keeps the base model under another name than the others.",
        check="weights.head-into-base",
        on="TidyForSequenceClassification",
        message="loaded into the base model",
        patches=(
            (
                "modeling.py",
                _CLASSIFIER,
                _CLASSIFIER
                + '\n    base_model_prefix = "transformer"\n\n'
                + "    @property\n    def model(self):\n        return self.transformer\n",
            ),
            (
                "modeling.py",
                f"        self.model = TidyModel(config)\n{_SCORE}",
                f"        self.transformer = TidyModel(config)\n{_SCORE}",
            ),
        ),
    ),
    Twin(
        name="weights-new-head-uninitialised",
        defect="The bias of the head is a bare parameter that `_init_weights` does not know.",
        check="weights.base-into-head",
        on="TidyForSequenceClassification",
        message=r"new head is left uninitialised\n.*score_bias",
        patches=(
            (
                "modeling.py",
                _SCORE,
                f"        self.score_bias = nn.Parameter(torch.zeros(config.num_labels))\n{_SCORE}",
            ),
            ("modeling.py", "device=states.device), last])\n", "device=states.device), last]) + self.score_bias\n"),
        ),
    ),
    Twin(
        name="weights-dtype-dropped",
        defect="`from_pretrained` swallows `dtype`.",
        check="weights.dtype",
        on="TidyModel",
        message=r"in another dtype than `dtype=torch\.float32`",
        patches=_method(
            """    @classmethod
    def from_pretrained(cls, *args, dtype=None, **kwargs):
        return super().from_pretrained(*args, **kwargs)
"""
        ),
    ),
    Twin(
        name="weights-device-in-init",
        defect="`__init__` makes a parameter on the CPU, whatever the device is.",
        check="weights.meta-device",
        on="TidyModel",
        message="holds a parameter with memory",
        patches=(("modeling.py", _NORM_WEIGHT, _NORM_WEIGHT.replace("size)", 'size, device="cpu")')),),
    ),
)

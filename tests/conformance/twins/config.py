"""Broken twins: config."""

from tests.conformance.twins import Twin

_POST_INIT = "        super().__post_init__(**kwargs)\n\n    def validate_architecture"


def _after(lines: str) -> tuple[tuple[str, str, str], ...]:
    """Return the patch that adds lines to the end of the outer config's `__post_init__`."""
    return (("configuration.py", _POST_INIT, _POST_INIT.replace("\n\n", f"\n{lines}\n", 1)),)


def _method(lines: str) -> tuple[tuple[str, str, str], ...]:
    """Return the patch that adds a method to the outer config."""
    mark = "    def validate_architecture(self):\n"
    return (("configuration.py", mark, f"{lines}\n{mark}"),)


TWINS: tuple[Twin, ...] = (
    Twin(
        name="config-default-warns",
        defect="The default config warns about its own defaults.",
        check="config.default",
        message="warns.*\n.*untied",
        patches=(
            (
                "configuration.py",
                "        super().__post_init__(**kwargs)\n",
                "        super().__post_init__(**kwargs)\n        if self.tie_word_embeddings:\n"
                "            logging.get_logger('transformers.tidy').warning('untied embeddings are better')\n",
            ),
            (
                "configuration.py",
                "from transformers import PreTrainedConfig\n",
                "from transformers import PreTrainedConfig\nfrom transformers.utils import logging\n",
            ),
        ),
    ),
    Twin(
        name="config-default-fails",
        defect="A field has no default.",
        check="config.default",
        message="cannot be made without arguments",
        patches=(("configuration.py", "    vocab_size: int = 259\n", "    vocab_size: int\n"),),
    ),
    Twin(
        name="config-field-not-serialised",
        defect="`to_dict` leaves out a field.",
        check="config.roundtrip",
        message="layer_scales",
        patches=_method(
            "    def to_dict(self):\n        values = super().to_dict()\n        values.pop('layer_scales', None)\n"
            "        return values\n"
        ),
    ),
    Twin(
        name="config-field-renamed",
        defect="A field is written under another name than the one it is read by.",
        check="config.roundtrip",
        message="norm_eps",
        patches=_method(
            "    def to_diff_dict(self):\n        values = super().to_diff_dict()\n"
            "        values['layer_norm_epsilon'] = values.pop('norm_eps', 1e-6)\n        return values\n"
        ),
    ),
    Twin(
        name="config-int-keys",
        defect="A dictionary has int keys, which JSON turns into strings.",
        check="config.types",
        message="head_names",
        patches=(
            (
                "configuration.py",
                "    head_names: dict[str, int] | None = None\n",
                "    head_names: dict[int, str] | dict[str, str] | None = None\n",
            ),
        ),
    ),
    Twin(
        name="config-dictionary-refused",
        defect="The constructor takes a nested config as config only, and `from_dict` alone makes it of a dictionary.",
        check="config.dictionary",
        message="cannot be made again|differs from the config",
        patches=(
            (
                "configuration.py",
                "        elif isinstance(self.feed_forward_config, dict):\n"
                "            self.feed_forward_config = TidyFeedForwardConfig(**self.feed_forward_config)\n",
                "        elif isinstance(self.feed_forward_config, dict):\n"
                "            raise TypeError('`feed_forward_config` must be a TidyFeedForwardConfig')\n",
            ),
            (
                "configuration.py",
                "    def validate_architecture(self):\n",
                "    @classmethod\n    def from_dict(cls, config_dict, **kwargs):\n"
                "        inner = config_dict.get('feed_forward_config')\n"
                "        if isinstance(inner, dict):\n"
                "            config_dict = {**config_dict, 'feed_forward_config': TidyFeedForwardConfig(**inner)}\n"
                "        return super().from_dict(config_dict, **kwargs)\n\n    def validate_architecture(self):\n",
            ),
        ),
    ),
    Twin(
        name="config-tuple",
        defect="A field is a tuple in the code and a list in the file.",
        check="config.types",
        message="layer_scales.*tuple",
        patches=(
            (
                "configuration.py",
                "    layer_scales: list[float] | None = None\n",
                "    layer_scales: 'tuple[float, ...]' = (1.0, 0.5)\n",
            ),
        ),
    ),
    Twin(
        name="config-set",
        defect="A field is a set.",
        check="config.types",
        message="skipped_layers.*JSON cannot write",
        patches=(
            *_after("        self.skipped_layers = set(self.skipped_layers or ())\n"),
            (
                "configuration.py",
                "    use_cache: bool = True\n",
                "    use_cache: bool = True\n    skipped_layers: list | set | None = None\n",
            ),
        ),
    ),
    Twin(
        name="config-nested-lost",
        defect="A nested config that is given as a dictionary stays one.",
        check="config.nested",
        message="feed_forward_config.*given as a dictionary",
        patches=(
            (
                "configuration.py",
                "        elif isinstance(self.feed_forward_config, dict):\n"
                "            self.feed_forward_config = TidyFeedForwardConfig(**self.feed_forward_config)\n",
                "",
            ),
        ),
    ),
    Twin(
        name="config-nested-default",
        defect="A nested config is replaced by the default one.",
        check="config.nested",
        message="feed_forward_config.*has other values",
        patches=(
            (
                "configuration.py",
                "        if self.feed_forward_config is None:\n",
                "        if not isinstance(self.feed_forward_config, dict):\n",
            ),
        ),
    ),
    Twin(
        name="config-shared-default",
        defect="All configs share one list.",
        check="config.shared-defaults",
        message="share one object: `config.layer_scales`",
        patches=(
            (
                "configuration.py",
                "        if self.feed_forward_config is None:\n",
                "        self.layer_scales = self.layer_scales or _SCALES\n"
                "        if self.feed_forward_config is None:\n",
            ),
            ("configuration.py", "\n\n@strict\nclass TidyConfig", "\n\n_SCALES = [1.0]\n\n\n@strict\nclass TidyConfig"),
        ),
    ),
    Twin(
        name="config-changed-by-building",
        defect="A layer writes its default into the config.",
        check="config.kept",
        on="TidyModel",
        message="Building TidyModel.*\n.*layer_scales",
        patches=(
            (
                "modeling.py",
                "        scales = config.layer_scales or [1.0]\n",
                "        config.layer_scales = scales = config.layer_scales or [1.0]\n",
            ),
        ),
    ),
    Twin(
        name="config-changed-by-running",
        defect="`forward` switches the config's cache off.",
        check="config.kept",
        on="TidyModel",
        message="Running TidyModel.*\n.*use_cache",
        patches=(
            (
                "modeling.py",
                "        if (input_ids is None) == (inputs_embeds is None):\n",
                "        self.config.use_cache = False\n        if (input_ids is None) == (inputs_embeds is None):\n",
            ),
        ),
    ),
    Twin(
        name="config-unknown-key-refused",
        defect="Fields that the class does not know are refused.",
        check="config.unknown-keys",
        message="refuses a field that it does not know",
        patches=(
            (
                "configuration.py",
                "        if self.feed_forward_config is None:\n",
                "        kwargs = {key: value for key, value in kwargs.items() if not key.startswith('_')}\n"
                "        unknown = [key for key in kwargs if not hasattr(type(self), key) and 'field' in key]\n"
                "        if unknown:\n            raise TypeError(f'unexpected {unknown}')\n"
                "        if self.feed_forward_config is None:\n",
            ),
        ),
    ),
    Twin(
        name="config-unknown-key-dropped",
        defect="Fields that the class does not know are dropped.",
        check="config.unknown-keys",
        message="is lost",
        patches=(
            (
                "configuration.py",
                "        super().__post_init__(**kwargs)\n",
                "        super().__post_init__(**{key: kwargs[key] for key in kwargs if hasattr(type(self), key)})\n",
            ),
        ),
    ),
    Twin(
        name="config-argument-ignored",
        defect="A field is computed although a value was given.",
        check="config.overrides",
        message="does not set `num_key_value_heads`",
        patches=_after("        self.num_key_value_heads = self.num_attention_heads // 2\n"),
    ),
    Twin(
        name="config-override-ignored",
        defect="`from_dict` drops keyword arguments.",
        check="config.overrides",
        message="from_pretrained.*does not set",
        patches=_method(
            "    @classmethod\n    def from_dict(cls, config_dict, **kwargs):\n"
            "        unused = kwargs.get('return_unused_kwargs', False)\n"
            "        return super().from_dict(config_dict, return_unused_kwargs=unused)\n"
        ),
    ),
    Twin(
        name="config-attribute-map-typo",
        defect="A second name stands for a field that does not exist.",
        check="config.attribute-map",
        message="'hidden_dim', which the config has not",
        patches=(("configuration.py", '{"d_model": "hidden_size"}', '{"d_model": "hidden_dim"}'),),
    ),
    Twin(
        name="config-not-picklable",
        defect="A config keeps a lock.",
        check="config.copies",
        message="cannot be copied|cannot be pickled",
        patches=_after("        import threading\n\n        self._lock = threading.Lock()\n"),
    ),
    Twin(
        name="config-labels-declared-again",
        defect="`num_labels` is declared as a field again, and no longer makes the labels.",
        check="config.labels",
        message="is wrong in a config made with",
        patches=(
            (
                "configuration.py",
                "    use_cache: bool = True\n",
                "    use_cache: bool = True\n    num_labels: int = 2\n",
            ),
        ),
    ),
    Twin(
        name="config-dated",
        defect="config.json says when it was written.",
        check="config.file",
        message="is written a second time",
        patches=_method(
            "    def to_dict(self):\n        import time\n\n"
            "        return {**super().to_dict(), 'saved_at': time.perf_counter()}\n"
        ),
    ),
    Twin(
        name="config-grows",
        defect="A derived value is derived again from itself on every load.",
        check="config.file",
        message="is loaded and written again",
        patches=_after("        self.vocab_size += 3\n"),
    ),
    Twin(
        name="config-token-id-outside",
        defect="The padding token is the row behind the last one.",
        check="config.token-ids",
        message="`pad_token_id` is not in the vocabulary",
        patches=(("configuration.py", "    pad_token_id: int | None = 258\n", "    pad_token_id: int | None = 259\n"),),
    ),
    Twin(
        name="properties-config-falsy-values",
        defect="`to_diff_dict` leaves out what is false or zero.",
        check="properties.config-roundtrip",
        message=r"TidyConfig\(\w+=.*\): ",
        patches=_method(
            "    def to_diff_dict(self):\n"
            "        return {name: value for name, value in super().to_diff_dict().items() if value}\n"
        ),
    ),
    Twin(
        name="properties-untied-head-not-saved",
        defect="The head is never saved, since it is tied by default.",
        check="properties.weights-roundtrip",
        on="TidyForCausalLM",
        message=r"tie_word_embeddings=False.*lm_head.weight",
        patches=(
            (
                "modeling.py",
                '    _tp_plan = {"lm_head": "colwise_gather_output"}\n',
                '    _tp_plan = {"lm_head": "colwise_gather_output"}\n'
                '    _keys_to_ignore_on_save = ["lm_head.weight"]\n',
            ),
        ),
    ),
)

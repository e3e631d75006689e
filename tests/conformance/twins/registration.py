"""Broken twins: registration."""

from tests.conformance.twins import Twin

_END = "    def validate_architecture(self):\n"
_BASE = '    _no_split_modules = ["TidyLayer"]\n'
_IMPORT = "from .configuration import TidyConfig\n"


def _at_import(lines: str) -> tuple[tuple[str, str, str], ...]:
    """Return the patch that runs lines when the modelling module is imported."""
    return (("modeling.py", _IMPORT, f"{_IMPORT}\n{lines}\n"),)


def _subclass(name: str, parent: str) -> str:
    """Return a module with a class of that name that does what its parent does."""
    return f"from .modeling import {parent}\n\n\nclass {name}({parent}):\n    pass\n"


def _table(lines: str) -> tuple[tuple[str, str, str], ...]:
    """Return the patch that adds lines to the common parent of the models."""
    return (("modeling.py", _BASE, f"{_BASE}{lines}"),)


TWINS: tuple[Twin, ...] = (
    Twin(
        name="registration-two-classes-of-one-name",
        defect="The classifier of another module has the name of the base model.",
        check="registration.class-names",
        message="Two of its classes are called 'TidyModel'",
        patches=(
            (
                "classifier.py",
                "",
                _subclass("TidyModel", "TidyForSequenceClassification"),
            ),
            ("plugin.py", "modeling:TidyForSequenceClassification", "classifier:TidyModel"),
        ),
    ),
    Twin(
        name="registration-name-of-another-plugin",
        defect="A class has the name of another installed plugin's.",
        check="registration.class-names",
        message="autoreg-retnet .* has a class 'RetNetForCausalLM' too",
        patches=(
            (
                "causal.py",
                "",
                _subclass("RetNetForCausalLM", "TidyForCausalLM"),
            ),
            ("plugin.py", "modeling:TidyForCausalLM", "causal:RetNetForCausalLM"),
        ),
    ),
    Twin(
        name="registration-name-of-transformers",
        defect="A class has the name of one of transformers' that is in no Auto table.",
        check="registration.class-names",
        message="transformers has a class 'LlamaPreTrainedModel' of its own",
        patches=(
            (
                "causal.py",
                "",
                _subclass("LlamaPreTrainedModel", "TidyForCausalLM"),
            ),
            ("plugin.py", "modeling:TidyForCausalLM", "causal:LlamaPreTrainedModel"),
        ),
    ),
    Twin(
        name="registration-model-type",
        defect="The config says another model type than the declaration.",
        check="registration.model-type",
        message="`TidyConfig.model_type` is 'tidy_v2'",
        patches=(("configuration.py", '    model_type = "tidy"\n', '    model_type = "tidy_v2"\n'),),
    ),
    Twin(
        name="registration-config-class-is-text",
        defect="The config class is annotated, and annotations are texts.",
        check="registration.config-class",
        on="TidyModel",
        message="the class, not its name, is needed",
        patches=(
            ("modeling.py", "\nimport torch\n", "\nfrom __future__ import annotations\n\nimport torch\n"),
            ("modeling.py", "    config_class = TidyConfig\n", "    config: TidyConfig\n"),
        ),
    ),
    Twin(
        name="registration-config-class-of-another",
        defect="The models name the nested config as theirs.",
        check="registration.config-class",
        on="TidyModel",
        message="is not the declared config class",
        patches=(
            ("modeling.py", "    config_class = TidyConfig\n", "    config_class = TidyFeedForwardConfig\n"),
            ("modeling.py", _IMPORT, "from .configuration import TidyFeedForwardConfig\n"),
        ),
    ),
    Twin(
        name="registration-import-sets-dtype",
        defect="Importing the models sets torch's default dtype.",
        check="registration.import-effects",
        message="changes torch's default dtype",
        patches=_at_import("torch.set_default_dtype(torch.float64)"),
    ),
    Twin(
        name="registration-import-sets-device",
        defect="Importing the models sets torch's default device.",
        check="registration.import-effects",
        message="changes torch's default device",
        patches=_at_import("torch.set_default_device('meta')"),
    ),
    Twin(
        name="registration-import-seeds",
        defect="Importing the models sets the seed.",
        check="registration.import-effects",
        message="changes the state of torch's random numbers",
        patches=_at_import("torch.manual_seed(42)"),
    ),
    Twin(
        name="registration-import-sets-environment",
        defect="Importing the models sets an environment variable.",
        check="registration.import-effects",
        message="changes the environment .*TOKENIZERS_PARALLELISM",
        patches=_at_import("import os\n\nos.environ['TOKENIZERS_PARALLELISM'] = 'tidy'"),
    ),
    Twin(
        name="registration-import-silences-warnings",
        defect="Importing the models silences all warnings.",
        check="registration.import-effects",
        message="the warnings that are switched off",
        patches=_at_import("import warnings\n\nwarnings.filterwarnings('ignore')"),
    ),
    Twin(
        name="registration-import-patches-transformers",
        defect="Importing the models replaces a method of transformers'.",
        check="registration.import-effects",
        message="methods of torch or transformers .*PreTrainedModel.tie_weights",
        patches=_at_import("PreTrainedModel.tie_weights = lambda self, *args, **kwargs: None"),
    ),
    Twin(
        name="registration-import-registers",
        defect="Importing the models registers another architecture.",
        check="registration.import-effects",
        message="registers others than the declared ones",
        patches=_at_import(
            "from transformers import AutoConfig\n\n\n"
            "class TidyDraftConfig(TidyConfig):\n    model_type = 'tidy_draft'\n\n\n"
            "AutoConfig.register('tidy_draft', TidyDraftConfig)"
        ),
    ),
    Twin(
        name="registration-heavy-declaration",
        defect="The package of the declaration imports the models.",
        check="registration.light-declaration",
        message="imports torch and transformers",
        patches=(("__init__.py", '"""A small', 'from .modeling import TidyModel\n\n"""A small'),),
    ),
    Twin(
        name="registration-auto-class-of-another",
        defect="An older class was registered under the config and wins.",
        check="registration.auto-classes",
        message="AutoModelForCausalLM.from_config` gives TidyForDrafts",
        patches=(
            (
                "modeling.py",
                "class TidyForSequenceClassification(TidyPreTrainedModel):\n",
                "class TidyForDrafts(TidyForCausalLM):\n    pass\n\n\n"
                "AutoModelForCausalLM.register(TidyConfig, TidyForDrafts)\n"
                "\n\nclass TidyForSequenceClassification(TidyPreTrainedModel):\n",
            ),
            (
                "modeling.py",
                "from transformers import GenerationMixin, PreTrainedModel\n",
                "from transformers import AutoModelForCausalLM, GenerationMixin, PreTrainedModel\n",
            ),
        ),
    ),
    Twin(
        name="registration-base-model-prefix",
        defect="`base_model_prefix` is no attribute of the models with a head.",
        check="registration.base-model-prefix",
        on="TidyForCausalLM",
        message="base_model_prefix` is 'tidy', and its base model is `model`",
        patches=(("modeling.py", '    base_model_prefix = "model"\n', '    base_model_prefix = "tidy"\n'),),
    ),
    Twin(
        name="registration-no-split-modules",
        defect="`_no_split_modules` names a class of former days.",
        check="registration.module-names",
        message="_no_split_modules` names 'TidyDecoderLayer'",
        patches=(("modeling.py", _BASE, '    _no_split_modules = ["TidyDecoderLayer"]\n'),),
    ),
    Twin(
        name="registration-recorded-outputs",
        defect="`_can_record_outputs` names a class that the models are not made of.",
        check="registration.module-names",
        message="_can_record_outputs\\['hidden_states'\\]` .*no module",
        patches=_table('    _can_record_outputs = {"hidden_states": nn.TransformerEncoderLayer}\n'),
    ),
    Twin(
        name="registration-skipped-keys",
        defect="`_skip_keys_device_placement` names an argument of former days.",
        check="registration.module-names",
        message="_skip_keys_device_placement` names 'past_key_value'",
        patches=(
            (
                "modeling.py",
                '    _skip_keys_device_placement = ["past_key_values"]\n',
                '    _skip_keys_device_placement = ["past_key_value"]\n',
            ),
        ),
    ),
    Twin(
        name="registration-tied-keys",
        defect="The tied weight has another name in the table.",
        check="registration.weight-names",
        message="_tied_weights_keys` has an entry 'model.embed_in.weight'",
        patches=(("modeling.py", '"model.embed_tokens.weight"}', '"model.embed_in.weight"}'),),
    ),
    Twin(
        name="registration-keep-in-fp32",
        defect="A name in `_keep_in_fp32_modules` is misspelt.",
        check="registration.weight-names",
        message="_keep_in_fp32_modules` has an entry 'layernorm'",
        patches=_table('    _keep_in_fp32_modules = ["layernorm"]\n'),
    ),
    Twin(
        name="registration-ignored-keys",
        defect="A pattern of keys that may be missing is one of former days.",
        check="registration.weight-names",
        message="_keys_to_ignore_on_load_missing` has an entry",
        patches=_table('    _keys_to_ignore_on_load_missing = [r"decoder.position_ids"]\n'),
    ),
    Twin(
        name="registration-tensor-parallel-plan",
        defect="An entry of the tensor-parallel plan has the name of another family's attention.",
        check="registration.parallel-plans",
        message="entry 'layers.\\*.self_attn.k_proj'",
        patches=(("configuration.py", '"layers.*.attention.k_proj"', '"layers.*.self_attn.k_proj"'),),
    ),
    Twin(
        name="registration-tensor-parallel-style",
        defect="An entry of the tensor-parallel plan has a style that does not exist.",
        check="registration.parallel-plans",
        message="is 'columnwise', which is no style",
        patches=(
            ("configuration.py", '"layers.*.attention.k_proj": "colwise"', '"layers.*.attention.k_proj": "columnwise"'),
        ),
    ),
    Twin(
        name="registration-hint-misspelt",
        defect="A hint switches off a capability that does not exist.",
        check="registration.hints",
        message="Hints.capabilities` names 'flash_attention_9'",
        patches=(
            (
                "conformance.py",
                "",
                "from autoreg.conformance.hints import Hints\n\n"
                'HINTS = Hints(capabilities={"flash_attention_9": False})\n',
            ),
            (
                "plugin.py",
                "        tokenizer=",
                '        conformance=f"{__package__}.conformance:HINTS",\n        tokenizer=',
            ),
        ),
    ),
)

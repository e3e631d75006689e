"""Broken twins: tokenizers, processors, feature extractors."""

from tests.conformance.twins import Twin

_INIT = """    def __init__(self, pad_token="<pad>", bos_token="<s>", eos_token="</s>", **kwargs):
        super().__init__(pad_token=pad_token, bos_token=bos_token, eos_token=eos_token, **kwargs)
"""

TWINS: tuple[Twin, ...] = (
    Twin(
        name="processing-tokenizer-forgets",
        defect="The tokenizer forgets the tokens that were added to it.",
        check="processing.roundtrip",
        message="tokenizer differs after saving and loading",
        patches=(
            (
                "tokenization.py",
                _INIT,
                _INIT.replace("        super()", "        kwargs.pop('added_tokens_decoder', None)\n        super()"),
            ),
        ),
    ),
    Twin(
        name="processing-tokenizer-setting-lost",
        defect="A setting of the tokenizer is not written.",
        check="processing.roundtrip",
        message="tokenizer differs after saving and loading",
        patches=(
            (
                "tokenization.py",
                _INIT,
                """    def __init__(self, pad_token="<pad>", bos_token="<s>", eos_token="</s>", lower=False, **kwargs):
        self.lower = lower
        super().__init__(pad_token=pad_token, bos_token=bos_token, eos_token=eos_token, **kwargs)
""",
            ),
        ),
    ),
    Twin(
        name="processing-feature-extractor-setting-lost",
        defect="A feature extractor drops a setting when it is written.",
        check="processing.roundtrip",
        message="feature extractor differs after saving and loading",
        patches=(
            (
                "extraction.py",
                "",
                "import time\n\n"
                "from transformers import SequenceFeatureExtractor\n\n\n"
                "class TidyFeatureExtractor(SequenceFeatureExtractor):\n"
                "    def __init__(self, feature_size=1, sampling_rate=8000, padding_value=0.0, seed=None, **kwargs):\n"
                "        super().__init__(feature_size, sampling_rate, padding_value, **kwargs)\n"
                "        self.seed = seed or time.perf_counter_ns()\n\n"
                "    def to_dict(self):\n"
                "        return {key: value for key, value in super().to_dict().items() if key != 'seed'}"
                " | {'hop': self.seed % 1000003}\n",
            ),
            (
                "plugin.py",
                "        tokenizer=",
                '        feature_extractor=f"{__package__}.extraction:TidyFeatureExtractor",\n        tokenizer=',
            ),
        ),
    ),
    Twin(
        name="processing-series-extractor-setting-lost",
        defect="A feature extractor of time series, which knows no sampling rate, drops what it scales by.",
        check="processing.roundtrip",
        message="feature extractor differs after saving and loading",
        patches=(
            (
                "extraction.py",
                "",
                "import time\n\n"
                "from transformers import SequenceFeatureExtractor\n\n\n"
                "class TidySeriesExtractor(SequenceFeatureExtractor):\n"
                "    def __init__(self, feature_size=1, sampling_rate=1, padding_value=0.0, scale=None, **kwargs):\n"
                "        super().__init__(feature_size, sampling_rate, padding_value, **kwargs)\n"
                "        self.scale = scale or time.perf_counter_ns()\n\n"
                "    def __call__(self, series):\n"
                "        return {'past_values': series * self.scale}\n\n"
                "    def to_dict(self):\n"
                "        return {key: value for key, value in super().to_dict().items() if key != 'scale'}\n",
            ),
            (
                "plugin.py",
                "        tokenizer=",
                '        feature_extractor=f"{__package__}.extraction:TidySeriesExtractor",\n        tokenizer=',
            ),
        ),
    ),
    Twin(
        name="processing-decoding",
        defect="Bytes are decoded one by one, which breaks letters of several bytes.",
        check="processing.decoding",
        message="decode to another text",
        patches=(
            (
                "tokenization.py",
                'bytes(map(ord, tokens)).decode("utf-8", errors="replace")',
                '"".join(bytes([ord(token)]).decode("utf-8", errors="replace") for token in tokens)',
            ),
        ),
    ),
    Twin(
        name="processing-vocabulary-too-small",
        defect="The config counts the bytes and forgets the special tokens.",
        check="processing.special-ids",
        message="has no room for",
        patches=(("configuration.py", "    vocab_size: int = 259\n", "    vocab_size: int = 256\n"),),
    ),
    Twin(
        name="processing-other-end-token",
        defect="The config's end token is the tokenizer's first.",
        check="processing.special-ids",
        message="`eos_token_id` is 256 in the default config and 258 in the tokenizer|`eos_token_id` is 256",
        patches=(
            (
                "configuration.py",
                "    eos_token_id: int | list[int] | None = 257\n",
                "    eos_token_id: int | list[int] | None = 256\n",
            ),
        ),
    ),
    Twin(
        name="processing-input-names",
        defect="The tokenizer makes token types, which the models do not take.",
        check="processing.input-names",
        message="'token_type_ids'",
        patches=(
            (
                "tokenization.py",
                '    model_input_names = ["input_ids", "attention_mask"]\n',
                '    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]\n',
            ),
        ),
    ),
    Twin(
        name="processing-padding-mask",
        defect="Padding is attended to.",
        check="processing.padding",
        message="padded on the right differs",
        patches=(
            (
                "tokenization.py",
                "    @property\n    def vocab_size(self):\n",
                "    def pad(self, *args, **kwargs):\n        batch = super().pad(*args, **kwargs)\n"
                "        if isinstance(batch['input_ids'][0], list):\n"
                "            batch['attention_mask'] = [[1] * len(ids) for ids in batch['input_ids']]\n"
                "        return batch\n\n    @property\n    def vocab_size(self):\n",
            ),
        ),
    ),
    Twin(
        name="processing-pipeline",
        defect="The classifier returns its logits under the name of hidden states.",
        check="processing.pipeline",
        on="TidyForSequenceClassification",
        message="pipeline 'text-classification' fails",
        patches=(
            (
                "modeling.py",
                "        return SequenceClassifierOutputWithPast(\n            loss=loss,\n"
                "            logits=logits,\n",
                "        return BaseModelOutputWithPast(\n            last_hidden_state=logits,\n",
            ),
        ),
    ),
)

"""The tokenizer of the correct original: bytes and three special tokens."""

from transformers import PreTrainedTokenizer


class TidyTokenizer(PreTrainedTokenizer):
    """One token a byte; needs no vocabulary file."""

    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, pad_token="<pad>", bos_token="<s>", eos_token="</s>", **kwargs):
        super().__init__(pad_token=pad_token, bos_token=bos_token, eos_token=eos_token, **kwargs)

    @property
    def vocab_size(self):
        """The bytes; special tokens are added ones."""
        return 256

    def get_vocab(self):
        """Return every token with its id."""
        return {chr(code): code for code in range(256)} | self.added_tokens_encoder

    def _tokenize(self, text, **kwargs):
        return [chr(byte) for byte in text.encode("utf-8")]

    def _convert_token_to_id(self, token):
        return ord(token)

    def _convert_id_to_token(self, index):
        return chr(index)

    def convert_tokens_to_string(self, tokens):
        """Decode the bytes."""
        return bytes(map(ord, tokens)).decode("utf-8", errors="replace")

    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Write nothing: the vocabulary is the code."""
        return ()

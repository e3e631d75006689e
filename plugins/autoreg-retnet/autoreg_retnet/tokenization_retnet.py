"""A tokenizer without a vocabulary file: the bytes of UTF-8 and three special tokens."""

import re

from transformers import AddedToken, PreTrainedTokenizer

_NUM_BYTES = 256
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class RetNetTokenizer(PreTrainedTokenizer):
    """Map text to its UTF-8 bytes and back; the id of a byte is its value, its token reads `<0x41>`.

    Ids 256, 257 and 258 are padding, begin and end of text. An encoded text opens with `bos_token`, unless
    `add_special_tokens=False`; there is no option to leave it out for good, because transformers drops
    `add_bos_token` when it saves a tokenizer.

    Decoding gives back exactly the text that was encoded. Bytes that are no UTF-8 and ids that are no token,
    as a model may generate them, decode to U+FFFD; a lone surrogate, which has no UTF-8, is encoded as `?`.

    Args:
        pad_token: Token with the id 256.
        bos_token: Token with the id 257.
        eos_token: Token with the id 258.
        **kwargs: As for every `PreTrainedTokenizer`.

    Depth: classes (imports transformers, not torch).
    """

    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        pad_token: str | AddedToken = "<|pad|>",
        bos_token: str | AddedToken = "<|bos|>",
        eos_token: str | AddedToken = "<|eos|>",
        **kwargs,
    ) -> None:
        specials = [_special(token) for token in (pad_token, bos_token, eos_token)]
        # Set before the base class looks: it would otherwise number the tokens in an order of its own.
        self._added_tokens_decoder = dict(enumerate(specials, start=_NUM_BYTES))
        super().__init__(
            pad_token=specials[0],
            bos_token=specials[1],
            eos_token=specials[2],
            special_tokens_pattern="bos",
            **kwargs,
        )

    @property
    def vocab_size(self) -> int:
        """Number of tokens without the added ones, the special tokens among them: 256."""
        return _NUM_BYTES

    def get_vocab(self) -> dict[str, int]:
        """Return token to id, added tokens included."""
        return {self._convert_id_to_token(byte): byte for byte in range(_NUM_BYTES)} | self.added_tokens_encoder

    def _tokenize(self, text: str, **kwargs) -> list[str]:
        return [self._convert_id_to_token(byte) for byte in text.encode("utf-8", errors="replace")]

    def _convert_token_to_id(self, token: str) -> int | None:
        match = _BYTE_TOKEN.fullmatch(token)
        return int(match[1], 16) if match else self.unk_token_id

    def _convert_id_to_token(self, index: int) -> str:
        # A model whose vocabulary was padded to a round size can generate ids that stand for nothing.
        return f"<0x{index:02X}>" if index < _NUM_BYTES else "\N{REPLACEMENT CHARACTER}"

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Join tokens to text; added tokens stand for themselves, bytes that are no UTF-8 become U+FFFD."""
        return b"".join(_token_bytes(token) for token in tokens).decode("utf-8", errors="replace")

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write nothing and return no file names: the bytes are the vocabulary."""
        return ()


def _special(token: str | AddedToken) -> AddedToken:
    return AddedToken(token, special=True, normalized=False) if isinstance(token, str) else token


def _token_bytes(token: str) -> bytes:
    match = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(match[1], 16)]) if match else token.encode("utf-8", errors="replace")


__all__ = ["RetNetTokenizer"]

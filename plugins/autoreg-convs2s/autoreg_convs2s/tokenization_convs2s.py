"""A tokenizer of two alphabets: letters that are written together, and symbols that are written apart."""

import json
from pathlib import Path

from transformers import AddedToken, PreTrainedTokenizer

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""Stands for a space in tokens, as in SentencePiece."""

# The order of fairseq and BART, and the default ids of `ConvS2SConfig`.
_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")


class ConvS2STokenizer(PreTrainedTokenizer):
    """Spell words letter by letter, and take symbols that stand apart, such as phonemes, whole.

    `"cat"` is three tokens, `c a t`, and so is `"K AE T"`, `▁K ▁AE ▁T`: a word between spaces is one token if the
    vocabulary has it as a symbol, else it is spelt. `▁` stands for the space before. An encoded text ends with
    `eos_token`, unless `add_special_tokens=False`.

    Decoding gives back the text with single spaces between its words, unless it had characters that the vocabulary
    lacks; these are `unk_token`.

    Args:
        vocab_file: JSON file, token to id, special tokens included; without it the vocabulary has nothing but the
            special tokens, the space and the letters a to z.
        pad_token: The padding token.
        bos_token: The token that opens a text; no text is encoded with it.
        eos_token: The token that ends a text, with which a decoder also begins.
        unk_token: The token of unknown characters.
        **kwargs: As for every `PreTrainedTokenizer`.

    Depth: classes (imports transformers, not torch).
    """

    vocab_files_names = {"vocab_file": "vocab.json"}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str | None = None,
        pad_token: str | AddedToken = "<pad>",
        bos_token: str | AddedToken = "<s>",
        eos_token: str | AddedToken = "</s>",
        unk_token: str | AddedToken = "<unk>",
        **kwargs,
    ) -> None:
        if vocab_file is None:
            self._ids = vocabulary(letters="abcdefghijklmnopqrstuvwxyz", symbols=())
        else:
            self._ids = json.loads(Path(vocab_file).read_text(encoding="utf-8"))
        self._tokens = {index: token for token, index in self._ids.items()}
        super().__init__(
            pad_token=pad_token,
            bos_token=bos_token,
            eos_token=eos_token,
            unk_token=unk_token,
            special_tokens_pattern="eos",
            **kwargs,
        )

    @property
    def vocab_size(self) -> int:
        """Number of tokens without the added ones."""
        return len(self._ids)

    def get_vocab(self) -> dict[str, int]:
        """Return token to id, added tokens included."""
        return self._ids | self.added_tokens_encoder

    def _tokenize(self, text: str, **kwargs) -> list[str]:
        tokens: list[str] = []
        for number, word in enumerate(text.split()):
            if SPACE + word in self._ids:
                tokens.append(SPACE + word)
            else:
                tokens += [SPACE, *word] if number else word
        return tokens

    def _convert_token_to_id(self, token: str) -> int | None:
        return self._ids.get(token, self._ids.get(str(self.unk_token)))

    def _convert_id_to_token(self, index: int) -> str:
        # A model whose vocabulary was padded to a round size can generate ids that stand for nothing.
        return self._tokens.get(index, str(self.unk_token))

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Join tokens to text, with a single space before each symbol and none at the ends."""
        return "".join(tokens).replace(SPACE, " ").strip()

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the vocabulary, in the order of the ids, and return the file's name."""
        path = Path(save_directory, (filename_prefix + "-" if filename_prefix else "") + "vocab.json")
        ordered = dict(sorted(self._ids.items(), key=lambda item: item[1]))
        path.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return (str(path),)


def vocabulary(*, letters: str, symbols: tuple[str, ...]) -> dict[str, int]:
    """Return token to id: the special tokens, the space, each letter once, each symbol once with its space."""
    tokens = [*_SPECIALS, SPACE, *dict.fromkeys(letters), *(SPACE + symbol for symbol in dict.fromkeys(symbols))]
    return {token: index for index, token in enumerate(tokens)}


__all__ = ["ConvS2STokenizer", "vocabulary"]

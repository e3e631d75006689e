"""Byte-pair encoding over the bytes of UTF-8, from the vocabulary in tokenizer.json."""

from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import AddedToken, PreTrainedTokenizerFast


class GMLPTokenizer(PreTrainedTokenizerFast):
    """Cut text into pieces of bytes that occur often together, between `<cls>` and `<sep>`.

    Nothing is unknown and nothing is normalised: decoding gives back exactly the text that was encoded. A pair
    of texts is `<cls> a <sep> b <sep>`; there are no token types.

    Without a vocabulary the pieces are the 256 bytes, behind the special tokens with the ids 0 to 3.
    `GMLPTokenizer().train_new_from_iterator(texts, vocab_size)` learns larger pieces from texts of your own.

    Args:
        vocab: Piece to id, the special tokens among them; the bytes when `None`.
        merges: Pairs of pieces, in the order in which they are merged.
        pad_token: Token for padding.
        cls_token: Token that opens a text.
        sep_token: Token that ends a text.
        mask_token: Token that stands for a hidden piece. It takes the space before it along, because a word
            within a text begins with its space.
        **kwargs: As for every `PreTrainedTokenizerFast`.

    Depth: classes (imports transformers, not torch).
    """

    model_input_names = ["input_ids", "attention_mask"]
    # What transformers reads `vocab` and `merges` of a tokenizer.json for.
    model = BPE

    def __init__(
        self,
        vocab: dict[str, int] | None = None,
        merges: list[tuple[str, str]] | None = None,
        pad_token: str | AddedToken = "<pad>",
        cls_token: str | AddedToken = "<cls>",
        sep_token: str | AddedToken = "<sep>",
        mask_token: str | AddedToken = "<mask>",
        **kwargs,
    ) -> None:
        if isinstance(mask_token, str):
            mask_token = AddedToken(mask_token, lstrip=True, normalized=False, special=True)
        specials = [str(token) for token in (pad_token, cls_token, sep_token, mask_token)]
        if vocab is None:
            pieces = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
            vocab = {piece: index for index, piece in enumerate(pieces)}
        self._tokenizer = Tokenizer(BPE(vocab=vocab, merges=merges or []))
        self._tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._tokenizer.decoder = decoders.ByteLevel()
        super().__init__(pad_token=pad_token, cls_token=cls_token, sep_token=sep_token, mask_token=mask_token, **kwargs)
        opening, end = str(self.cls_token), str(self.sep_token)
        self._tokenizer.post_processor = processors.TemplateProcessing(
            single=[opening, "$A", end],
            pair=[opening, "$A", end, "$B", end],
            special_tokens=[(opening, self.cls_token_id), (end, self.sep_token_id)],
        )


__all__ = ["GMLPTokenizer"]

"""The tokenizer: pieces of bytes there and back, and a vocabulary learned from texts."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autoreg_gmlp import GMLPTokenizer

BYTES = GMLPTokenizer()
LEARNED = BYTES.train_new_from_iterator(["low lower lowest slow slower"] * 9, vocab_size=280, show_progress=False)
TOKENIZERS = pytest.mark.parametrize("tokenizer", [BYTES, LEARNED], ids=["bytes", "learned"])


@TOKENIZERS
@given(text=st.text())
def test_any_text_comes_back(tokenizer, text):
    """Decoding gives back exactly what was encoded, whatever the vocabulary."""
    assume(not any(token in text for token in tokenizer.all_special_tokens))
    ids = tokenizer(text).input_ids
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.unk_token is None
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_without_a_vocabulary_the_bytes_are_it():
    """An empty constructor has the special tokens first and then 256 bytes, one id a byte."""
    assert len(BYTES) == 260
    assert [BYTES.pad_token_id, BYTES.cls_token_id, BYTES.sep_token_id, BYTES.mask_token_id] == [0, 1, 2, 3]
    assert len(BYTES("é", add_special_tokens=False).input_ids) == 2
    assert sorted(BYTES.get_vocab().values()) == list(range(260))


def test_frequent_pieces_are_learned():
    """Training on texts joins what occurs together, and keeps the special tokens where they were."""
    assert LEARNED.tokenize("slower") == ["slower"] or len(LEARNED.tokenize("slower")) < len("slower")
    assert len(LEARNED) <= 280
    assert LEARNED.all_special_ids == BYTES.all_special_ids
    assert type(LEARNED) is GMLPTokenizer


@TOKENIZERS
def test_a_pair_is_separated(tokenizer):
    """Two texts are `<cls> a <sep> b <sep>`, and there are no token types."""
    batch = tokenizer("low", "slow")
    text = tokenizer.decode(batch.input_ids)
    assert text == "<cls>low<sep>slow<sep>"
    assert set(batch) == {"input_ids", "attention_mask"}


@TOKENIZERS
def test_a_mask_takes_its_space_along(tokenizer):
    """`a <mask> b` masks the space too, because a piece within a text begins with its space."""
    ids = tokenizer("low <mask> slow", add_special_tokens=False).input_ids
    low, slow = (tokenizer(text, add_special_tokens=False).input_ids for text in ("low", " slow"))
    assert ids == [*low, tokenizer.mask_token_id, *slow]


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_are_padded(side):
    """A batch is padded on the asked side with pads that the mask leaves out."""
    batch = BYTES(["ab", "a"], padding=True, padding_side=side)
    long, short = batch.input_ids
    alone = BYTES("a").input_ids
    assert short == ([0, *alone] if side == "left" else [*alone, 0])
    assert batch.attention_mask == [[1] * len(long), [int(index != 0) for index in short]]


def test_saved_and_loaded_alike(tmp_path):
    """A learned tokenizer is read back with its pieces, options, special tokens and added tokens."""
    tokenizer = BYTES.train_new_from_iterator(["low lower"] * 9, vocab_size=270, show_progress=False)
    tokenizer.model_max_length = 7
    tokenizer.add_tokens(["<verse>"])
    tokenizer.save_pretrained(tmp_path)
    loaded = GMLPTokenizer.from_pretrained(tmp_path)
    for text in ("lower <verse> é", "a <mask> b"):
        assert loaded(text).input_ids == tokenizer(text).input_ids
        assert loaded(text, "low").input_ids == tokenizer(text, "low").input_ids
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert (loaded.model_max_length, len(loaded)) == (7, len(tokenizer))


def test_special_tokens_can_be_others(tmp_path):
    """Other spellings of the special tokens have the same ids, and survive saving."""
    tokenizer = GMLPTokenizer(cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", pad_token="[PAD]")
    assert tokenizer("a").input_ids == BYTES("a").input_ids
    tokenizer.save_pretrained(tmp_path)
    loaded = GMLPTokenizer.from_pretrained(tmp_path)
    assert loaded.decode(loaded("a [MASK]").input_ids) == "[CLS]a[MASK][SEP]"
    assert loaded("a [MASK]").input_ids == tokenizer("a [MASK]").input_ids

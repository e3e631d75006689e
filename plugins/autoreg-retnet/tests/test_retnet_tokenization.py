"""The tokenizer: bytes there and back."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import AutoTokenizer
from transformers.models.auto.tokenization_auto import REGISTERED_TOKENIZER_CLASSES

from autoreg_retnet import RetNetTokenizer

TOKENIZER = RetNetTokenizer()


@given(st.text())
def test_any_text_comes_back(text):
    """Decoding gives back exactly what was encoded: one id a byte, behind a bos."""
    assume(not any(token in text for token in TOKENIZER.all_special_tokens))
    ids = TOKENIZER(text).input_ids
    assert ids == [TOKENIZER.bos_token_id, *text.encode()]
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == text
    assert TOKENIZER.decode(ids) == "<|bos|>" + text


@given(st.binary())
def test_any_bytes_decode(data):
    """Bytes that are no UTF-8 decode as Python's `replace` does, and never raise."""
    assert TOKENIZER.decode(list(data)) == data.decode("utf-8", errors="replace")


def test_ids_beyond_the_vocabulary_decode():
    """An id that is no token decodes to one replacement character and not to text of its own."""
    assert TOKENIZER.decode([65, 300, 66]) == "A\ufffdB"


@given(st.text(st.characters(categories=["Cs"]), min_size=1))
def test_surrogates_are_encoded_as_question_marks(text):
    """A lone surrogate, which has no UTF-8, becomes a question mark."""
    assert TOKENIZER.decode(TOKENIZER(text).input_ids, skip_special_tokens=True) == "?" * len(text)


def test_ids_are_fixed():
    """Bytes are their own ids, the special tokens follow, and the vocabulary is a bijection."""
    vocabulary = TOKENIZER.get_vocab()
    assert sorted(vocabulary.values()) == list(range(len(TOKENIZER))) == list(range(259))
    assert [TOKENIZER.pad_token_id, TOKENIZER.bos_token_id, TOKENIZER.eos_token_id] == [256, 257, 258]
    assert all(TOKENIZER.convert_ids_to_tokens(index) == token for token, index in vocabulary.items())
    assert TOKENIZER.convert_tokens_to_ids(list(vocabulary)) == list(vocabulary.values())


def test_text_that_looks_like_a_byte_token_is_text():
    """The characters `<0x41>` are six bytes and not the byte A."""
    assert TOKENIZER("<0x41>").input_ids[1:] == list(b"<0x41>")
    assert TOKENIZER.decode(TOKENIZER("<0x41>").input_ids[1:]) == "<0x41>"


def test_special_tokens_in_text():
    """A special token written out in text is that token, between bytes that stay as they are."""
    assert TOKENIZER("a <|eos|> b").input_ids == [257, *b"a ", 258, *b" b"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_are_padded(side):
    """A batch is padded on the asked side with pads that the mask leaves out."""
    batch = TOKENIZER(["ab", "a"], padding=True, padding_side=side)
    short = [256, 257, 97] if side == "left" else [257, 97, 256]
    assert batch.input_ids == [[257, 97, 98], short]
    assert batch.attention_mask[1] == [int(index != 256) for index in short]


@pytest.mark.parametrize("options", [{}, {"eos_token": "</s>", "padding_side": "left"}])
def test_saved_and_loaded_alike(tmp_path, options):
    """A saved tokenizer is read back with its options, special tokens and added tokens."""
    tokenizer = RetNetTokenizer(**options)
    tokenizer.add_tokens(["<verse>"])
    tokenizer.save_pretrained(tmp_path)
    loaded = RetNetTokenizer.from_pretrained(tmp_path)
    text = "Jesus wept. <verse> é"
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert 259 in loaded(text).input_ids
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert (loaded.eos_token, loaded.padding_side) == (tokenizer.eos_token, tokenizer.padding_side)


def test_auto_tokenizer_finds_it_by_name(tmp_path, monkeypatch):
    """Once its class name is registered, plain `AutoTokenizer` loads it from a folder without a config."""
    monkeypatch.setitem(REGISTERED_TOKENIZER_CLASSES, "RetNetTokenizer", RetNetTokenizer)
    TOKENIZER.save_pretrained(tmp_path)
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is RetNetTokenizer

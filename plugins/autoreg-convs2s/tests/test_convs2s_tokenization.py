"""The tokenizer: letters together, symbols apart."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoreg_convs2s import ConvS2STokenizer
from autoreg_convs2s.tokenization_convs2s import vocabulary

LETTERS, SYMBOLS = "abcdefghijklmnopqrstuvwxyz'", ("AE", "K", "T")
_WORDS = st.one_of(st.sampled_from(SYMBOLS), st.text(LETTERS, min_size=1, max_size=6))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.json"
    path.write_text(json.dumps(vocabulary(letters=LETTERS, symbols=SYMBOLS)))
    return ConvS2STokenizer(str(path))


def test_letters_and_symbols(tokenizer):
    """A word is spelt, a symbol is taken whole, each text ends with the end token, and both come back."""
    spelt, symbols = tokenizer("cat"), tokenizer("K AE T")
    assert tokenizer.convert_ids_to_tokens(spelt.input_ids) == ["c", "a", "t", "</s>"]
    assert tokenizer.convert_ids_to_tokens(symbols.input_ids) == ["▁K", "▁AE", "▁T", "</s>"]
    assert tokenizer.decode(spelt.input_ids, skip_special_tokens=True) == "cat"
    assert tokenizer.decode(symbols.input_ids, skip_special_tokens=True) == "K AE T"


@given(words=st.lists(_WORDS, min_size=1, max_size=5))
def test_any_text_comes_back(tokenizer, words):
    """Decoding gives back any words and symbols in any order, with single spaces."""
    ids = tokenizer("  ".join(words)).input_ids
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == " ".join(words)


def test_unknown_characters(tokenizer):
    """A character or symbol that the vocabulary lacks is the unknown token, each of its characters one."""
    assert tokenizer.convert_ids_to_tokens(tokenizer("aé T7").input_ids) == [
        "a",
        "<unk>",
        "▁",
        "<unk>",
        "<unk>",
        "</s>",
    ]


def test_ids_beyond_the_vocabulary_decode(tokenizer):
    """An id that is no token decodes to the unknown token."""
    assert tokenizer.decode([5, 999]) == "a<unk>"


def test_ids_are_fixed(tokenizer):
    """The special tokens come first, and the vocabulary is a bijection."""
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<s>", "<pad>", "</s>", "<unk>"]
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer))) == list(range(4 + 1 + 27 + 3))


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_are_padded(tokenizer, side):
    """A batch is padded on the asked side with pads that the mask leaves out."""
    batch = tokenizer(["ab", "a"], padding=True, padding_side=side)
    assert batch.input_ids[1] == ([1, 5, 2] if side == "left" else [5, 2, 1])
    assert batch.attention_mask[1] == ([0, 1, 1] if side == "left" else [1, 1, 0])


def test_saved_and_loaded_alike(tokenizer, tmp_path):
    """A saved tokenizer is read back with its vocabulary, and a second save writes the same bytes."""
    tokenizer.save_pretrained(tmp_path)
    loaded = ConvS2STokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded("cat K").input_ids == tokenizer("cat K").input_ids
    before = (tmp_path / "vocab.json").read_bytes()
    loaded.save_pretrained(tmp_path)
    assert (tmp_path / "vocab.json").read_bytes() == before

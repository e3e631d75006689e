"""sentence-transformers: a plugin's path is an encoder of sentences."""

import pytest
import torch
import transformers

from tests.hosts_real.launching import checkpoint

sentence_transformers = pytest.importorskip("sentence_transformers")
pytestmark = pytest.mark.usefixtures("activated")

WORDS = ["geometría", "überbrückte", "procrastinating", "wyrzynaczkę"]


def test_an_encoder(tmp_path, seen):
    """Embeddings in a padded batch are the mean of the model's states, and survive being saved and loaded."""
    path = str(checkpoint("gmlp"))
    encoder = sentence_transformers.SentenceTransformer(path, device="cpu")
    found = encoder.encode(WORDS, convert_to_tensor=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    model = transformers.AutoModel.from_pretrained(path).eval()
    with torch.no_grad():
        alone = [model(**tokenizer(word, return_tensors="pt")).last_hidden_state[0].mean(0) for word in WORDS]
    torch.testing.assert_close(found, torch.stack(alone), rtol=1e-4, atol=1e-5)
    encoder.save(str(tmp_path / "saved"))
    again = sentence_transformers.SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert type(again[0].auto_model).__name__ == "GMLPModel"
    assert again.encode(WORDS, convert_to_tensor=True).equal(found)
    seen("sentence-transformers", f"{tuple(found.shape)} embeddings, equal to the model's own; saved and loaded")

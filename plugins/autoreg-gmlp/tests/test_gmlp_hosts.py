"""Programs that know nothing of gMLP use it by the path of its checkpoint."""

import re
import subprocess
import sys
from pathlib import Path

import autoreg
import pytest
import torch
import transformers

PLUGIN = Path(__file__).resolve().parents[1]
CHECKPOINT = str(PLUGIN / "checkpoint")

# Of training/heldout.tsv.
WORDS = {
    "skolelærerens": "Danish",
    "lekkernijen": "Dutch",
    "procrastinating": "English",
    "soupireront": "French",
    "überbrückte": "German",
    "assaggiassi": "Italian",
    "wyrzynaczkę": "Polish",
    "incendiámos": "Portuguese",
    "geometría": "Spanish",
    "tillfälligt": "Swedish",
}


@pytest.fixture(autouse=True)
def _activated():
    undo = autoreg.activate()
    yield
    undo()


def test_the_readme_in_a_fresh_process():
    """The README's first block, which knows only the checkpoint's path, prints in another process what it says."""
    blocks = re.findall(r"```(python|text)\n(.*?)```", (PLUGIN / "README.md").read_text(), flags=re.DOTALL)
    (_, code), (_, expected) = blocks[:2]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PLUGIN)
    assert run.stdout == expected


def test_pipeline_names_the_languages():
    """`pipeline("text-classification", path)` names the language of held-out words."""
    classify = transformers.pipeline("text-classification", CHECKPOINT)
    assert [answer["label"] for answer in classify(list(WORDS))] == list(WORDS.values())


def test_batches_do_not_change_the_answers():
    """Alone and padded on either side among longer words, a word has the same scores."""
    classify = transformers.pipeline("text-classification", CHECKPOINT)
    alone = [classify(word)[0]["score"] for word in WORDS]
    for side in ("left", "right"):
        classify.tokenizer.padding_side = side
        together = [answer["score"] for answer in classify(list(WORDS), batch_size=len(WORDS))]
        assert together == pytest.approx(alone, abs=1e-5)


def test_peft_tunes_it_for_a_new_task(tmp_path):
    """PEFT finds the linear layers by itself, and learns a two-class task of its own from the path alone."""
    peft = pytest.importorskip("peft")
    tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        CHECKPOINT, num_labels=2, ignore_mismatched_sizes=True
    )
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules="all-linear", modules_to_save=["classifier"])
    model = peft.get_peft_model(model, config)
    trained, total = model.get_nb_trainable_parameters()
    assert trained < total / 5

    inputs = tokenizer(
        ["walking", "talking", "looking", "walked", "talked", "looked"], padding=True, return_tensors="pt"
    )
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    optimizer = torch.optim.AdamW((each for each in model.parameters() if each.requires_grad), lr=1e-2)
    for _ in range(40):
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    expected = model(**inputs).logits
    assert expected.argmax(-1).equal(labels)

    model.save_pretrained(tmp_path)
    base = transformers.AutoModelForSequenceClassification.from_pretrained(
        CHECKPOINT, num_labels=2, ignore_mismatched_sizes=True
    )
    again = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    torch.testing.assert_close(again(**inputs).logits, expected)


def test_sentence_transformers_embeds_words():
    """sentence-transformers makes of the path an encoder whose embeddings are the mean of the model's states."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder = sentence_transformers.SentenceTransformer(CHECKPOINT, device="cpu")
    embeddings = encoder.encode(list(WORDS), convert_to_tensor=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINT)
    model = transformers.AutoModel.from_pretrained(CHECKPOINT)
    for word, embedding in zip(WORDS, embeddings, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(word, return_tensors="pt")).last_hidden_state[0]
        torch.testing.assert_close(embedding, states.mean(0), rtol=1e-4, atol=1e-5)

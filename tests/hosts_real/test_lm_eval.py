"""lm-eval, by its command line, on a task of local data."""

import json
from pathlib import Path

import pytest

from tests.hosts_real.launching import PROGRAMS, checkpoint, run

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.slow

VERSES = PROGRAMS.parent / "verses"


def likelihoods(path: Path, documents: list) -> list[list[float]]:
    """Return the log-likelihood of each ending after its start, by hand."""
    import torch

    import autoreg

    model = autoreg.AutoModelForCausalLM.from_pretrained(path).eval()
    tokenizer = autoreg.AutoTokenizer.from_pretrained(path)

    def of(start: str, ending: str) -> float:
        whole, before = (tokenizer(text, return_tensors="pt").input_ids for text in (start + ending, start))
        with torch.no_grad():
            scores = model(input_ids=whole[:, :-1]).logits.log_softmax(-1)
        each = scores.gather(-1, whole[:, 1:, None]).squeeze(-1)
        return each[0, before.shape[1] - 1 :].sum().item()

    return [[of(each["start"], f" {ending}") for ending in each["endings"]] for each in documents]


def test_a_task_of_local_data(tmp_path, seen):
    """It scores the RetNet checkpoint, and its log-likelihoods are those that the model's own logits give."""
    path = checkpoint("retnet")
    task = (VERSES / "verses.yaml").read_text().replace("verses.json", str(VERSES / "verses.json"))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "verses.yaml").write_text(task)
    done = run(
        *("-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={path},dtype=float32"),
        *("--tasks", "verses", "--include_path", tmp_path / "tasks", "--device", "cpu", "--batch_size", "4"),
        *("--output_path", tmp_path / "out", "--log_samples"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (results,) = (tmp_path / "out").rglob("results_*.json")
    accuracy = json.loads(results.read_text())["results"]["verses"]["acc,none"]
    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    rows = sorted(map(json.loads, samples.read_text().splitlines()), key=lambda row: row["doc_id"])
    documents = json.loads((VERSES / "verses.json").read_text())
    assert [row["doc"] for row in rows] == documents
    expected = likelihoods(path, documents)
    for row, values in zip(rows, expected, strict=True):
        assert [float(answer[0]) for answer in row["filtered_resps"]] == pytest.approx(values, abs=1e-3)
    right = sum(
        max(range(3), key=values.__getitem__) == document["right"]
        for document, values in zip(documents, expected, strict=True)
    )
    assert accuracy == pytest.approx(right / len(documents))
    assert accuracy > 0.8
    seen("lm-eval", f"accuracy {accuracy:.2f} on {len(documents)} verses with three endings each")

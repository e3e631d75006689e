"""The checkpoints everybody knows load through autoreg as they do through transformers, from a hub and offline.

`tests/hub/seed_script.py` is the program whose lines are checked here; it runs in processes of its own, because the
hub's address and the cache's folder are read when Python starts.
"""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.hub.fixtures import REPOSITORY, environment
from tests.hub.server import Request, serve

SCRIPT = REPOSITORY / "tests" / "hub" / "seed_script.py"
BERT, GPT2, BART = "bert-base-cased", "gpt2", "facebook/bart-base"
NAMES = (BERT, GPT2, BART)
REPOSITORIES = ("google-bert/bert-base-cased", "openai-community/gpt2", "facebook/bart-base")
BERT_WEIGHTS, GPT2_WEIGHTS, _ = ((repository, "model.safetensors") for repository in REPOSITORIES)
CUT = 12_000_000  # bytes, of 18 million

Line = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """Three runs of the seed script on one cache: a first, a second with the hub up, a third with the hub gone."""

    home: Path
    first: list[Line]
    second: list[Line]
    offline: list[Line]
    first_requests: tuple[Request, ...]
    second_requests: tuple[Request, ...]

    def line(self, promise: str, name: str) -> Line:
        """Return what the first run printed for one promise, less the promise."""
        (line,) = (it for it in self.first if (it["promise"], it["name"]) == (promise, name))
        return {key: value for key, value in line.items() if key not in ("promise", "name")}


@pytest.fixture(scope="module")
def runs(hub_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    from tests.hub.checkpoints import MOVED

    home, saved = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("saved")
    with serve(hub_root, moved=MOVED) as hub:
        hub.cut(*GPT2_WEIGHTS, after=CUT)
        first = _run(hub.url, home, saved / "first")
        first_requests = hub.requests
        second = _run(hub.url, home, saved / "second")
        second_requests = hub.requests[len(first_requests) :]
    offline = _run(hub.url, home, saved / "offline", offline=True)
    return Runs(
        home=home,
        first=first,
        second=second,
        offline=offline,
        first_requests=first_requests,
        second_requests=second_requests,
    )


def _run(url: str, home: Path, saved: Path, *, offline: bool = False) -> list[Line]:
    command = [sys.executable, str(SCRIPT), str(saved)]
    env = environment(url, home, offline=offline)
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _downloads(requests: tuple[Request, ...]) -> Counter[tuple[str, str]]:
    return Counter((request.repo, request.file) for request in requests if request.sent)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (BERT, "bert.modeling_bert.BertModel"),
        (GPT2, "gpt2.modeling_gpt2.GPT2Model"),
        (BART, "bart.modeling_bart.BartModel"),
    ],
)
def test_auto_model_gives_transformers_own_class(runs: Runs, name: str, kind: str) -> None:
    """AutoModel.from_pretrained gives transformers' BertModel, GPT2Model and BartModel."""
    assert runs.line("AutoModel gives", name) == {"kind": f"transformers.models.{kind}"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (BERT, "bert.configuration_bert.BertConfig"),
        (GPT2, "gpt2.configuration_gpt2.GPT2Config"),
        (BART, "bart.configuration_bart.BartConfig"),
    ],
)
def test_auto_config_gives_transformers_own_class(runs: Runs, name: str, kind: str) -> None:
    """AutoConfig.from_pretrained gives transformers' BertConfig, GPT2Config and BartConfig."""
    assert runs.line("AutoConfig gives", name) == {"kind": f"transformers.models.{kind}"}


@pytest.mark.parametrize(
    ("name", "auto_class", "kind"),
    [
        # Saved with the pooler and a second head: weights that BertForMaskedLM does not have are no error.
        (BERT, "AutoModelForMaskedLM", "bert.modeling_bert.BertForMaskedLM"),
        (GPT2, "AutoModelForCausalLM", "gpt2.modeling_gpt2.GPT2LMHeadModel"),
        (BART, "AutoModelForSeq2SeqLM", "bart.modeling_bart.BartForConditionalGeneration"),
        (BERT, "AutoTokenizer", "bert.tokenization_bert.BertTokenizer"),
        (GPT2, "AutoTokenizer", "gpt2.tokenization_gpt2.GPT2Tokenizer"),
        (BART, "AutoTokenizer", "roberta.tokenization_roberta.RobertaTokenizer"),
    ],
)
def test_heads_and_tokenizers_are_transformers_own(runs: Runs, name: str, auto_class: str, kind: str) -> None:
    """The other Auto classes give transformers' own classes too."""
    assert runs.line(f"{auto_class} gives", name) == {"kind": f"transformers.models.{kind}"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["config equals", "weights equal", "outputs equal"])
def test_results_equal_transformers_own(runs: Runs, name: str, what: str) -> None:
    """Config, weights and outputs are those of BertConfig, BertModel and the others, to the last bit."""
    assert runs.line(f"the {what} transformers' own", name) == {"holds": True}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (BERT, "bert.modeling_bert.BertModel"),
        (GPT2, "gpt2.modeling_gpt2.GPT2Model"),
        (BART, "bart.modeling_bart.BartModel"),
    ],
)
def test_from_config_gives_random_weights(runs: Runs, name: str, kind: str) -> None:
    """AutoModel.from_config makes the same class, with weights that are neither the checkpoint's nor fixed."""
    made = {"kind": f"transformers.models.{kind}", "like_the_checkpoint": False}
    assert runs.line("from_config gives", name) == made
    assert runs.line("from_config gives new weights each time", name) == {"holds": True}


@pytest.mark.parametrize("name", NAMES)
def test_a_config_field_is_overridden(runs: Runs, name: str) -> None:
    """AutoConfig.from_pretrained(name, num_hidden_layers=10) gives a config, and a model, of ten layers."""
    assert runs.line("num_hidden_layers=10 gives", name) == {"config": 10, "model": 10}


@pytest.mark.parametrize(
    ("name", "kind", "config"),
    [
        (BERT, "bert.modeling_bert.BertModel", "bert.configuration_bert.BertConfig"),
        (GPT2, "gpt2.modeling_gpt2.GPT2Model", "gpt2.configuration_gpt2.GPT2Config"),
        (BART, "bart.modeling_bart.BartModel", "bart.configuration_bart.BartConfig"),
    ],
)
def test_a_local_folder_loads_as_the_hub_does(runs: Runs, name: str, kind: str, config: str) -> None:
    """What save_pretrained wrote loads from its folder, bit for bit, into the same classes."""
    classes = {"kind": f"transformers.models.{kind}", "config": f"transformers.models.{config}"}
    assert runs.line("a local folder gives", name) == classes
    assert runs.line("what was saved is loaded bit for bit", name) == {"holds": True}
    assert runs.line("what was loaded answers the same", name) == {"holds": True}


def test_a_revision_is_loaded(runs: Runs) -> None:
    """revision= loads the weights of that revision, not of main."""
    bert = {"kind": "transformers.models.bert.modeling_bert.BertModel", "differs": True}
    assert runs.line("revision='v1.0' gives", BERT) == bert


def test_a_missing_repository_is_named(runs: Runs) -> None:
    """A repository that nobody has is an OSError that names it."""
    assert runs.line("a repository nobody has is an OSError", "nobody/has-this-model") == {"named": True}


def test_each_file_is_downloaded_once(runs: Runs) -> None:
    """Many loads in one process download each file once; the broken download took two requests."""
    downloads = _downloads(runs.first_requests)
    assert {(repo, "model.safetensors") for repo in REPOSITORIES} <= downloads.keys()
    assert downloads.pop(GPT2_WEIGHTS) == 2
    # Two revisions of BERT were loaded, and a changed file is another file.
    assert downloads.pop(BERT_WEIGHTS) == 2
    assert set(downloads.values()) == {1}


def test_the_cache_is_kept_in_hf_home(runs: Runs) -> None:
    """The files are kept under HF_HOME, under the names they were asked for."""
    kept = {folder.name for folder in (runs.home / "hub").glob("models--*")}
    assert {"models--bert-base-cased", "models--gpt2", "models--facebook--bart-base"} <= kept


def test_a_second_process_downloads_nothing(runs: Runs) -> None:
    """A second process asks the hub what is new and takes every file from the cache."""
    assert runs.second_requests
    assert _downloads(runs.second_requests) == Counter()
    assert runs.second == runs.first


def test_everything_works_offline(runs: Runs) -> None:
    """With HF_HUB_OFFLINE=1 and no hub at all, a process gives the same answers from the cache."""
    *answers, missing = runs.offline
    assert answers == runs.first[:-1]
    # Offline, transformers cannot tell whether the repository exists, and its message has no name.
    assert missing["promise"] == "a repository nobody has is an OSError"


def test_an_interrupted_download_goes_on(runs: Runs) -> None:
    """A download that breaks goes on from the last 10 MiB written, and the weights are whole."""
    first, second = (it for it in runs.first_requests if it.sent and (it.repo, it.file) == GPT2_WEIGHTS)
    assert (first.status, first.start, first.sent) == (200, 0, CUT)
    assert (second.status, second.start) == (206, 10 * 1024 * 1024)
    assert runs.line("the weights equal transformers' own", GPT2) == {"holds": True}

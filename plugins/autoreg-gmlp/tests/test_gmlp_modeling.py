"""The models: equations, places, padding, tiny attention, heads, gradients, saving."""

import hashlib
import json
import math
import pickle
import re
import subprocess
import sys

import autoreg
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg_gmlp import (
    GMLPConfig,
    GMLPForMaskedLM,
    GMLPForSequenceClassification,
    GMLPForTokenClassification,
    GMLPModel,
)

HEADS = {
    "AutoModel": GMLPModel,
    "AutoModelForMaskedLM": GMLPForMaskedLM,
    "AutoModelForSequenceClassification": GMLPForSequenceClassification,
    "AutoModelForTokenClassification": GMLPForTokenClassification,
}
KINDS = pytest.mark.parametrize("kind", [{}, {"attention_head_dim": 4}], ids=["gmlp", "amlp"])


def _ids(batch=2, length=9, seed=0):
    return torch.randint(4, 40, (batch, length), generator=torch.Generator().manual_seed(seed))


def _close(actual, expected, *, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# --- the paper's equations ------------------------------------------------------------------------


@KINDS
@torch.no_grad()
def test_model_is_the_papers_equations(make_model, kind):
    """The whole model equals equations 1, 2 and 4, and tiny attention, written with loops over scalars."""
    model, ids = make_model(**kind), _ids(batch=1, length=5)
    states = [model.embed_tokens.weight[index].tolist() for index in ids[0]]
    for layer in model.layers:
        states = _slow_block(layer, states)
    expected = torch.tensor([_slow_norm(model.norm, state) for state in states], dtype=torch.float64)
    actual = model(ids).last_hidden_state[0]
    _close(actual, expected)
    assert actual.std() > 0.1


def _slow_block(layer, states):
    normed = [_slow_norm(layer.norm, state) for state in states]
    channels = [[_gelu(x) for x in _slow_linear(layer.in_proj, state)] for state in normed]
    half = len(channels[0]) // 2
    bypass = [row[:half] for row in channels]
    gate = [_slow_norm(layer.gating.norm, row[half:]) for row in channels]
    weight, bias = layer.gating.proj.weight.tolist(), layer.gating.proj.bias.tolist()
    places, width = range(len(states)), range(half)
    mixed = [[sum(weight[i][j] * gate[j][c] for j in places) + bias[i] for c in width] for i in places]
    if layer.attention is not None:
        added = _slow_attention(layer.attention, normed)
        mixed = [[mixed[i][c] + added[i][c] for c in width] for i in places]
    gated = [[bypass[i][c] * mixed[i][c] for c in width] for i in places]
    out = [_slow_linear(layer.out_proj, row) for row in gated]
    return [[x + y for x, y in zip(*rows, strict=True)] for rows in zip(states, out, strict=True)]


def _slow_attention(attention, states):
    query, key, value = (
        [_slow_linear(proj, state) for state in states]
        for proj in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    rows = []
    for one in query:
        scores = [math.exp(sum(q * k for q, k in zip(one, other, strict=True)) / len(one) ** 0.5) for other in key]
        parts = [score / sum(scores) for score in scores]
        rows.append([sum(part * row[c] for part, row in zip(parts, value, strict=True)) for c in range(len(one))])
    return [_slow_linear(attention.o_proj, row) for row in rows]


def _slow_linear(module, state):
    rows, bias = module.weight.tolist(), module.bias.tolist()
    return [sum(w * x for w, x in zip(row, state, strict=True)) + b for row, b in zip(rows, bias, strict=True)]


def _slow_norm(module, state):
    mean = sum(state) / len(state)
    scale = (sum((x - mean) ** 2 for x in state) / len(state) + module.eps) ** -0.5
    weight, bias = module.weight.tolist(), module.bias.tolist()
    return [(x - mean) * scale * w + b for x, w, b in zip(state, weight, bias, strict=True)]


def _gelu(x):
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def test_blocks_begin_as_feed_forward_networks():
    """A new model has spatial weights near zero and biases of one, and its tokens hardly see each other."""
    torch.manual_seed(0)
    model = GMLPModel(GMLPConfig(hidden_size=16, num_hidden_layers=2, intermediate_size=32)).eval()
    for layer in model.layers:
        assert layer.gating.proj.weight.abs().max() < 0.01
        assert layer.gating.proj.bias.eq(1).all()
    ids = _ids()
    other = ids.clone()
    other[:, 0] = 3
    change = (model(ids).last_hidden_state - model(other).last_hidden_state).abs()
    assert change[:, 0].max() > 0.1
    assert 0 < change[:, 1:].max() < 0.01


# --- places and padding ---------------------------------------------------------------------------


@pytest.mark.parametrize("model_class", HEADS.values())
@KINDS
@settings(deadline=None, max_examples=15)
@given(pattern=st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_padding_changes_nothing(model_class, kind, pattern):
    """A padded row gives its real tokens the results they have alone, wherever the padding lies."""
    model = _small_model(model_class, **kind)
    mask = torch.tensor([pattern, [True] * len(pattern)])
    # Under the mask lie ordinary tokens: the padding token's embedding is zero and would hide a mask ignored.
    ids = _ids(length=len(pattern))
    padded = model(ids, attention_mask=mask.long())[0]
    for row in range(2):
        alone = model(ids[row, mask[row]][None])[0][0]
        _close(padded[row, mask[row]] if padded.dim() == 3 else padded[row], alone)


def _small_model(model_class, **options):
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "intermediate_size": 12, "max_position_embeddings": 12}
    config = GMLPConfig(vocab_size=40, initializer_range=0.3, spatial_initializer_range=0.5, **sizes, **options)
    return model_class(config).double().eval()


@KINDS
def test_hidden_states_and_attentions_are_in_the_callers_places(make_model, kind):
    """With padding on the left every hidden state and attention weight belongs to the column it is returned in."""
    model, ids = make_model(**kind), _ids(batch=1)
    mask = torch.tensor([[0] * 3 + [1] * 6])
    model.set_attn_implementation("eager")
    asked = {"output_hidden_states": True, "output_attentions": True}
    padded, alone = model(ids, attention_mask=mask, **asked), model(ids[:, 3:], **asked)
    assert len(padded.hidden_states) == 3
    for actual, expected in zip(padded.hidden_states, alone.hidden_states, strict=True):
        _close(actual[:, 3:], expected)
    assert padded.hidden_states[0].equal(model.embed_tokens(ids))
    assert padded.hidden_states[-1].equal(padded.last_hidden_state)
    if not kind:
        assert padded.attentions is None
        return
    assert [tuple(weights.shape) for weights in padded.attentions] == [(1, 1, 9, 9)] * 2
    for actual, expected in zip(padded.attentions, alone.attentions, strict=True):
        _close(actual[..., 3:, 3:], expected)
        assert actual[..., 3:, :3].abs().max() == 0


@KINDS
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32])
def test_real_tokens_move_as_by_a_stable_sort(make_model, kind, dtype):
    """Every layer gets what a stable sort of the mask puts before it, bit by bit, padding too, whatever the dtype."""
    model, ids = make_model(max_position_embeddings=64, **kind), _ids(length=64)
    mask = (torch.rand(2, 64, generator=torch.Generator().manual_seed(0)) < 0.6).to(dtype)
    order = mask.logical_not().int().argsort(dim=1, stable=True)
    given = []
    model.layers[0].register_forward_pre_hook(lambda module, args: given.append(args[0]))
    model(ids, attention_mask=mask)
    assert given[0].equal(model.embed_tokens(ids.gather(1, order)))


def test_the_order_of_tokens_matters(make_model):
    """Two tokens that change places change the third: positions need no embedding."""
    model, ids = make_model(), torch.tensor([[4, 5, 6], [5, 4, 6]])
    states = model(ids).last_hidden_state
    assert (states[0, 2] - states[1, 2]).abs().max() > 1e-3


def test_shorter_texts_take_the_corner(make_model):
    """Changing the spatial weights of the places behind a text changes nothing for it."""
    model, ids = make_model(), _ids()
    before = model(ids).last_hidden_state
    with torch.no_grad():
        for layer in model.layers:
            layer.gating.proj.weight[9:] += 1
            layer.gating.proj.weight[:, 9:] += 1
            layer.gating.proj.bias[9:] += 1
    assert model(ids).last_hidden_state.equal(before)


def test_too_long_a_text_is_refused(make_model):
    """A text longer than the spatial projection raises, and the message names both lengths and the field."""
    with pytest.raises(ValueError, match=r"17 tokens, and this gMLP reads at most 16 \(`config.max_position_emb"):
        make_model()(_ids(length=17))


@pytest.mark.parametrize("shape", [(2, 1, 9, 9), (2, 10), (1, 9)])
def test_unfit_mask_is_refused(make_model, shape):
    """An attention mask of another shape than the text raises with its shape."""
    with pytest.raises(ValueError, match=re.escape(f"shape {shape}")):
        make_model()(_ids(), attention_mask=torch.ones(shape))


@pytest.mark.parametrize("head", HEADS.values())
def test_position_ids_are_refused(make_model, head):
    """Position ids, as packed texts have them, raise with the way out, instead of being ignored."""
    with pytest.raises(ValueError, match=r"takes no `position_ids`.*pad them instead"):
        make_model(head)(_ids(), position_ids=torch.arange(9)[None])


@pytest.mark.parametrize("inputs", [{}, {"input_ids": _ids(), "inputs_embeds": torch.zeros(2, 9, 12)}])
def test_exactly_one_kind_of_input(make_model, inputs):
    """Neither or both of ids and embeddings raise."""
    with pytest.raises(ValueError, match="exactly one of input_ids or inputs_embeds"):
        make_model()(**inputs)


# --- tiny attention -------------------------------------------------------------------------------


def test_attention_implementations_agree(make_model):
    """Eager and sdpa attention give the same states for a padded batch, and attention is not idle."""
    model, ids, mask = make_model(attention_head_dim=4), _ids(), torch.ones(2, 9)
    mask[0, 6:] = 0
    states = []
    for implementation in ("eager", "sdpa"):
        model.set_attn_implementation(implementation)
        states.append(model(ids, attention_mask=mask).last_hidden_state[mask.bool()])
    _close(states[1], states[0])
    with torch.no_grad():
        for layer in model.layers:
            layer.attention.v_proj.weight.zero_()
    assert (model(ids, attention_mask=mask).last_hidden_state[mask.bool()] - states[0]).abs().max() > 1e-3


# --- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
def test_classifier_reads_the_mean_of_the_real_tokens(make_model, side):
    """The class scores are the classifier's of the mean over the tokens that are not padding."""
    model, ids = make_model(GMLPForSequenceClassification, num_labels=3), _ids()
    real = slice(4, 9) if side == "left" else slice(0, 5)
    mask = torch.ones_like(ids)
    mask[0] = 0
    mask[0, real] = 1
    states = model.model(ids, attention_mask=mask).last_hidden_state
    means = torch.stack((states[0, real].mean(0), states[1].mean(0)))
    _close(model(ids, attention_mask=mask).logits, model.classifier(means))


@pytest.mark.parametrize("model_class", list(HEADS.values())[1:])
def test_losses_are_cross_entropies(make_model, model_class):
    """The loss is the mean cross entropy of the logits, unshifted, without the labels of -100."""
    model, ids = make_model(model_class, num_labels=3), _ids()
    logits = model(ids).logits
    labels = torch.randint(0, 3, logits.shape[:-1], generator=torch.Generator().manual_seed(1))
    if labels.dim() == 2:
        labels[0, :4] = -100
    outputs = model(ids, labels=labels)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())
    # transformers computes losses in float32, whatever the model's dtype.
    _close(outputs.loss, expected.to(outputs.loss.dtype), atol=1e-6)
    loss, again = model(ids, labels=labels, return_dict=False)
    assert loss.equal(outputs.loss)
    assert again.equal(logits)


@pytest.mark.parametrize("tie", [True, False])
def test_embeddings_are_tied_as_the_config_says(make_model, tie, tmp_path):
    """Head and embedding are one tensor exactly when they are tied, also after saving, which writes it once."""
    model = make_model(GMLPForMaskedLM, tie_word_embeddings=tie).float()
    model.save_pretrained(tmp_path)
    for each in (model, GMLPForMaskedLM.from_pretrained(tmp_path)):
        assert (each.lm_head.weight is each.model.embed_tokens.weight) is tie
    other = make_model(GMLPForMaskedLM, tie_word_embeddings=not tie)
    assert model.num_parameters() - other.num_parameters() == (-1 if tie else 1) * 40 * 12


def test_classifier_dropout_falls_back_on_the_hidden_one(make_model):
    """`classifier_dropout` is used where it is given, `hidden_dropout` where it is not."""
    for head in (GMLPForSequenceClassification, GMLPForTokenClassification):
        assert make_model(head, hidden_dropout=0.25).dropout.p == 0.25
        assert make_model(head, hidden_dropout=0.25, classifier_dropout=0.0).dropout.p == 0.0


@KINDS
@pytest.mark.parametrize("head", list(HEADS.values())[1:])
def test_one_batch_is_learned(make_model, head, kind):
    """Forty steps on one batch bring the loss under a third of where it began."""
    model, ids = make_model(head, num_labels=3, initializer_range=0.1, **kind).float().train(), _ids()
    labels = {"labels": ids} if head is GMLPForMaskedLM else {"labels": ids % 3}
    if head is GMLPForSequenceClassification:
        labels = {"labels": torch.tensor([0, 2])}
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(40):
        loss = model(ids, **labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


# --- saving, copying, exporting -------------------------------------------------------------------

_LOAD = """
import hashlib, json, sys
import autoreg

digests = {}
for folder, auto_class in json.loads(sys.argv[1]).items():
    model = getattr(autoreg, auto_class).from_pretrained(folder)
    state = {name: hashlib.sha256(t.numpy().tobytes()).hexdigest() for name, t in model.state_dict().items()}
    digests[folder] = [type(model).__name__, state]
print(json.dumps(digests))
"""


def test_every_head_is_restored_in_a_fresh_process(make_model, tmp_path):
    """What is saved of each head, another process loads bit by bit as the same class, knowing but the folder."""
    folders, expected = {}, {}
    for head_dim in (None, 4):
        for auto_class, model_class in HEADS.items():
            model = make_model(model_class, attention_head_dim=head_dim).float()
            folder = str(tmp_path / f"{auto_class}-{head_dim}")
            autoreg.save_pretrained(model, folder)
            folders[folder] = auto_class
            state = {name: hashlib.sha256(t.numpy().tobytes()).hexdigest() for name, t in model.state_dict().items()}
            expected[folder] = [model_class.__name__, state]
    command = [sys.executable, "-c", _LOAD, json.dumps(folders)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(run.stdout) == expected


def test_heads_take_the_stack_of_a_masked_language_model(make_model, tmp_path):
    """The base model and the classifiers load their stack from a masked language model's checkpoint."""
    model = make_model(GMLPForMaskedLM).float()
    model.save_pretrained(tmp_path)
    expected = model.model(_ids()).last_hidden_state
    assert GMLPModel.from_pretrained(tmp_path)(_ids()).last_hidden_state.equal(expected)
    for head in (GMLPForSequenceClassification, GMLPForTokenClassification):
        loaded = head.from_pretrained(tmp_path, num_labels=3)
        assert loaded.model(_ids()).last_hidden_state.equal(expected)
        assert loaded.classifier.weight.std() > 0


@KINDS
def test_gradient_checkpointing_changes_no_gradient(make_model, kind):
    """Gradients with checkpointing equal those without, for a padded batch."""
    ids, mask, gradients = _ids(), torch.ones(2, 9), []
    mask[0, :3] = 0
    for checkpointing in (False, True):
        model = make_model(GMLPForMaskedLM, **kind).train()
        if checkpointing:
            # The new name of transformers 5.23 if there is one; the old one warns there.
            enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
            enable({"use_reentrant": False})
        model(ids, attention_mask=mask, labels=ids).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for expected, actual in zip(*gradients, strict=True):
        _close(actual, expected, atol=1e-12)


@KINDS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(make_model, dtype, kind):
    """In 16 bits a padded batch keeps the dtype and follows the double-precision logits."""
    model, ids, mask = make_model(GMLPForMaskedLM, initializer_range=0.1, **kind), _ids(), torch.ones(2, 9)
    mask[0, 6:] = 0
    expected = model(ids, attention_mask=mask).logits
    actual = model.to(dtype)(ids, attention_mask=mask).logits
    assert actual.dtype == dtype
    _close(actual[mask.bool()].double(), expected[mask.bool()], atol=0.05)


def test_no_buffers(make_model):
    """The models hold no buffers, which `from_pretrained` could leave uninitialised."""
    assert not list(make_model(attention_head_dim=4).buffers())


def test_models_pickle(make_model):
    """A pickled model gives the same states, also after a pass that returned hidden states."""
    model, ids = make_model(), _ids()
    expected = model(ids, output_hidden_states=True).last_hidden_state
    assert pickle.loads(pickle.dumps(model))(ids).last_hidden_state.equal(expected)


@KINDS
def test_export_with_dynamic_length(make_model, kind):
    """An exported graph gives the model's logits at a length it was not exported with, padded on the left."""
    model = make_model(GMLPForMaskedLM, **kind)
    # Shorter than the longest text: there torch makes a graph of its own, which takes no corner.
    length = torch.export.Dim("length", min=2, max=15)
    shapes = {"input_ids": {1: length}, "attention_mask": {1: length}}
    inputs = {"input_ids": _ids(), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    program = torch.export.export(model, (), inputs, dynamic_shapes=shapes)
    longer, mask = _ids(length=13), torch.ones(2, 13, dtype=torch.long)
    mask[0, :5] = 0
    actual = program.module()(input_ids=longer, attention_mask=mask).logits
    _close(actual[mask.bool()], model(longer, attention_mask=mask).logits[mask.bool()])

"""The models: equations, padding, caching, gradients, saving."""

import copy
import hashlib
import json
import re
import subprocess
import sys

import autoreg
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BartConfig, DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from autoreg_convs2s import ConvS2SConfig, ConvS2SForConditionalGeneration, ConvS2SModel

HALF = 0.5**0.5
OPTIONS = {"max_new_tokens": 9, "do_sample": False}


def _ids(batch=2, length=7, seed=0):
    return torch.randint(4, 40, (batch, length), generator=torch.Generator().manual_seed(seed))


def _close(actual, expected, *, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def _inputs(batch=2):
    return {"input_ids": _ids(batch), "decoder_input_ids": _ids(batch, 6, seed=1)}


# --- the paper -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_logits_are_the_papers(make_model, kernel_size):
    """The logits and attentions equal the equations of section 3, written token by token."""
    model = make_model(encoder_kernel_size=kernel_size, decoder_kernel_size=kernel_size)
    source, target = _ids(1)[0], _ids(1, 6, seed=1)[0]
    outputs = model(source[None], decoder_input_ids=target[None], output_attentions=True)
    logits, weights = _paper(model, source, target)
    _close(outputs.logits[0], logits)
    for actual, expected in zip(outputs.cross_attentions, weights, strict=True):
        _close(actual[0, 0], expected)
    assert logits.std() > 0.1


def _affine(layer, vector):
    return layer.weight @ vector + layer.bias


def _gate(layer, window):
    """v(W x + b) for the `k` inputs of a window (section 3.2)."""
    channels = window[0].shape[0]
    sums = layer.bias.clone()
    for tap, vector in enumerate(window):
        sums = sums + layer.weight[:, :, tap] @ vector
    return sums[:channels] * torch.sigmoid(sums[channels:])


def _stack(inputs, layer, kernel_size, ahead):
    """Gate every token by the `kernel_size` inputs that end `ahead` tokens behind it, zeros outside."""
    zero = torch.zeros_like(inputs[0])
    padded = [zero] * (kernel_size - 1 - ahead) + inputs + [zero] * ahead
    return [_gate(layer, padded[index : index + kernel_size]) for index in range(len(inputs))]


@torch.no_grad()
def _paper(model, source, target):
    encoder, decoder, config = model.model.encoder, model.model.decoder, model.config
    table = encoder.embed_tokens.weight
    e = [table[token] + encoder.embed_positions.weight[index] for index, token in enumerate(source)]
    states = [_affine(encoder.in_proj, each) for each in e]
    for layer in encoder.layers:
        gated = _stack(states, layer.conv, config.encoder_kernel_size, config.encoder_kernel_size // 2)
        states = [(new + old) * HALF for new, old in zip(gated, states, strict=True)]
    z = [_affine(encoder.out_proj, each) for each in states]
    values = [(one + other) * HALF for one, other in zip(z, e, strict=True)]

    g = [table[token] + decoder.embed_positions.weight[index] for index, token in enumerate(target)]
    states, all_weights = [_affine(decoder.in_proj, each) for each in g], []
    for layer in decoder.layers:
        gated, rows = _stack(states, layer.conv, config.decoder_kernel_size, 0), []
        for index, h in enumerate(gated):
            d = (_affine(layer.attention.in_proj, h) + g[index]) * HALF
            scores = torch.stack([d @ each for each in z])
            a = scores.exp() / scores.exp().sum()
            c = len(z) ** 0.5 * sum(weight * value for weight, value in zip(a, values, strict=True))
            attended = (h + _affine(layer.attention.out_proj, c)) * HALF
            states[index] = (attended + states[index]) * HALF
            rows.append(a)
        all_weights.append(torch.stack(rows))
    logits = [_affine(model.lm_head, _affine(decoder.out_proj, each)) for each in states]
    return torch.stack(logits), all_weights


@pytest.mark.parametrize("weight_norm", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_weights_begin_as_the_paper_says(dropout, weight_norm):
    """New weights have the standard deviations of section 3.5, and biases are zero."""
    torch.manual_seed(0)
    config = ConvS2SConfig(
        vocab_size=300, hidden_size=96, conv_channels=128, encoder_layers=1, decoder_layers=1, dropout=dropout
    )
    config.weight_norm = weight_norm
    model = ConvS2SForConditionalGeneration(config)
    encoder, decoder, kept = model.model.encoder, model.model.decoder, 1 - dropout
    expected = [
        (encoder.embed_tokens, 0.1),
        (encoder.embed_positions, 0.1),
        (decoder.embed_positions, 0.1),
        (encoder.in_proj, (kept / 96) ** 0.5),
        (decoder.in_proj, (kept / 96) ** 0.5),
        (encoder.layers[0].conv, (4 * kept / (3 * 128)) ** 0.5),
        (decoder.layers[0].conv, (4 * kept / (3 * 128)) ** 0.5),
        (decoder.layers[0].attention.in_proj, 128**-0.5),
        (decoder.layers[0].attention.out_proj, 96**-0.5),
        (encoder.out_proj, 128**-0.5),
        (decoder.out_proj, 128**-0.5),
        (model.lm_head, (kept / 96) ** 0.5),
    ]
    for layer, deviation in expected:
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.03)
    assert all(each.eq(0).all() for name, each in model.named_parameters() if name.endswith("bias"))
    assert encoder.embed_tokens.weight[config.pad_token_id].eq(0).all()


def test_deep_stacks_keep_their_variance():
    """Through twenty layers on either side the states keep the size they begin with (sections 3.4 and 3.5)."""
    torch.manual_seed(0)
    config = ConvS2SConfig(vocab_size=100, hidden_size=128, conv_channels=128, dropout=0.0)
    model = ConvS2SModel(config).eval()
    ids = torch.randint(4, 100, (4, 30))
    outputs = model(ids, decoder_input_ids=ids, output_hidden_states=True)
    for states in (outputs.encoder_hidden_states, outputs.decoder_hidden_states):
        sizes = torch.stack([each.std() for each in states])
        assert len(sizes) == 21
        assert (sizes / sizes[0]).max() < 2
        assert (sizes / sizes[0]).min() > 0.5


def test_encoder_gradient_is_scaled(make_model):
    """Of the gradients only those through the encoder's stack are divided, by twice the number of attentions."""
    gradients, logits = [], []
    for scaled in (False, True):
        model = make_model(scale_encoder_gradient=scaled)
        outputs = model(**_inputs(), labels=_ids(length=6, seed=2))
        outputs.loss.backward()
        logits.append(outputs.logits)
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    whole, divided = gradients
    assert logits[0].equal(logits[1])
    direct = _gradient_beside_the_stack(make_model())
    for name, gradient in whole.items():
        if name in direct:
            expected = direct[name] + (gradient - direct[name]) / 4
        else:
            expected = gradient / 4 if ".encoder." in name else gradient
        _close(divided[name], expected, atol=1e-8)
        assert gradient.abs().max() > 1e-4


def _gradient_beside_the_stack(model):
    """Return the gradients of the embeddings with the encoder's output held fixed."""
    inputs = _inputs()
    outputs = model.get_encoder()(inputs.pop("input_ids"))
    z, values = outputs.last_hidden_state, outputs.attention_values
    outputs.attention_values = values + (z.detach() - z) * HALF
    outputs.last_hidden_state = z.detach()
    model(encoder_outputs=outputs, **inputs, labels=_ids(length=6, seed=2)).loss.backward()
    names = ("model.encoder.embed_tokens.weight", "model.encoder.embed_positions.weight")
    return {name: model.get_parameter(name).grad for name in names}


# --- padding ---------------------------------------------------------------------------------------

_PATTERN = st.lists(st.booleans(), min_size=1, max_size=9).filter(any)


@settings(deadline=None, max_examples=40)
@given(source=_PATTERN, target=_PATTERN)
def test_padding_changes_nothing(source, target):
    """A padded pair has the logits it has alone, wherever the padding of source and target lies."""
    model = _tiny()
    masks = [torch.tensor([pattern, [True] * len(pattern)]) for pattern in (source, target)]
    # Under the mask lie ordinary tokens: the padding token's embedding is zero and would hide a mask ignored.
    ids = [_ids(length=len(pattern), seed=seed) for seed, pattern in enumerate((source, target))]
    padded = model(
        ids[0], attention_mask=masks[0].long(), decoder_input_ids=ids[1], decoder_attention_mask=masks[1].long()
    )
    for row in range(2):
        alone = [each[row, mask[row]][None] for each, mask in zip(ids, masks, strict=True)]
        expected = model(alone[0], decoder_input_ids=alone[1])
        _close(padded.logits[row, masks[1][row]], expected.logits[0])
        _close(padded.encoder_last_hidden_state[row, masks[0][row]], expected.encoder_last_hidden_state[0])


_MODELS = {}


def _tiny(**options):
    """Return one model for all examples of a property, which fixtures of a function cannot be shared by."""
    if not _MODELS:
        torch.manual_seed(0)
        sizes = {"vocab_size": 40, "hidden_size": 6, "conv_channels": 8, "encoder_layers": 2, "decoder_layers": 2}
        model = ConvS2SForConditionalGeneration(ConvS2SConfig(max_position_embeddings=20, **sizes)).double().eval()
        for parameter in model.parameters():
            parameter.data.mul_(1.5)
        model.model.encoder.embed_tokens.weight.data.normal_()
        _MODELS["one"] = model
    return _MODELS["one"]


@pytest.mark.parametrize("sides", ["left", "right"])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_padded_generation_equals_generation_alone(make_model, sides, num_beams):
    """Each source of a batch padded on either side is written as it is by itself, also by beam search."""
    model, ids = make_model(), _ids(3)
    mask = torch.ones_like(ids)
    mask[0, slice(0, 3) if sides == "left" else slice(4, 7)] = 0
    mask[1, 0 if sides == "left" else 6] = 0
    batch = model.generate(ids, attention_mask=mask, num_beams=num_beams, min_new_tokens=9, **OPTIONS)
    for row in range(3):
        alone = ids[row, mask[row].bool()][None]
        assert batch[row].equal(model.generate(alone, num_beams=num_beams, min_new_tokens=9, **OPTIONS)[0])


def test_padding_gets_no_attention(make_model):
    """Attention weights sum to one, and are zero on the source's padding."""
    model, inputs = make_model(), _inputs()
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[0, :3] = 0
    attentions = model(**inputs, attention_mask=mask, output_attentions=True).cross_attentions
    assert [tuple(each.shape) for each in attentions] == [(2, 1, 6, 7)] * 2
    for weights in attentions:
        _close(weights.sum(-1), torch.ones(2, 1, 6, dtype=torch.float64))
        assert weights[0, ..., :3].eq(0).all()
        assert weights[1].gt(0).all()


@pytest.mark.parametrize(("which", "shape"), [("", (2, 1, 7, 7)), ("", (2, 6)), ("", (2, 8)), ("decoder_", (2, 5))])
def test_unfit_mask_is_refused(make_model, which, shape):
    """A mask over pairs of tokens, or of another length, raises with its shape."""
    with pytest.raises(ValueError, match=re.escape(f"shape {shape}")):
        make_model()(**_inputs(), **{f"{which}attention_mask": torch.ones(shape)})


def test_positions_end(make_model):
    """A text longer than the table of positions raises and says so; padding does not count."""
    model = make_model(max_position_embeddings=6)
    with pytest.raises(ValueError, match=r"A text of 7 tokens is longer than `config.max_position_embeddings` \(6\)"):
        model(**_inputs())
    mask = torch.tensor([[0] + [1] * 6] * 2)
    padded = model(**_inputs(), attention_mask=mask)
    _close(padded.logits, model(_ids()[:, 1:], decoder_input_ids=_inputs()["decoder_input_ids"]).logits)
    with pytest.raises(ValueError, match="A text of 7 tokens"):
        model.generate(_ids()[:, :5], max_new_tokens=12, min_new_tokens=12)


# --- cache -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel_size", [1, 2, 5])
@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": True, "top_k": 5},
        {"num_beams": 3},
        {"num_beams": 4, "num_return_sequences": 2, "do_sample": True},
    ],
    ids=["greedy", "sampling", "beam", "beam-sampling"],
)
def test_generation_is_the_same_without_cache(make_model, options, kernel_size):
    """A padded batch is written alike with the windows and without any."""
    model, ids = make_model(decoder_kernel_size=kernel_size), _ids(3)
    mask = torch.ones_like(ids)
    mask[0, :4] = mask[1, :1] = 0

    def generate(**more):
        torch.manual_seed(1)
        return model.generate(ids, attention_mask=mask, max_new_tokens=15, min_new_tokens=15, **options, **more)

    cached = generate()
    assert cached.shape[1] == 16
    assert cached.equal(generate(use_cache=False))


def test_beams_change_places(make_model, monkeypatch):
    """Beam search needs the cache reordered: without that it writes something else."""
    model, ids = make_model(), _ids(4)
    expected = model.generate(ids, num_beams=4, min_new_tokens=9, **OPTIONS)
    monkeypatch.setattr("autoreg_convs2s.cache_convs2s.ConvolutionCacheLayer.reorder_cache", lambda *_: None)
    assert not model.generate(ids, num_beams=4, min_new_tokens=9, **OPTIONS).equal(expected)


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 4), min_size=2, max_size=4), seed=st.integers(0, 99))
def test_continuation_with_several_tokens(cuts, seed):
    """Reading a padded target piece by piece through the cache gives the logits of one pass."""
    model, source, target = _tiny(), _ids(), _ids(length=sum(cuts), seed=seed)
    mask = torch.rand(target.shape, generator=torch.Generator().manual_seed(seed)) < 0.7
    whole = model(source, decoder_input_ids=target, decoder_attention_mask=mask).logits
    cache, logits, seen = None, [], 0
    for size in cuts:
        seen += size
        piece = {"decoder_input_ids": target[:, seen - size : seen], "decoder_attention_mask": mask[:, :seen]}
        outputs = model(source, past_key_values=cache, use_cache=True, **piece)
        cache = outputs.past_key_values
        logits.append(outputs.logits)
    _close(torch.cat(logits, dim=1)[mask], whole[mask])


def test_windows_have_constant_size(make_model):
    """A layer keeps the last kernel_size - 1 inputs of its convolution and nothing of the source, however long."""
    model = make_model(decoder_kernel_size=4)
    for new_tokens in (2, 30):
        outputs = model.generate(
            _ids(), max_new_tokens=new_tokens, min_new_tokens=new_tokens, return_dict_in_generate=True
        )
        cache = outputs.past_key_values
        assert [tuple(layer.keys.shape) for layer in cache.self_attention_cache.layers] == [(2, 3, 14)] * 2
        assert [layer.keys for layer in cache.cross_attention_cache.layers] == [None] * 2
        assert cache.get_seq_length() == new_tokens


@torch.no_grad()
def test_cache_rows_can_be_chosen_and_repeated(make_model):
    """Reordering, selecting and repeating rows of the cache does so to the continuation."""
    model, more = make_model(), _ids(3, 4, seed=2)
    source = model.get_encoder()(_ids(3))
    past = model(encoder_outputs=source, decoder_input_ids=_ids(3, 6, seed=1), use_cache=True).past_key_values

    def go_on(cache, rows):
        encoded = {name: source[name][rows] for name in ("last_hidden_state", "attention_values")}
        encoded = type(source)(**encoded)
        return model(encoder_outputs=encoded, decoder_input_ids=more[rows], past_key_values=cache).logits

    expected = go_on(copy.deepcopy(past), torch.arange(3))
    order = torch.tensor([2, 0, 0])
    for method in ("reorder_cache", "batch_select_indices"):
        cache = copy.deepcopy(past)
        getattr(cache, method)(order)
        _close(go_on(cache, order), expected[order])
    past.batch_repeat_interleave(2)
    twice = torch.tensor([0, 0, 1, 1, 2, 2])
    _close(go_on(past, twice), expected[twice])


def test_reset_cache_is_a_new_one(make_model):
    """After `reset` a cache gives what no cache gives."""
    model = make_model()
    cache = model(**_inputs(), use_cache=True).past_key_values
    cache.reset()
    assert cache.get_seq_length() == 0
    _close(model(**_inputs(), past_key_values=cache).logits, model(**_inputs()).logits)


def test_cache_cannot_be_cropped(make_model):
    """Taking tokens back raises with the way out; taking back none does nothing."""
    cache = make_model()(**_inputs(), use_cache=True).past_key_values
    cache.crop(0)
    with pytest.raises(RuntimeError, match="cannot be cropped"):
        cache.crop(-1)


def test_a_bare_cache_is_taken_too(make_model):
    """A `DynamicCache` alone serves as well as an `EncoderDecoderCache`."""
    model, cache = make_model(), DynamicCache(config=make_model().config)
    inputs = _inputs()
    first, rest = inputs["decoder_input_ids"][:, :2], inputs["decoder_input_ids"][:, 2:]
    model(inputs["input_ids"], decoder_input_ids=first, past_key_values=cache)
    _close(
        model(inputs["input_ids"], decoder_input_ids=rest, past_key_values=cache).logits,
        model(**inputs).logits[:, 2:],
    )


@pytest.mark.parametrize("config", [None, BartConfig(decoder_layers=2)], ids=["bare", "keys-and-values"])
def test_foreign_cache_is_refused(make_model, config):
    """A cache of keys and values raises and names the cache to make instead."""
    cache = EncoderDecoderCache(DynamicCache(config=config), DynamicCache(config=config))
    with pytest.raises(TypeError, match=r"DynamicCache\(config=model.config\)"):
        make_model()(**_inputs(), past_key_values=cache)


def test_assisted_generation_is_refused(make_model):
    """Assisted decoding, which would have to take tokens back, raises."""
    with pytest.raises(ValueError, match="stateful"):
        make_model().generate(_ids(1), assistant_model=make_model(), max_new_tokens=4)


# --- inputs and outputs ----------------------------------------------------------------------------


@pytest.mark.parametrize("return_dict", [True, False])
@pytest.mark.parametrize("output_hidden_states", [True, False])
def test_encoder_outputs_are_taken(make_model, return_dict, output_hidden_states):
    """What the encoder returns, by name or as a tuple, stands for the source, in `forward` and in `generate`."""
    model, inputs = make_model(), _inputs()
    outputs = model.get_encoder()(
        inputs["input_ids"], return_dict=return_dict, output_hidden_states=output_hidden_states
    )
    decoder_input_ids = inputs["decoder_input_ids"]
    _close(model(encoder_outputs=outputs, decoder_input_ids=decoder_input_ids).logits, model(**inputs).logits)
    if return_dict:
        expected = model.generate(inputs["input_ids"], num_beams=2, **OPTIONS)
        assert model.generate(encoder_outputs=outputs, num_beams=2, **OPTIONS).equal(expected)


@pytest.mark.parametrize("form", [tuple, lambda states: BaseModelOutput(*states)], ids=["tuple", "output"])
def test_encoder_outputs_without_values_are_refused(make_model, form):
    """The hidden state alone raises, and the message says what to pass."""
    with pytest.raises(ValueError, match="hold no `attention_values`"):
        make_model()(encoder_outputs=form([torch.zeros(2, 7, 10)]), decoder_input_ids=_ids())


def test_labels_are_shifted(make_model):
    """The decoder reads labels one to the right, the loss compares them with the logits, and -100 is left out."""
    model, ids, labels = make_model(), _ids(), _ids(length=6, seed=1)
    labels[0, 4:] = -100
    outputs = model(ids, labels=labels, use_cache=True)
    decoder_input_ids = model.prepare_decoder_input_ids_from_labels(labels)
    assert decoder_input_ids.tolist() == [[2, *labels[0, :4].tolist(), 1], [2, *labels[1, :5].tolist()]]
    assert outputs.past_key_values is None
    _close(outputs.logits, model(ids, decoder_input_ids=decoder_input_ids).logits)
    expected = torch.nn.functional.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten())
    # transformers computes losses in float32, whatever the model's dtype.
    _close(outputs.loss, expected.float(), atol=1e-6)
    divided = model(ids, labels=labels, num_items_in_batch=torch.tensor(5)).loss
    _close(divided, outputs.loss * 10 / 5, atol=1e-5)


@pytest.mark.parametrize("name", ["pad_token_id", "decoder_start_token_id"])
def test_labels_need_ids(make_model, name):
    """Without the ids that shifting needs, labels raise and the message names the field."""
    model = make_model()
    setattr(model.config, name, None)
    with pytest.raises(ValueError, match=rf"`config.{name}` must be set"):
        model(_ids(), labels=_ids())


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"decoder_input_ids": _ids()}, "exactly one of input_ids or inputs_embeds"),
        (
            {"input_ids": _ids(), "inputs_embeds": torch.zeros(2, 7, 10), "decoder_input_ids": _ids()},
            "exactly one of input_ids or inputs_embeds",
        ),
        ({"input_ids": _ids()}, "labels, decoder_input_ids or decoder_inputs_embeds"),
        (
            {"input_ids": _ids(), "decoder_input_ids": _ids(), "decoder_inputs_embeds": torch.zeros(2, 7, 10)},
            "exactly one of decoder_input_ids or decoder_inputs_embeds",
        ),
    ],
)
def test_exactly_one_kind_of_input(make_model, inputs, message):
    """Neither or both of ids and embeddings raise, for source and target."""
    with pytest.raises(ValueError, match=message):
        make_model()(**inputs)


def test_base_model_reads_one_text(make_model):
    """Without a target the base model reads the source moved to the right, as BART's does."""
    model, ids = make_model().model, _ids()
    shifted = torch.cat((torch.full((2, 1), 2), ids[:, :-1]), dim=1)
    _close(model(ids).last_hidden_state, model(ids, decoder_input_ids=shifted).last_hidden_state)


def test_inputs_embeds_equal_input_ids(make_model):
    """Embeddings passed in on both sides give the logits of their ids, and generation starts from them."""
    model, inputs = make_model(), _inputs()
    embeds = {
        name.replace("input_ids", "inputs_embeds"): model.get_input_embeddings()(ids) for name, ids in inputs.items()
    }
    _close(model(**embeds).logits, model(**inputs).logits)
    generated = model.generate(inputs_embeds=embeds["inputs_embeds"], **OPTIONS)
    assert generated.equal(model.generate(inputs["input_ids"], **OPTIONS))


def test_eager_and_sdpa_agree(make_model):
    """torch's fused attention gives the logits of the written-out weights, with padding too."""
    model, mask = make_model(), torch.ones(2, 7, dtype=torch.long)
    mask[0, 5:] = 0
    logits = []
    for name in ("eager", "sdpa"):
        model.set_attn_implementation(name)
        logits.append(model(**_inputs(), attention_mask=mask).logits)
    _close(*logits)
    assert logits[0].std() > 0.1


def test_outputs_follow_transformers(make_model):
    """Hidden states of both sides and tuples come as from any sequence-to-sequence model."""
    model = make_model()
    outputs = model(**_inputs(), output_hidden_states=True, use_cache=False)
    assert [tuple(states.shape) for states in outputs.encoder_hidden_states] == [(2, 7, 14)] * 4
    assert [tuple(states.shape) for states in outputs.decoder_hidden_states] == [(2, 6, 14)] * 3
    assert outputs.past_key_values is None
    assert outputs.cross_attentions is None
    logits, encoded = model(**_inputs(), use_cache=False, return_dict=False)
    assert logits.equal(outputs.logits)
    assert encoded.equal(outputs.encoder_last_hidden_state)


@pytest.mark.parametrize("tie", [True, False])
def test_embeddings_resize(make_model, tie):
    """Resizing the embeddings resizes the output layer with them and keeps the old rows."""
    model = make_model(tie_word_embeddings=tie)
    before = model(**_inputs()).logits
    model.resize_token_embeddings(48, mean_resizing=False)
    after = model(**_inputs()).logits
    _close(after[..., :40], before)
    assert after.shape[-1] == model.config.vocab_size == 48


# --- training and saving ---------------------------------------------------------------------------


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_changes_no_gradient(make_model, use_reentrant):
    """Gradients with checkpointing equal those without, with dropout and padding."""
    ids, gradients = _ids(), []
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    for checkpointing in (False, True):
        model = make_model(scale_encoder_gradient=True).train()
        if checkpointing:
            # The new name of transformers 5.23 if there is one; the old one warns there.
            enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
            enable({"use_reentrant": use_reentrant})
        torch.manual_seed(3)
        model(ids, attention_mask=mask, labels=ids).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for expected, actual in zip(*gradients, strict=True):
        _close(actual, expected, atol=1e-12)
        assert expected.abs().max() > 0


def test_loss_decreases(make_model):
    """Thirty steps on one batch bring the loss under a third of where it began."""
    model, ids = make_model(scale_encoder_gradient=True, dropout=0.0).float().train(), _ids()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2)
    losses = []
    for _ in range(30):
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


def _digest(model):
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


_FRESH = """
import hashlib, json, sys
import autoreg
found = {}
for name, path in json.loads(sys.argv[1]).items():
    model = getattr(autoreg, name).from_pretrained(path)
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode() + tensor.numpy().tobytes())
    found[name] = [type(model).__name__, digest.hexdigest()]
print(json.dumps(found))
"""


def test_every_head_comes_back_in_a_fresh_process(make_model, tmp_path):
    """What autoreg saved, another process that knows only the path loads to the last bit, for both classes."""
    head = make_model(tie_word_embeddings=True).float()
    models = {"AutoModelForSeq2SeqLM": head, "AutoModel": make_model().float().model}
    for name, model in models.items():
        autoreg.save_pretrained(model, tmp_path / name)
    paths = json.dumps({name: str(tmp_path / name) for name in models})
    result = subprocess.run([sys.executable, "-c", _FRESH, paths], capture_output=True, text=True, check=True)
    expected = {name: [type(model).__name__, _digest(model)] for name, model in models.items()}
    assert json.loads(result.stdout.splitlines()[-1]) == expected


def test_base_model_loads_from_the_head(make_model, tmp_path):
    """The base model takes its weights from a checkpoint with a head, nothing missing."""
    model = make_model().float()
    model.save_pretrained(tmp_path)
    loaded, report = ConvS2SModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert _digest(loaded) == _digest(model.model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(make_model, dtype):
    """In 16 bits outputs and windows keep the dtype, and cached logits follow the uncached."""
    model, inputs = make_model().to(dtype), _inputs()
    whole = model(**inputs, use_cache=True)
    assert whole.logits.dtype == whole.past_key_values.self_attention_cache.layers[0].keys.dtype == dtype
    target = inputs["decoder_input_ids"]
    past = model(inputs["input_ids"], decoder_input_ids=target[:, :3], use_cache=True).past_key_values
    rest = model(inputs["input_ids"], decoder_input_ids=target[:, 3:], past_key_values=past).logits
    torch.testing.assert_close(rest, whole.logits[:, 3:], rtol=0.03, atol=0.03)


def test_export_with_dynamic_lengths(make_model):
    """An exported graph gives the model's logits at lengths it was not exported with, padded."""
    model = make_model(use_cache=False)
    source, target = (torch.export.Dim(name, min=2, max=40) for name in ("source", "target"))
    inputs = _inputs() | {"attention_mask": torch.ones(2, 7, dtype=torch.long)}
    shapes = {"input_ids": {1: source}, "decoder_input_ids": {1: target}, "attention_mask": {1: source}}
    program = torch.export.export(model, (), inputs, dynamic_shapes=shapes)
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[0, :5] = 0
    longer = {"input_ids": _ids(length=12), "decoder_input_ids": _ids(length=9), "attention_mask": mask}
    _close(program.module()(**longer).logits, model(**longer).logits)


def test_no_buffers(make_model):
    """The models hold no buffers, which `from_pretrained` could leave uninitialised."""
    assert not list(make_model().buffers())

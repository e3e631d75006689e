"""The models: forms, padding, caching, gradients, saving."""

import copy
import pickle
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache, GPT2Config

from autoreg_retnet import RetNetConfig, RetNetForCausalLM, RetNetForSequenceClassification, RetNetModel
from autoreg_retnet.retention import rotation

FORMS = ("parallel", "recurrent", "chunkwise")
PAD = 37


def _ids(batch=2, length=11, seed=0):
    return torch.randint(0, PAD, (batch, length), generator=torch.Generator().manual_seed(seed))


def _close(actual, expected, *, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def test_forms_agree(make_model):
    """The logits of a whole model are the same in the three forms."""
    model, ids = make_model(), _ids()
    logits = []
    for form in FORMS:
        model.config.retention_form = form
        logits.append(model(ids).logits)
    _close(logits[1], logits[0])
    _close(logits[2], logits[0])
    assert logits[0].std() > 0.1


def test_layer_is_equation_8(make_model):
    """Multi-scale retention equals the paper's formula, written with complex numbers and scalar loops."""
    model = make_model()
    layer, config = model.model.layers[0].retention, model.config
    states = torch.randn(7, config.hidden_size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    positions = torch.arange(7)[None]
    angles = rotation(positions, config.head_dim, base=config.rotation_base, dtype=torch.float64)
    actual = layer(states[None], positions=positions, position_embeddings=angles)[0]

    heads = []
    for head in range(config.num_attention_heads):
        keys, values = (slice(head * size, (head + 1) * size) for size in (config.head_dim, config.value_head_dim))
        query, key = (_turn(projection(states)[:, keys], config) for projection in (layer.q_proj, layer.k_proj))
        value, gamma = layer.v_proj(states)[:, values], 1 - 2.0 ** (-5 - head)
        for n in range(7):
            decays = [gamma ** (n - m) for m in range(n + 1)]
            scores = [(query[n] * key[m].conj()).real.sum() / config.head_dim**0.5 for m in range(n + 1)]
            row = (
                sum(s * d * value[m] for m, (s, d) in enumerate(zip(scores, decays, strict=True))) / sum(decays) ** 0.5
            )
            heads.append((row - row.mean()) / (row.var(correction=0) + config.layer_norm_eps).sqrt())
    normed = torch.stack(heads).unflatten(0, (-1, 7)).transpose(0, 1).flatten(1)
    gate = layer.g_proj(states)
    _close(actual, layer.o_proj(gate * gate.sigmoid() * normed))


def _turn(states, config):
    """Read halves as complex numbers and multiply row n by e^(i n theta)."""
    numbers = torch.complex(*states.chunk(2, dim=-1))
    theta = config.rotation_base ** (-torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim)
    return numbers * torch.exp(1j * torch.arange(len(states), dtype=torch.float64)[:, None] * theta)


def test_forms_agree_in_float32(make_model):
    """In float32 the logits of the three forms differ by rounding only."""
    model, ids = make_model(initializer_range=0.1).float(), _ids(length=40)
    logits = []
    for form in FORMS:
        model.config.retention_form = form
        logits.append(model(ids).logits)
    _close(logits[1], logits[0], atol=2e-5)
    _close(logits[2], logits[0], atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None, max_examples=15)
@given(pattern=st.lists(st.booleans(), min_size=1, max_size=12).filter(any))
def test_padding_changes_nothing(form, pattern):
    """A padded row gives its real tokens the logits they have alone, wherever the padding lies."""
    model = _small_model(retention_form=form)
    mask = torch.tensor([pattern, [True] * len(pattern)])
    # Under the mask lie ordinary tokens: the padding token's embedding is zero and would hide a mask ignored.
    ids = _ids(length=len(pattern))
    padded = model(ids, attention_mask=mask.long()).logits
    for row in range(2):
        _close(padded[row, mask[row]], model(ids[row, mask[row]][None]).logits[0])


def test_left_padded_generation_equals_generation_alone(make_model):
    """Each text of a left-padded batch is continued as it is continued by itself."""
    model, ids = make_model(), _ids(batch=3)
    mask = torch.ones_like(ids)
    mask[0, :4] = mask[1, :1] = 0
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": PAD}
    batch = model.generate(ids, attention_mask=mask, **options)
    for row in range(3):
        alone = model.generate(ids[row, mask[row].bool()][None], **options)
        assert batch[row, 11:].equal(alone[0, -8:])


def _small_model(**options):
    torch.manual_seed(0)
    config = RetNetConfig(
        vocab_size=40,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        chunk_size=3,
        initializer_range=0.5,
        pad_token_id=PAD,
        bos_token_id=38,
        eos_token_id=39,
        **options,
    )
    return RetNetForCausalLM(config).double().eval()


def test_padding_leaves_no_trace_in_the_state(make_model):
    """The state after a padded row equals the state after its real tokens alone."""
    model, ids = make_model(), _ids(batch=1)
    mask = torch.tensor([[0] * 3 + [1] * 6 + [0] * 2])
    with_padding = model(ids, attention_mask=mask, use_cache=True).past_key_values
    alone = model(ids[:, 3:9], use_cache=True).past_key_values
    for layer, expected in zip(with_padding.layers, alone.layers, strict=True):
        _close(layer.keys, expected.keys)
        assert layer.values.equal(expected.values)
    assert (with_padding.get_seq_length(), alone.get_seq_length()) == (11, 6)


def test_position_ids_default_to_counting_real_tokens(make_model):
    """Position ids as `generate` makes them give the logits of the default."""
    model, ids = make_model(), _ids()
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    position_ids = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 1)
    given_ids = model(ids, attention_mask=mask, position_ids=position_ids).logits
    _close(given_ids[mask.bool()], model(ids, attention_mask=mask).logits[mask.bool()])


def test_skipped_positions_age_the_state(make_model):
    """A gap in the position ids changes what follows it, so position ids are not ignored."""
    model, ids = make_model(), _ids(batch=1)
    position_ids = torch.arange(11)[None]
    gap = position_ids + 40 * (position_ids > 5)
    plain, aged = model(ids, position_ids=position_ids).logits, model(ids, position_ids=gap).logits
    _close(aged[:, :6], plain[:, :6])
    assert (aged[:, 6:] - plain[:, 6:]).abs().max() > 1e-3


def test_packed_position_ids_are_refused(make_model):
    """Position ids that start again within a row raise, instead of letting one text run into the next."""
    with pytest.raises(ValueError, match="go back within a row"):
        make_model()(_ids(length=6), position_ids=torch.tensor([[0, 1, 2, 0, 1, 2]]))


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, 5), min_size=2, max_size=5), left=st.integers(0, 3))
def test_continuation_with_several_tokens(cuts, left):
    """Feeding a left-padded batch piece by piece through the cache gives the logits of one pass."""
    model = _small_model()
    ids = _ids(length=sum(cuts))
    mask = torch.ones_like(ids)
    mask[0, :left] = 0
    whole = model(ids, attention_mask=mask).logits
    cache, logits, seen = DynamicCache(config=model.config), [], 0
    for size in cuts:
        seen += size
        outputs = model(ids[:, seen - size : seen], attention_mask=mask[:, :seen], past_key_values=cache)
        logits.append(outputs.logits)
    _close(torch.cat(logits, dim=1)[mask.bool()], whole[mask.bool()])


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
def test_generation_is_the_same_without_cache(make_model, options):
    """A left-padded batch continues alike with the state and without any."""
    model, ids = make_model(), _ids(batch=3)
    mask = torch.ones_like(ids)
    mask[0, :4] = mask[1, :1] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}

    def generate(**more):
        torch.manual_seed(1)
        return model.generate(**inputs, max_new_tokens=15, min_new_tokens=15, **options, **more)

    cached = generate()
    assert cached.shape[1] == 26
    assert cached.equal(generate(use_cache=False))


def test_generation_goes_on_from_a_cache(make_model):
    """Generating 5 tokens and then 7 from the returned cache gives the 12 of one call."""
    model, ids = make_model(), _ids()
    options = {"do_sample": False, "eos_token_id": None, "pad_token_id": PAD}
    whole = model.generate(ids, max_new_tokens=12, **options)
    first = model.generate(ids, max_new_tokens=5, return_dict_in_generate=True, **options)
    rest = model.generate(first.sequences, past_key_values=first.past_key_values, max_new_tokens=7, **options)
    assert rest.equal(whole)


def test_generation_uses_constant_memory(make_model):
    """The state has as many bytes after 40 tokens as after 2."""
    model = make_model()

    def size(new_tokens):
        outputs = model.generate(
            _ids(), max_new_tokens=new_tokens, eos_token_id=None, pad_token_id=PAD, return_dict_in_generate=True
        )
        return sum(tensor.nbytes for layer in outputs.past_key_values.layers for tensor in (layer.keys, layer.values))

    assert size(40) == size(2) > 0


@torch.no_grad()
def test_cache_rows_can_be_chosen_and_repeated(make_model):
    """Reordering, selecting and repeating rows of the cache does so to the continuation."""
    model, ids, more = make_model(), _ids(batch=3), _ids(batch=3, length=4, seed=1)
    past = model(ids, use_cache=True).past_key_values
    expected = model(more, past_key_values=copy.deepcopy(past)).logits
    order = torch.tensor([2, 0, 0])
    for method, rows in (("reorder_cache", order), ("batch_select_indices", order)):
        cache = copy.deepcopy(past)
        getattr(cache, method)(rows)
        _close(model(more[order], past_key_values=cache).logits, expected[order])
    past.batch_repeat_interleave(2)
    twice = torch.tensor([0, 0, 1, 1, 2, 2])
    _close(model(more[twice], past_key_values=past).logits, expected[twice])


def test_reset_cache_is_a_new_one(make_model):
    """After `reset` a cache gives what no cache gives."""
    model, ids = make_model(), _ids()
    cache = model(ids, use_cache=True).past_key_values
    cache.reset()
    assert cache.get_seq_length() == 0
    _close(model(ids, past_key_values=cache).logits, model(ids).logits)


def test_cache_cannot_be_cropped(make_model):
    """Taking tokens back raises with the way out; taking back none does nothing."""
    cache = make_model()(_ids(), use_cache=True).past_key_values
    cache.crop(0)
    with pytest.raises(RuntimeError, match="cannot be cropped"):
        cache.crop(-1)


@pytest.mark.parametrize("config", [None, GPT2Config(n_layer=2)], ids=["bare", "keys-and-values"])
def test_foreign_cache_is_refused(make_model, config):
    """A cache of keys and values raises and names the cache to make instead."""
    with pytest.raises(TypeError, match=r"DynamicCache\(config=model.config\)"):
        make_model()(_ids(), past_key_values=DynamicCache(config=config))


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_gradient_checkpointing_changes_no_gradient(make_model, use_reentrant):
    """Gradients with checkpointing equal those without."""
    ids, gradients = _ids(), []
    for checkpointing in (False, True):
        model = make_model().train()
        if checkpointing:
            # The new name of transformers 5.23 if there is one; the old one warns there.
            enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
            enable({"use_reentrant": use_reentrant})
        model(ids, labels=ids).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for expected, actual in zip(*gradients, strict=True):
        _close(actual, expected, atol=1e-12)
        assert expected.abs().max() > 0


def test_every_form_has_the_same_gradients(make_model):
    """Gradients through the recurrent and the chunkwise form equal those through the parallel one."""
    ids, gradients = _ids(), []
    for form in FORMS:
        model = make_model(retention_form=form).train()
        model(ids, labels=ids).loss.backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    _close(gradients[1], gradients[0])
    _close(gradients[2], gradients[0])


def test_loss_decreases(make_model):
    """Thirty steps on one batch bring the loss under a third of where it began."""
    model, ids = make_model(initializer_range=0.05).float().train(), _ids()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(30):
        loss = model(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


@pytest.mark.parametrize("tie", [True, False])
def test_save_and_load_bit_identical(make_model, tmp_path, tie):
    """What `save_pretrained` wrote, plain `RetNetForCausalLM.from_pretrained` reads back to the last bit."""
    model = make_model(tie_word_embeddings=tie).float()
    model.save_pretrained(tmp_path)
    loaded, report = RetNetForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(loaded.state_dict()[name].equal(tensor) for name, tensor in model.state_dict().items())
    assert loaded(_ids()).logits.equal(model(_ids()).logits)
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) is tie


def test_base_model_and_classifier_load_from_a_language_model(make_model, tmp_path):
    """The base model and the classifier take their stack from a language model's checkpoint."""
    model = make_model().float()
    model.save_pretrained(tmp_path)
    expected = model.model(_ids()).last_hidden_state
    assert RetNetModel.from_pretrained(tmp_path)(_ids()).last_hidden_state.equal(expected)
    classifier = RetNetForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    assert classifier.model(_ids()).last_hidden_state.equal(expected)
    assert classifier.score.weight.std() > 0


@pytest.mark.parametrize("side", ["left", "right"])
def test_classifier_reads_the_last_real_token(make_model, side):
    """Padding on either side leaves a text's class scores as they were, found by mask or by padding id."""
    config = make_model(num_labels=3).config
    model = RetNetForSequenceClassification(config).double().eval()
    ids, padding = _ids(batch=1), torch.full((1, 3), PAD)
    padded = torch.cat((padding, ids) if side == "left" else (ids, padding), dim=1)
    alone = model(ids).logits
    _close(model(padded, attention_mask=padded.ne(PAD)).logits, alone)
    embeds = model.get_input_embeddings()(padded)
    _close(model(inputs_embeds=embeds, attention_mask=padded.ne(PAD)).logits, alone)
    assert model(ids, labels=torch.tensor([2])).loss > 0


def test_inputs_embeds_equal_input_ids(make_model):
    """Embeddings passed in give the logits of their ids, and generation starts from them."""
    model, ids = make_model(), _ids()
    embeds = model.get_input_embeddings()(ids)
    _close(model(inputs_embeds=embeds).logits, model(ids).logits)
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": PAD}
    assert model.generate(inputs_embeds=embeds, **options).equal(model.generate(ids, **options)[:, 11:])


@pytest.mark.parametrize("inputs", [{}, {"input_ids": _ids(), "inputs_embeds": torch.zeros(2, 11, 24)}])
def test_exactly_one_kind_of_input(make_model, inputs):
    """Neither or both of ids and embeddings raise."""
    with pytest.raises(ValueError, match="exactly one of input_ids or inputs_embeds"):
        make_model()(**inputs)


@pytest.mark.parametrize("shape", [(2, 1, 11, 11), (2, 10)])
def test_unfit_mask_is_refused(make_model, shape):
    """An attention mask over pairs of tokens, or over too few of them, raises with its shape."""
    with pytest.raises(ValueError, match=re.escape(f"shape {shape}")):
        make_model()(_ids(), attention_mask=torch.ones(shape))


def test_outputs_follow_transformers(make_model):
    """Hidden states, tuples, kept logits and the loss come as from any causal language model."""
    model, ids = make_model(), _ids()
    outputs = model(ids, labels=ids, output_hidden_states=True, use_cache=False)
    assert [tuple(states.shape) for states in outputs.hidden_states] == [(2, 11, 24)] * 3
    assert outputs.past_key_values is None
    expected = torch.nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    # transformers computes losses in float32, whatever the model's dtype.
    _close(outputs.loss, expected.float(), atol=1e-6)
    loss, logits = model(ids, labels=ids, use_cache=False, return_dict=False)
    assert loss.equal(outputs.loss)
    _close(model(ids, logits_to_keep=2).logits, logits[:, -2:])
    _close(model(ids, logits_to_keep=torch.tensor([0, 5])).logits, logits[:, [0, 5]])


@pytest.mark.parametrize("tie", [True, False])
def test_embeddings_resize(make_model, tie):
    """Resizing the embeddings resizes the head with them and keeps the old rows."""
    model, ids = make_model(tie_word_embeddings=tie), _ids()
    before = model(ids).logits
    model.resize_token_embeddings(48, mean_resizing=False)
    _close(model(ids).logits[..., :40], before)
    assert model(ids).logits.shape[-1] == model.config.vocab_size == 48


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(make_model, dtype):
    """In 16 bits the outputs keep the dtype, the state is float32, and cached logits follow the uncached."""
    model, ids = make_model(initializer_range=0.1).to(dtype), _ids()
    whole = model(ids, use_cache=True)
    assert (whole.logits.dtype, whole.past_key_values.layers[0].keys.dtype) == (dtype, torch.float32)
    past = model(ids[:, :6], use_cache=True).past_key_values
    rest = model(ids[:, 6:], past_key_values=past).logits
    torch.testing.assert_close(rest, whole.logits[:, 6:], rtol=0.02, atol=0.02)


def test_no_buffers():
    """The models hold no buffers, which `from_pretrained` could leave uninitialised."""
    assert not list(_small_model().buffers())


def test_models_pickle(make_model):
    """A pickled model gives the same logits, also after a pass that returned hidden states."""
    model, ids = make_model(), _ids()
    expected = model(ids, output_hidden_states=True).logits
    assert pickle.loads(pickle.dumps(model))(ids).logits.equal(expected)


def test_export_with_dynamic_length(make_model):
    """An exported graph gives the model's logits at a length it was not exported with."""
    model = make_model(chunk_size=64, use_cache=False)
    length = torch.export.Dim("length", min=2, max=64)
    ids, mask = _ids(), torch.ones(2, 11, dtype=torch.long)
    shapes = {"input_ids": {1: length}, "attention_mask": {1: length}}
    program = torch.export.export(model, (), {"input_ids": ids, "attention_mask": mask}, dynamic_shapes=shapes)
    longer, mask = _ids(length=23), torch.ones(2, 23, dtype=torch.long)
    mask[0, :5] = 0
    actual = program.module()(input_ids=longer, attention_mask=mask).logits
    _close(actual, model(longer, attention_mask=mask).logits)


def test_assisted_generation_is_refused(make_model):
    """Assisted decoding, which would have to take tokens back, raises."""
    model = make_model()
    with pytest.raises(ValueError, match="stateful"):
        model.generate(_ids(batch=1), assistant_model=make_model(), max_new_tokens=4)

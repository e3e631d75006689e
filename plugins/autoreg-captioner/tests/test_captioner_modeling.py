"""The models: features in the place of image tokens, several images, caching, beams, padding, saving, errors."""

import pickle
import subprocess
import sys

import autoreg
import pytest
import torch
from autoreg_convmixer import ConvMixerModel
from autoreg_retnet import RetNetForCausalLM, RetNetModel

from autoreg_captioner import CaptionerForConditionalGeneration, CaptionerModel

IMAGE, PAD = 36, 37
GREEDY = {"do_sample": False, "eos_token_id": None, "pad_token_id": PAD}


def _pixels(count, seed=0):
    """Images of two positions each."""
    return torch.randn(count, 3, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _ids(*texts):
    return torch.tensor(texts)


def _close(actual, expected, *, atol=1e-10):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


ONE = [38, IMAGE, IMAGE, 4, 5, 6, 7]
OTHER = [38, 9, 8, 3, IMAGE, IMAGE, 2]


def test_parts_are_the_other_plugins_models(make_captioner):
    """The tower is a ConvMixer and the language model a RetNet, found by the model types of their configs."""
    model = make_captioner().model
    assert (type(model.vision_tower), type(model.language_model)) == (ConvMixerModel, RetNetModel)


def test_features_take_the_place_of_image_tokens(make_captioner):
    """The logits are those of RetNet on embeddings in which the projected features stand for the image tokens."""
    model, pixels, ids = make_captioner(), _pixels(2), _ids(ONE, OTHER)
    tower, projector = model.model.vision_tower, model.model.projector
    maps = tower(pixels).last_hidden_state
    embeds = model.get_input_embeddings()(ids).clone()
    for row, start in ((0, 1), (1, 4)):
        for place in range(2):
            state = projector.up_proj(maps[row, :, 0, place])
            embeds[row, start + place] = projector.down_proj(torch.nn.functional.gelu(state))
    alone = RetNetForCausalLM(model.config.text_config).double().eval()
    alone.load_state_dict(
        {f"model.{name}": tensor for name, tensor in model.model.language_model.state_dict().items()}
        | {"lm_head.weight": model.lm_head.weight}
    )
    outputs = model(ids, pixels)
    _close(outputs.logits, alone(inputs_embeds=embeds).logits)
    assert outputs.image_hidden_states.shape == (2, 2, 16)
    assert (outputs.logits - model(ids, 2 * pixels).logits).abs().max() > 0.01


def test_rows_of_a_feature_map_follow_each_other(make_captioner):
    """The positions of an image stand in the order of reading: row by row."""
    model = make_captioner().model
    pixels = torch.randn(1, 3, 8, 12, dtype=torch.float64)
    outputs = model.get_image_features(pixels)
    maps = outputs.last_hidden_state
    assert maps.shape[2:] == (2, 3)
    _close(outputs.pooler_output[0, 4], model.projector(maps[0, :, 1, 1]))


def test_texts_may_have_any_number_of_images(make_captioner):
    """In a batch, texts with two, one and no image have the logits that they have alone."""
    model, pixels = make_captioner(), _pixels(3)
    two = [38, IMAGE, IMAGE, 5, IMAGE, IMAGE, 7]
    none = [38, 1, 2, 3, 4, 5, 6]
    batch = model(_ids(two, none, ONE), pixels).logits
    _close(batch[0], model(_ids(two), pixels[:2]).logits[0])
    _close(batch[1], model(_ids(none)).logits[0])
    _close(batch[2], model(_ids(ONE), pixels[2:]).logits[0])


def test_embeddings_in_place_of_ids(make_captioner):
    """Given embeddings, image tokens are told by theirs."""
    model, pixels, ids = make_captioner(), _pixels(2), _ids(ONE, OTHER)
    embeds = model.get_input_embeddings()(ids)
    _close(model(inputs_embeds=embeds, pixel_values=pixels).logits, model(ids, pixels).logits)


def test_encoded_images_in_place_of_pixels(make_captioner):
    """What `get_image_features` returned can be passed on in place of the images, and not beside them."""
    model, pixels, ids = make_captioner(), _pixels(2), _ids(ONE, OTHER)
    encoded = {"image": model.get_image_features(pixels)}
    _close(model(ids, mm_encoder_outputs=encoded).logits, model(ids, pixels).logits)
    with pytest.raises(ValueError, match="cannot specify both pixel_values and mm_encoder_outputs"):
        model(ids, pixels, mm_encoder_outputs=encoded)


def test_generation_equals_generation_without_the_state(make_captioner):
    """With RetNet's state the tokens are those that whole passes over image and text give."""
    model, pixels, ids = make_captioner(), _pixels(2), _ids(ONE, OTHER)
    cached = model.generate(ids, pixel_values=pixels, max_new_tokens=6, **GREEDY)
    for _ in range(6):
        ids = torch.cat((ids, model(ids, pixels).logits[:, -1:].argmax(-1)), dim=1)
    assert cached.equal(ids)


def test_left_padded_generation_equals_generation_alone(make_captioner):
    """Texts of different lengths with different images are continued in a batch as by themselves."""
    model, pixels = make_captioner(), _pixels(3)
    short, long = [38, IMAGE, IMAGE, 4], [38, IMAGE, IMAGE, 5, IMAGE, IMAGE, 7]
    ids = _ids([PAD] * 3 + short, long)
    batch = model.generate(ids, attention_mask=ids.ne(PAD).long(), pixel_values=pixels, max_new_tokens=5, **GREEDY)
    assert batch[0, 7:].equal(model.generate(_ids(short), pixel_values=pixels[:1], max_new_tokens=5, **GREEDY)[0, 4:])
    assert batch[1].equal(model.generate(_ids(long), pixel_values=pixels[1:], max_new_tokens=5, **GREEDY)[0])


def test_beams_keep_their_images(make_captioner):
    """Beam search over a batch finds what it finds for each text alone."""
    model, pixels, options = make_captioner(), _pixels(2), {"max_new_tokens": 5, "num_beams": 3, **GREEDY}
    batch = model.generate(_ids(ONE, OTHER), pixel_values=pixels, **options)
    for row, text in enumerate((ONE, OTHER)):
        assert batch[row].equal(model.generate(_ids(text), pixel_values=pixels[row : row + 1], **options)[0])


def test_the_tower_looks_once(make_captioner):
    """While a caption is generated, each image goes through the vision tower once."""
    model, seen = make_captioner(), []
    model.model.vision_tower.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[0]))
    model.generate(_ids(ONE), pixel_values=_pixels(1), max_new_tokens=5, num_beams=2, **GREEDY)
    assert seen == [1]


@pytest.mark.parametrize(
    ("ids", "count", "message"),
    [
        ([ONE], 2, "There are 2 image tokens .* and 4 image features: 2 images of 2"),
        ([[38, 1, 2]], 1, "There are 0 image tokens"),
    ],
)
def test_tokens_and_features_must_agree(make_captioner, ids, count, message):
    """Another number of image tokens than of features raises, and says both."""
    with pytest.raises(ValueError, match=message):
        make_captioner()(torch.tensor(ids), _pixels(count))


@pytest.mark.parametrize("inputs", [{}, {"input_ids": _ids(ONE), "inputs_embeds": torch.zeros(1, 7, 16)}])
def test_exactly_one_kind_of_text(make_captioner, inputs):
    """Neither or both of ids and embeddings raise."""
    with pytest.raises(ValueError, match="exactly one of input_ids or inputs_embeds"):
        make_captioner()(**inputs)


def test_gradients_reach_every_part(make_captioner):
    """The loss of a caption moves the tower, the projector and the language model, and training lowers it."""
    model, pixels, ids = make_captioner().train(), _pixels(2), _ids(ONE, OTHER)
    labels = ids.masked_fill(ids == IMAGE, -100)
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=1e-2), []
    for _ in range(30):
        loss = model(ids, pixels, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


SCRIPT = """
import sys, torch, autoreg
from pathlib import Path
for folder in sorted(Path(sys.argv[1]).iterdir()):
    model = getattr(autoreg, folder.name.split("-")[1]).from_pretrained(folder)
    expected, actual = torch.load(folder / "expected.pt"), model.state_dict()
    assert actual.keys() == expected.keys(), folder
    assert all(actual[key].equal(expected[key]) for key in actual), folder
    print(type(model).__name__)
"""


def test_every_head_is_restored_in_a_fresh_process(make_captioner, tmp_path):
    """What `autoreg.save_pretrained` wrote, tied or not, the Auto class reads back bit for bit in another process."""
    for tie in (False, True):
        model = make_captioner(tie_word_embeddings=tie).float().train()
        model(_ids(ONE), _pixels(1).float())  # moves the tower's batch norms
        for name, each in (("AutoModel", model.model), ("AutoModelForImageTextToText", model)):
            autoreg.save_pretrained(each, tmp_path / f"{tie}-{name}")
            torch.save(each.state_dict(), tmp_path / f"{tie}-{name}" / "expected.pt")
    run = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert run.stdout.split() == [CaptionerModel.__name__, CaptionerForConditionalGeneration.__name__] * 2, run.stderr


def test_embeddings_resize(make_captioner):
    """Resizing the embeddings resizes the head and the text config with them, and keeps the old rows."""
    model, pixels, ids = make_captioner(), _pixels(1), _ids(ONE)
    before = model(ids, pixels).logits
    model.resize_token_embeddings(48, mean_resizing=False)
    _close(model(ids, pixels).logits[..., :40], before)
    assert model.config.text_config.vocab_size == model(ids, pixels).logits.shape[-1] == 48


def test_models_pickle(make_captioner):
    """A pickled captioner gives the same logits."""
    model, pixels, ids = make_captioner(), _pixels(1), _ids(ONE)
    assert pickle.loads(pickle.dumps(model))(ids, pixels).logits.equal(model(ids, pixels).logits)


def test_other_parts_can_be_taken(make_captioner):
    """A language model of transformers' own takes the place of the RetNet, with its cache of keys and values."""
    text = {"model_type": "llama", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "intermediate_size": 24, "pad_token_id": PAD}
    model, pixels, ids = make_captioner(text_config=text), _pixels(1), _ids(ONE)
    cached = model.generate(ids, pixel_values=pixels, max_new_tokens=4, **GREEDY)
    for _ in range(4):
        ids = torch.cat((ids, model(ids, pixels).logits[:, -1:].argmax(-1)), dim=1)
    assert cached.equal(ids)

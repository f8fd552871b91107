"""Weights that are fine-tuned on a scan's own slices."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import ndimage

from espcn_core.degradation import SliceProfile, thicken
from espcn_core.errors import RequestError, VolumeError
from espcn_core.grid import Grid
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import load_model, save_model
from espcn_core.training import adapt as module
from espcn_core.training.adapt import adapt
from espcn_core.training.fine_slices import fine_slices
from espcn_core.training.validation import Score
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.upscaler import run

FACTOR = 4
PROFILE = SliceProfile()
RANGES = {
    "spacing_range_mm": [3.0, 5.0],
    "contrast_range": {"mean": [0.1, 0.9], "sharpness": [0.4, 0.9], "noise": [0.0, 0.1]},
}


@pytest.fixture(autouse=True, scope="module")
def _fast():
    """A network that begins with nothing learned takes larger steps than one that is nearly there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module._FIXED, "learning_rate", 1e-2)
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """Of factors (1, 4); their residual is zero."""
    torch.manual_seed(1)
    arguments = {"width": 8, "depth": 1, "adaptive": True}
    training = {"data": "noise", **RANGES, "config": {"batch": 2, "clip": 0.25, "unknown": 1}}
    card = Card("thin", "espcn-r", (1, FACTOR), "gaussian", arguments, training, {"psnr": 1.0})
    network = build("espcn-r", (1, FACTOR), **arguments)
    return str(save_model(network, card, tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="module")
def truth():
    """Blobs of three values with sharp edges, (48, 44, 56)."""
    noise = ndimage.gaussian_filter(np.random.default_rng(8).normal(size=(48, 44, 56)), 2.5)
    return (50 + 300 * np.digitize(noise / noise.std(), [-0.5, 0.5])).astype(np.float32)


@pytest.fixture(scope="module")
def thick(truth):
    return thicken(torch.from_numpy(truth), 2, FACTOR, PROFILE).numpy()


def grid_of(shape, spacing=(1.0, 1.0, FACTOR)) -> Grid:
    return Grid(shape[:3], np.diag([*spacing, 1.0]))


@pytest.fixture(scope="module")
def make(weights):
    """Adapts to an array whose last axis is thick."""

    def make(
        array, profile=PROFILE, *, steps=40, scale=(1, 1, FACTOR), spacing=(1.0, 1.0, FACTOR), **options
    ):
        grid = grid_of(array.shape, spacing)
        plan = make_plan(grid, Request(scale=scale), lambda factors: weights)
        return adapt(array, grid, plan, profile, steps=steps, device="cpu", **options)

    return make


@pytest.fixture(scope="module")
def found(make, thick):
    """After 120 steps, not to be changed."""
    return make(thick, steps=120)


def state(found) -> dict[str, list[float]]:
    return {name: tensor.tolist() for name, tensor in found.network.state_dict().items()}


def test_a_scan_gains_along_the_axis_that_nobody_has_seen(found, truth, thick, weights, tmp_path):
    assert found.gain > 1
    grid = grid_of(thick.shape)
    errors = {}
    for model in (weights, str(save_model(found.network, found.card, tmp_path))):
        plan = make_plan(grid, Request(scale=(1, 1, FACTOR), model=model))
        fine = run(plan, thick, profile=PROFILE, consistent=False, device="cpu").array
        errors[model] = float(np.square(fine - truth).mean())
    before, after = errors.values()
    assert after < 0.85 * before


def test_the_same_number_of_steps_gives_the_same_weights_and_leaves_no_trace(found, make, thick):
    torch.manual_seed(77)
    before = torch.get_rng_state()
    again = make(thick, steps=120)
    assert torch.equal(torch.get_rng_state(), before)
    assert state(again) == state(found)
    assert dataclasses.replace(again.card) == found.card
    assert state(make(thick, steps=60)) != state(found)


@pytest.mark.parametrize("steps", [7, 230])
def test_as_many_steps_are_taken_as_are_asked_for(make, thick, steps):
    seen = []
    found = make(thick, steps=steps, watch=seen.append)
    assert found.steps == found.card.training["steps"] == steps
    assert (seen[-1].step, seen[-1].total) == (steps, steps)
    assert max(0.0, seen[-1].gain) == pytest.approx(found.gain, abs=1e-9)


def test_what_is_held_out_is_not_trained_on(make, thick, monkeypatch):
    trained, measured = [], []
    real_patches, real_pairs = module.PatchDataset, module.thick_pairs

    def patches(slices, config, **options):
        trained.extend(item["fine"].numpy().tobytes() for item in slices)
        return real_patches(slices, config, **options)

    def pairs(slices, factor, profile):
        measured.extend(image.numpy().tobytes() for image in slices)
        return real_pairs(slices, factor, profile)

    monkeypatch.setattr(module, "PatchDataset", patches)
    monkeypatch.setattr(module, "thick_pairs", pairs)
    found = make(thick, steps=1)
    assert len(measured) == found.held_out == found.card.training["held_out_slices"] == 2
    assert len(set(trained)) == found.card.training["slices"] == 12
    assert not set(trained) & set(measured)


def test_the_card_says_what_was_done_and_not_to_whom(found, weights):
    card = found.card
    text = card.to_json()
    assert weights.rpartition("/")[0] not in text
    assert (card.name, card.factor, card.not_for) == (
        "thin-adapted",
        (1, FACTOR),
        load_model(weights)[1].not_for,
    )
    training = card.training
    assert training["data"] == "in-plane slices of the scan itself"
    assert (training["start"], training["start_data"], training["profile"]) == ("thin", "noise", "gaussian:1")
    assert {key: training[key] for key in RANGES} == RANGES
    config = training["config"]
    assert (config["batch"], config["clip"], config["start"]) == (2, 0.25, "thin")
    assert (config["patch"], config["thickness"], config["noise"]) == (44, [1.0, 1.0], 0.0)
    assert "data" not in config
    assert card.metrics["gain_over_start"] == pytest.approx(found.gain, abs=1e-4)
    assert "psnr" not in card.metrics
    json.loads(text)


def test_the_first_volume_of_several_counts_whatever_its_type(make, thick):
    reference = state(make(thick, steps=3))
    both = np.stack([thick, thick[::-1]], -1)
    assert state(make(both, steps=3)) == reference
    assert state(make(both[..., None].astype(np.float64), steps=3)) == reference
    assert make(thick.astype(np.float16), steps=3).steps == 3
    assert make(thick.astype(np.int16), steps=3).steps == 3
    gaps = thick.copy()
    gaps[:5, :5] = np.nan
    assert np.isfinite(make(gaps, steps=3).gain)


def test_the_profile_is_judged_as_upscaling_does(make, thick, monkeypatch):
    judged = SliceProfile(thickness=0.9)
    monkeypatch.setattr("espcn_core.upscaling.finish.likeliest_profile", lambda *_: judged)
    assert make(thick, None, steps=1).card.training["profile"] == "gaussian:0.9"
    assert make(thick, SliceProfile(thickness=1.2), steps=1).card.training["profile"] == "gaussian:0.9"


def test_a_box_is_trained_as_one(make, thick):
    card = make(thick, SliceProfile("box", 1.1), steps=1).card
    assert (card.degradation, card.training["profile"]) == ("area", "box:1.1")
    assert card.training["config"]["mixture"] == {"area": 1}


def test_an_early_end_keeps_what_there_is(make, thick):
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 30

    found = make(thick, steps=4000, stop=stop)
    assert found.steps == found.card.training["steps"] == 30
    assert found.gain > 0


def test_a_bound_on_the_time_is_kept(make, thick):
    found = make(thick, steps=100_000, minutes=0.02)
    assert 30 < found.steps < 2000
    assert found.gain > 0


@pytest.mark.parametrize("after", [30.0, 29.0, float("nan")])
def test_without_a_gain_the_weights_stay_as_they_were(make, thick, weights, monkeypatch, after):
    scores = iter([30.0, 31.0, after])  # before; at the end of the only epoch; at the very end
    monkeypatch.setattr(module, "measure", lambda *_: Score(next(scores), 0.9, 2))
    found = make(thick, steps=12)
    assert found.gain == found.card.metrics["gain_over_start"] == 0
    before = load_model(weights)[0].state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in found.network.state_dict().items())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scale": (2, 2, 1)}, "no axis is made finer on its own"),
        ({"scale": (1, 1, 12)}, "axis k is made finer in two stages"),
        ({"spacing": (1.0, 2.0, 4.0)}, "pixels of 1 x 2 mm, and weights are adapted by slices"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_a_sentence(make, thick, options, sentence):
    with pytest.raises(RequestError, match=sentence):
        make(thick, **options)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda thick: thick[:, :, :7], "7 slices of 48 x 44 pixels are more than air"),
        (lambda thick: thick[:20], "14 slices of 20 x 44 .* by 8 or more of 24 x 24"),
        (lambda thick: 0 * thick, "0 slices of"),
        (lambda thick: thick * (np.arange(14) > 8), "5 slices of"),
    ],
)
def test_too_few_or_too_small_slices_are_refused_with_what_is_needed(make, thick, change, sentence):
    with pytest.raises(RequestError, match=sentence):
        make(change(thick))


def test_complex_values_are_refused(make, thick):
    with pytest.raises(VolumeError, match="only real numbers"):
        make(thick.astype(np.complex64))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_those_across_the_thick_axis_by_one_map(thick, axis):
    turned = np.moveaxis(thick, 2, axis)
    spacing = np.insert([1.0, 1.0], axis, FACTOR)
    slices = fine_slices(turned, grid_of(turned.shape, spacing), axis)
    low, high = thick.min(), thick.max()
    assert len(slices) == thick.shape[2]
    for n, image in enumerate(slices):
        np.testing.assert_allclose(image[0].numpy(), (thick[:, :, n] - low) / (high - low), atol=1e-6)

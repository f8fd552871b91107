from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose, GaussianSmooth

from espcn_core.degradation import SliceProfile, degrade, thicken
from espcn_core.grid import Grid
from espcn_core.transforms import (
    FitIntensityd,
    LoadSliced,
    RandContrastd,
    RandDegraded,
    RandFlatAird,
    RandSmoothd,
)


def grid(image):
    return Grid((*image.shape[-2:], 1), image.affine.numpy())


# RandContrastd


def varied(image, share, seed):
    transform = RandContrastd("image", share)
    transform.set_random_state(seed)
    return transform({"image": image})["image"]


@given(st.integers(0, 2**32 - 1))
def test_no_share_leaves_every_contrast_as_it_is(seed):
    image = torch.linspace(-0.5, 1.5, 63).reshape(1, 7, 9)
    assert torch.equal(varied(image, 0.0, seed), image)


@given(st.integers(0, 2**32 - 1))
def test_another_contrast_is_a_bounded_curve_over_the_same_ends(seed):
    image = torch.linspace(-0.5, 1.5, 201).reshape(1, 3, 67)
    other = varied(image, 1.0, seed)
    assert torch.equal(other, varied(image, 1.0, seed))
    assert not torch.equal(other, image)
    assert other.dtype == torch.float32
    assert -0.25 <= float(other.min()) <= 0 < 1 <= float(other.max()) <= 1.25
    values = other.flatten()
    below, above = values[:51], values[150:]  # values up to 0 and from 1
    assert {float(below[0]), float(above[0])} == {0, 1}
    assert below.unique().numel() == above.unique().numel() == 1
    # four straight pieces: the slope changes at three points between 0 and 1
    bends = values[50:151].double().diff().diff().abs() > 1e-5
    assert {int(i) for i in bends.nonzero()} <= {24, 49, 74}


def test_so_many_contrasts_change_and_a_third_of_them_is_turned_upside_down():
    transform = RandContrastd("image", 0.4)
    transform.set_random_state(2)
    image = torch.tensor([[[0.0, 1.0]]])
    lifted = image + torch.tensor([[[0.3, 0.0]]])
    ends, changed = [], 0
    for _ in range(2000):
        ends.append(float(transform({"image": image})["image"][0, 0, 0]))
        changed += not torch.equal(transform({"image": lifted})["image"], lifted)
    assert changed / 2000 == pytest.approx(0.4, abs=0.04)
    assert np.mean(ends) == pytest.approx(0.4 / 3, abs=0.03)


def test_an_image_of_another_contrast_stays_where_it_is(source, tracked):
    chain = Compose([LoadSliced("image", source), FitIntensityd("image", fit_to="image")])
    image = chain({"image": 2002})["image"]
    other = varied(image, 1.0, 3)
    assert isinstance(other, MetaTensor) == tracked
    assert other.shape == image.shape
    if tracked:
        assert torch.equal(other.affine, image.affine)
        assert (other.meta["index"], other.meta["low"]) == (2002, image.meta["low"])
    plain = varied(torch.as_tensor(image), 1.0, 3)
    assert torch.equal(torch.as_tensor(other), torch.as_tensor(plain))


# RandSmoothd and RandFlatAird


def drawn(transform, image, count=400):
    transform.set_random_state(4)
    return [transform({"image": image})["image"] for _ in range(count)]


def test_three_in_ten_images_are_smoothed_and_no_wider_than_asked():
    image = torch.zeros(1, 41, 41)
    image[0, 20, 20] = 1
    images = drawn(RandSmoothd("image", 1.5), image)
    smooth = [found for found in images if not torch.equal(found, image)]
    assert len(smooth) / len(images) == pytest.approx(0.3, abs=0.06)
    away = torch.arange(41) - 20
    variances = [float((found[0].sum(0) * away**2).sum()) for found in smooth]
    for found in smooth:
        assert float(found.sum()) == pytest.approx(1, abs=1e-3)
        torch.testing.assert_close(found, found.mT)
    # of the pixels that the Gaussian is averaged over, too: 1/12
    assert 0.5 < max(variances) <= 1.5**2 + 1 / 12 + 0.01
    assert min(variances) < 0.3


@pytest.mark.parametrize("shape", [(1, 3, 2), (2, 31, 40)])
@pytest.mark.parametrize("sigma", [0.2, 0.7, 2.0])
def test_smoothing_is_that_of_monai(shape, sigma):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    smooth = RandSmoothd("image", sigma)
    smooth._sigma = sigma
    torch.testing.assert_close(smooth._changed(image), GaussianSmooth(sigma)(image), atol=1e-6, rtol=0)


def test_the_air_of_half_of_the_images_becomes_flat_and_nothing_else_changes():
    image = torch.linspace(-0.1, 1, 111).reshape(1, 3, 37)
    images = drawn(RandFlatAird("image", 0.2), image)
    flat = [found for found in images if not torch.equal(found, image)]
    assert len(flat) / len(images) == pytest.approx(0.5, abs=0.08)
    levels = [float(found.min()) for found in flat]
    assert 0 < min(levels) < 0.02
    assert 0.18 < max(levels) <= 0.2
    for found, level in zip(flat, levels, strict=True):
        assert torch.equal(found, image.clamp(min=level))


@pytest.mark.parametrize("transform", [RandSmoothd("image", 2.0), RandFlatAird("image", 0.9)])
def test_what_is_smoothed_or_flat_stays_where_it_is(source, tracked, transform):
    chain = Compose([LoadSliced("image", source), FitIntensityd("image", fit_to="image")])
    image = chain({"image": 2002})["image"]
    others = drawn(transform, image, 12)
    assert any(not torch.equal(torch.as_tensor(a), torch.as_tensor(image)) for a in others)
    for other in others:
        assert isinstance(other, MetaTensor) == tracked
        assert (other.shape, other.dtype) == (image.shape, image.dtype)
        if tracked:
            assert torch.equal(other.affine, image.affine)
            assert other.meta["index"] == 2002


# RandDegraded


def drawn_kinds(mixture, noise, count, seed=4):
    """The kind of each draw; None where noise was added to it."""
    fine = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(2))
    by_kind = {kind: degrade(fine, (4, 4), kind) for kind in mixture}
    transform = RandDegraded("fine", "coarse", (4, 4), mixture, noise)
    transform.set_random_state(seed)
    drawn = []
    for _ in range(count):
        item = transform({"fine": fine})
        assert torch.equal(item["fine"], fine)
        same = [kind for kind, coarse in by_kind.items() if torch.equal(coarse, item["coarse"])]
        drawn.append(same[0] if same else None)
    return drawn


def test_kinds_are_drawn_in_proportion_to_their_weights():
    mixture = {"bicubic": 5, "area": 1, "kspace": 2.5, "point": 1.5}
    drawn = drawn_kinds(mixture, 0.0, 2000)
    for kind, weight in mixture.items():
        assert drawn.count(kind) / 2000 == pytest.approx(weight / 10, abs=0.04)
    assert drawn_kinds({"gaussian": 0.1}, 0.0, 5) == ["gaussian"] * 5


def test_half_of_the_coarse_images_stay_clean():
    drawn = drawn_kinds({"bicubic": 3, "area": 1}, 0.1, 2000)
    assert drawn.count(None) / 2000 == pytest.approx(0.5, abs=0.04)
    assert drawn.count("bicubic") / 2000 == pytest.approx(3 / 8, abs=0.04)


def test_the_noise_is_no_stronger_than_said_and_counts_from_no_signal():
    fine = 1000 * torch.rand(1, 96, 96, generator=torch.Generator().manual_seed(3)) - 500
    clean = degrade(fine, (2, 2), "area")
    low, high = float(clean.min()), float(clean.max())
    transform = RandDegraded("fine", "coarse", (2, 2), {"area": 1}, 0.1)
    transform.set_random_state(5)
    levels = []
    for _ in range(100):
        coarse = transform({"fine": fine})["coarse"]
        assert float(coarse.min()) >= low
        levels.append(float((coarse - clean).square().mean().sqrt()) / (high - low))
    # the noise moves a value by at most its own length, on average sqrt(2) sigma
    assert max(levels) < 1.5 * 0.1
    assert max(levels) > 0.08
    assert np.median([level for level in levels if level]) == pytest.approx(0.05, abs=0.02)


@given(st.integers(0, 2**32 - 1))
def test_the_random_state_decides_kind_and_noise(seed):
    torch.manual_seed(seed % 7)  # of no importance
    before = torch.get_rng_state()
    fine = torch.linspace(0, 1, 144).reshape(1, 12, 12)
    transform = RandDegraded("fine", "coarse", (3, 2), {"area": 1, "kspace": 1}, 0.2)

    def draws():
        transform.set_random_state(seed)
        return [transform({"fine": fine})["coarse"] for _ in range(3)]

    assert all(torch.equal(a, b) for a, b in zip(draws(), draws(), strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_leaves_the_place_of_a_coarse_image_alone(source, tracked):
    item = LoadSliced("fine", source)({"fine": 2002})
    for seed in range(8):
        transform = RandDegraded("fine", "coarse", (4, 4), {"gaussian": 1}, 0.05)
        transform.set_random_state(seed)
        result = transform(item)
        coarse = result["coarse"]
        assert isinstance(coarse, MetaTensor) == tracked
        if tracked:
            np.testing.assert_allclose(grid(coarse).corners(), grid(result["fine"]).corners(), atol=1e-6)
            assert coarse.meta["index"] == 2002


def test_thick_slices_have_profiles_of_both_shapes_within_the_thickness():
    fine = torch.rand(1, 6, 240, generator=torch.Generator().manual_seed(3))
    known = {
        (shape, t): thicken(fine, 2, 4, SliceProfile(shape, t))
        for shape in ("gaussian", "box")
        for t in np.arange(0.8, 1.41, 0.02)
    }
    transform = RandDegraded("fine", "coarse", (1, 4), {"gaussian": 3, "area": 1}, 0.0, (0.8, 1.4))
    transform.set_random_state(1)
    drawn = []
    for _ in range(300):
        coarse = transform({"fine": fine})["coarse"]
        assert coarse.shape == (1, 6, 60)
        off = {key: float((coarse - thick).abs().max()) for key, thick in known.items()}
        assert min(off.values()) < 0.02
        drawn.append(min(off, key=off.get))
    shapes = [shape for shape, _ in drawn]
    assert shapes.count("box") / 300 == pytest.approx(0.25, abs=0.08)
    for shape in ("gaussian", "box"):
        thick = [t for name, t in drawn if name == shape]
        assert min(thick) == pytest.approx(0.8, abs=0.05)
        assert max(thick) == pytest.approx(1.4, abs=0.05)

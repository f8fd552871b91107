"""A volume unlike those of the training is told from one that is like them, field by field."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from espcn_core.degradation import degrade
from espcn_core.figshare import open_source
from espcn_core.intensity import IntensityMap
from espcn_core.models.cards import Card
from espcn_core.models.outside import range_warning
from espcn_core.models.ranges import STATISTICS, check_ranges, contrast_of, contrast_range

rng = np.random.default_rng(8)


def card(**training):
    return Card("m", "espcn-r", (2, 2), "bicubic", training=training)


def smooth(shape=(3, 40, 44)):
    """Noise whose spectrum falls, as that of a head does."""
    return degrade(torch.rand(*shape[:-2], 4 * shape[-2], 4 * shape[-1]), (4, 4), "gaussian").numpy()


@pytest.fixture(scope="module")
def heads(figshare_dir):
    """Coarse slices of real heads, in the networks' range."""
    with open_source(figshare_dir) as source:
        images = [torch.from_numpy(source.read(i).image.astype(np.float32)) for i in source.indices]
    coarse = [degrade(image, (4, 4), "bicubic").numpy() for image in images]
    return [IntensityMap.fit(image).forward(image) for image in coarse]


def test_noise_is_measured_as_large_as_it_is():
    for sigma in (0.01, 0.05):
        clean = np.linspace(0, 1, 200, dtype=np.float32) * np.ones((2, 200, 1), np.float32)
        measured = contrast_of(clean + rng.normal(0, sigma, clean.shape))
        assert measured["noise"] == pytest.approx(sigma, rel=0.05)
    assert contrast_of(rng.normal(0, 1, (2, 200, 200)))["sharpness"] == pytest.approx(2, rel=0.05)


@given(st.floats(0.2, 5), st.floats(-3, 3))
def test_sharpness_does_not_depend_on_the_units_and_the_others_follow_them(scale, offset):
    torch.manual_seed(1)
    slices = smooth()
    before, after = contrast_of(slices), contrast_of(scale * slices + offset)
    assert after["sharpness"] == pytest.approx(before["sharpness"], rel=1e-3)
    assert after["noise"] == pytest.approx(scale * before["noise"], rel=1e-3)
    assert after["mean"] == pytest.approx(scale * before["mean"] + offset, abs=1e-4)


def test_arrays_tensors_and_generators_are_alike():
    slices = smooth()
    measured = contrast_of(slices)
    assert list(measured) == list(STATISTICS)
    assert contrast_of(torch.from_numpy(slices)) == measured
    assert contrast_of(image for image in slices) == measured
    assert contrast_of(slices[:1]) == contrast_of(slices[0][None])


def test_slices_that_hold_next_to_nothing_do_not_count():
    slices = smooth()
    air = 0.02 * rng.random((9, 40, 44))
    assert contrast_of([*air, *slices]) == contrast_of(slices)


@pytest.mark.parametrize(
    "slices",
    [
        np.zeros((0, 9, 9)),
        np.ones((2, 9, 9)),
        rng.random((2, 3, 9)),
        np.linspace(0, 1, 64)[None, None] * np.ones((1, 64, 1)),
    ],
    ids=["none", "constant", "narrow", "ramp"],
)
def test_what_has_no_detail_has_no_statistics_and_no_warning(slices):
    assert contrast_of(slices) == {}
    assert range_warning(card(contrast_range={"mean": [0, 0]}), None, contrast_of(slices)) is None


def test_the_range_is_that_of_nearly_all_samples():
    samples = [{"mean": n / 100, "sharpness": 1 + n / 100, "noise": 0.0} for n in range(101)]
    assert contrast_range([*samples, {}]) == {
        "mean": [0.01, 0.99],
        "sharpness": [1.01, 1.99],
        "noise": [0, 0],
    }
    assert contrast_range([{}]) == {}


def test_real_heads_are_no_surprise_and_other_slices_are_named_for_what_they_are(heads):
    trained = card(contrast_range=contrast_range([contrast_of(head[None]) for head in heads]))
    warning = range_warning(trained, None, contrast_of(heads))
    assert warning is None

    def interpolated(image):
        fine = functional.interpolate(torch.from_numpy(image)[None, None], scale_factor=2, mode="bicubic")
        return fine[0, 0].numpy()

    strange = {
        "mean": [1 - head for head in heads],
        "sharpness": [interpolated(head) for head in heads],
        "noise": [head + rng.normal(0, 0.05, head.shape) for head in heads],
    }
    for field, slices in strange.items():
        assert f" {field} " in range_warning(trained, None, contrast_of(slices))


@pytest.mark.parametrize(
    ("spacing", "warns"),
    [((0.98, 1.96), False), ((0.79, 2.44), False), ((0.78, 1), True), ((1, 2.46), True)],
)
def test_a_spacing_may_be_a_quarter_off(spacing, warns):
    assert (range_warning(card(spacing_range_mm=[0.98, 1.96]), spacing, {}) is not None) is warns


@pytest.mark.parametrize(
    ("spacing", "warns"),
    [((1, 4), False), ((0.8, 4.9), False), ((0.7, 4), True), ((1, 5.1), True), ((4, 4), True)],
)
def test_through_plane_the_range_is_that_of_the_thick_axis(spacing, warns):
    thick = dataclasses.replace(card(spacing_range_mm=[4.0, 4.0]), factor=(1, 4))
    warning = range_warning(thick, spacing, {})
    assert (warning is not None) is warns
    assert warning is None or "pixels of 1 x 4 mm, not " in warning


@pytest.mark.parametrize(
    ("contrast", "warns"),
    [
        ({"mean": 0.06, "noise": 0.0}, False),
        ({"mean": 0.34, "noise": 0.0249}, False),
        ({"mean": 0.04}, True),
        ({"mean": 0.36}, True),
        ({"noise": 0.026}, True),
    ],
)
def test_a_statistic_may_be_a_quarter_of_its_range_off_and_noise_never_too_small(contrast, warns):
    trained = card(contrast_range={"mean": [0.1, 0.3], "noise": [0.012, 0.0224]})
    assert (range_warning(trained, (1, 1), contrast) is not None) is warns


def test_the_line_names_each_field_and_nothing_else():
    trained = card(spacing_range_mm=[1.96, 1.96], contrast_range={"mean": [0.1, 0.3], "noise": [0.001, 0.02]})
    end = ": the result may be no better than interpolation"
    assert range_warning(trained, (0.5, 4.21), {"mean": 0.2, "noise": 0.01}) == (
        f"m was trained on pixels of 1.96 mm, not 0.5 x 4.21 mm{end}"
    )
    assert range_warning(trained, (4.2, 4.2), {"mean": 0.7, "noise": 0.06}) == (
        "m was trained on pixels of 1.96 mm, not 4.2 mm, and on mean 0.1 to 0.3, not 0.7, "
        f"and on noise up to 0.02, not 0.06{end}"
    )


def test_a_card_without_the_fields_never_warns():
    assert range_warning(card(), (99, 99), {"mean": 9, "sharpness": 9, "noise": 9}) is None


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"spacing_range_mm": 2}, r"gives spacing_range_mm as 2, not as \[low, high\]"),
        ({"spacing_range_mm": [2, 1]}, r"as \[2, 1\]"),
        ({"spacing_range_mm": [1, "2"]}, "gives spacing_range_mm"),
        ({"spacing_range_mm": [float("nan"), 2]}, "gives spacing_range_mm"),
        ({"contrast_range": [1, 2]}, "gives contrast_range as list, not dict"),
        ({"contrast_range": {"colour": [1, 2]}}, "of 'colour': there are mean, sharpness, noise"),
        ({"contrast_range": {"mean": [True, 2]}}, "gives contrast_range of mean as"),
        ({"contrast_range": {"mean": [1, 2, 3]}}, "gives contrast_range of mean as"),
    ],
)
def test_ranges_of_another_form_are_refused(training, message):
    with pytest.raises(ValueError, match=message):
        check_ranges(training)

"""The profile of thick slices is judged by what networks made of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from espcn_core.degradation import SliceProfile
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.upscaling.consistency import profile_weights
from espcn_core.upscaling.likeliest import NARROWER, likeliest_profile
from espcn_core.upscaling.sweep import Values

FACTOR = 4


def pair(axis, profile, error=0.0, intensity=None, rest=()):
    """Thick slices of a random volume, and the volume with an error."""
    rng = np.random.default_rng(3)
    thick = Grid([12 if a == axis else 9 for a in range(3)], np.diag([1.0, 2.0, 3.0, 1.0]))
    fine = thick.finer([FACTOR if a == axis else 1 for a in range(3)])
    truth = gaussian_filter1d(rng.uniform(0, 1, (*fine.shape, *rest)), 2, axis)
    weights = profile_weights(thick, fine, axis, profile)
    said = np.moveaxis(np.tensordot(weights, truth, (1, axis)), 0, axis).astype(np.float32)
    if intensity is not None:
        said = intensity.inverse(said, np.dtype(np.float32))
    made = (truth + error * rng.normal(size=truth.shape)).astype(np.float32)
    return Values(said, thick, intensity), Values(made, fine)


@pytest.mark.parametrize("rest", [(), (2,)])
@pytest.mark.parametrize("intensity", [None, IntensityMap(-50.0, 950.0)])
@pytest.mark.parametrize("profile", [SliceProfile(thickness=part) for part in (1, *NARROWER)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_right_one_is_found_in_spite_of_errors(axis, profile, intensity, rest):
    assert likeliest_profile(*pair(axis, profile, 0.005, intensity, rest), axis) == profile


def test_another_one_has_to_be_clearly_better():
    """What a network makes has errors of its own, which may speak a little for any."""
    assert likeliest_profile(*pair(2, SliceProfile(thickness=0.95), 0.005), 2) == SliceProfile()


def test_a_box_is_taken_as_a_gaussian_of_about_its_variance():
    assert likeliest_profile(*pair(2, SliceProfile("box")), 2).thickness == 0.8


@pytest.mark.parametrize("thickness", [0.8, 1.0, 1.2])
@pytest.mark.parametrize("shape", ["gaussian", "box"])
def test_what_is_stated_rightly_stays(shape, thickness):
    stated = SliceProfile(shape, thickness)
    assert likeliest_profile(*pair(2, stated, 0.005), 2, stated) == stated


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        (SliceProfile(), SliceProfile(thickness=0.8)),
        (SliceProfile(thickness=0.9), SliceProfile(thickness=0.9 * 0.8)),
        (SliceProfile(thickness=1.2), SliceProfile(thickness=1.2 * 0.8)),
        (SliceProfile("box", 0.8), SliceProfile(thickness=0.8)),
    ],
)
def test_what_is_stated_gives_way_to_what_the_slices_say(stated, found):
    assert likeliest_profile(*pair(2, found, 0.001), 2, stated) == found


def test_more_has_to_speak_against_what_is_stated_than_against_what_is_usual():
    thick, fine = pair(2, SliceProfile(thickness=0.86), 0.0065)
    assert likeliest_profile(thick, fine, 2).thickness == 0.9
    assert likeliest_profile(thick, fine, 2, SliceProfile()) == SliceProfile()


def test_and_more_still_against_slices_that_overlap(monkeypatch):
    thick, fine = pair(2, SliceProfile(thickness=1.2 * 0.8), 0.0095)
    stated = SliceProfile(thickness=1.2)
    assert likeliest_profile(thick, fine, 2, stated) == stated
    monkeypatch.setattr("espcn_core.upscaling.likeliest._TOUCHING", 1.2)
    assert likeliest_profile(thick, fine, 2, stated).thickness == pytest.approx(0.96)


def test_where_nothing_speaks_for_another_it_is_the_usual_one():
    thick, fine = pair(2, SliceProfile())
    thick.array[...], fine.array[...] = 7, 7
    assert likeliest_profile(thick, fine, 2) == SliceProfile()


def test_voxels_that_are_not_finite_say_nothing():
    thick, fine = pair(2, SliceProfile(thickness=0.8))
    holed = Values(thick.array.copy(), thick.grid, IntensityMap(0.0, 1.0))
    holed.array[3, 3, 3], holed.array[4, 4, 4] = np.nan, np.inf
    assert likeliest_profile(holed, fine, 2).thickness == 0.8

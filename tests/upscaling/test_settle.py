"""Rounding to whole numbers takes nothing from thick slices."""

from __future__ import annotations

import numpy as np
import pytest

from espcn_core.degradation import SliceProfile
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.upscaling.consistency import Consistency
from espcn_core.upscaling.settle import settle

THICK = Grid((20, 4, 4), np.diag([4.0, 1, 1, 1]))
FINE = THICK.finer((4, 1, 1))
MOST = 0.0008
"""Of the range that the networks have: with 250 whole numbers in it, a fifth of one."""


def rounded(back, dtype, profile=SliceProfile(), low=0.1, high=0.9):  # noqa: B008
    """Lines that give thick slices exactly, and whole numbers that are nearest to them."""
    relation = Consistency(THICK, FINE, 0, profile)
    exact = np.random.default_rng(2).uniform(low, high, (80, 300)).astype(np.float32)
    said = relation.degrade @ exact
    return exact, said, back.inverse(exact, dtype), relation


@pytest.mark.parametrize("profile", [SliceProfile(), SliceProfile("box"), SliceProfile(thickness=1.2)])
@pytest.mark.parametrize(
    ("back", "dtype"),
    [
        (IntensityMap(0.0, 250.0), np.int16),
        (IntensityMap(0.0, 250.0), np.uint8),
        (IntensityMap(-1000.0, -750.0), np.int32),
        (IntensityMap(250.0, 0.0), np.uint8),  # of a slope that is negative
    ],
)
def test_lines_deviate_no_more_than_they_may(back, dtype, profile):
    exact, said, whole, relation = rounded(back, dtype, profile)
    before, lacking = whole.copy(), relation.lacking(back.forward(whole), said)
    after = settle(whole, exact, said, relation, back, MOST)
    np.testing.assert_allclose(after, relation.lacking(back.forward(whole), said), atol=1e-6)
    lines = np.flatnonzero(np.abs(lacking).max(0) > MOST)
    assert len(lines) > 100
    assert np.abs(after).max() <= MOST * 1.0001
    changed = whole != before
    assert 0 < changed.mean() < 0.05
    assert not changed[:, np.setdiff1d(range(300), lines)].any()
    assert np.abs(whole - back.inverse(exact, np.float64)).max() <= 1.5


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_stay_within_their_type(sign):
    """At its ends there is nothing to change, and nothing wraps."""
    back = IntensityMap(0.0, 255.0) if sign > 0 else IntensityMap(255.0, 0.0)
    exact, said, whole, relation = rounded(back, np.uint8, low=0, high=0.01)
    whole[...] = 0 if sign > 0 else 255
    before = whole.astype(int)
    settle(whole, exact, said - 0.02, relation, back, MOST)
    assert np.array_equal(whole, before)
    settle(whole, exact, said + 0.02, relation, back, MOST)
    assert np.abs(whole - before).max() <= 4
    assert (whole != before).any()


def test_what_a_step_would_make_worse_stays():
    """Of a few whole numbers each step is more than what is lacking."""
    back = IntensityMap(0.0, 3.0)
    exact, said, whole, relation = rounded(back, np.int16)
    before, lacking = whole.copy(), relation.lacking(back.forward(whole), said)
    after = settle(whole, exact, said, relation, back, MOST)
    assert (np.square(after).sum(0) <= np.square(lacking).sum(0) * 1.0001).all()
    assert (whole != before).mean() < 0.2

"""The fine volume gives the thick slices again, by the smallest smooth change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from espcn_core.degradation import SliceProfile, thicken
from espcn_core.grid import Grid
from espcn_core.upscaling.consistency import Consistency, profile_weights
from espcn_core.upscaling.resample import positions

shapes = st.sampled_from(["gaussian", "box"])
thicknesses = st.floats(0.7, 1.4)
counts = st.integers(1, 40)
ratios = st.one_of(st.integers(2, 16), st.floats(1.5, 12))
profiles = st.builds(SliceProfile, shapes, thicknesses)
seeds = st.integers(0, 2**31)


def grids(count, ratio, axis=0):
    """Thick voxels of ``ratio`` mm and fine ones of 1 mm along an axis."""
    shape, spacing = [3, 4, 5], [1.0, 1.0, 1.0]
    shape[axis], spacing[axis] = count, float(ratio)
    thick = Grid(shape, np.diag([*spacing, 1]))
    return thick, thick.respaced((1, 1, 1))


def seen(thick, fine, profile, values):
    """The thick slices of fine values."""
    return profile_weights(thick, fine, 0, profile) @ values


@given(counts, st.integers(2, 16), profiles, st.integers(0, 2), seeds)
def test_for_whole_factors_the_profile_is_the_one_that_made_the_slices(count, factor, profile, axis, seed):
    thick, fine = grids(count, factor, axis)
    image = np.moveaxis(np.random.default_rng(seed).normal(size=(count * factor, 2, 3)), 0, axis)
    expected = thicken(torch.from_numpy(image.copy()), axis, factor, profile).numpy()
    made = np.tensordot(profile_weights(thick, fine, axis, profile), image, (1, axis))
    np.testing.assert_allclose(np.moveaxis(made, 0, axis), expected, atol=1e-12)


@given(counts, ratios, profiles)
def test_a_thick_voxel_is_a_mean_and_flipping_makes_no_difference(count, ratio, profile):
    weights = profile_weights(*grids(count, ratio), 0, profile)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-9)


@given(st.integers(8, 40), ratios, shapes)
def test_a_ramp_stays_where_it_is(count, ratio, shape):
    """Of broken ratios, to the hundredth of a fine voxel that sampling a narrow profile may cost."""
    thick, fine = grids(count, ratio)
    weights = profile_weights(thick, fine, 0, SliceProfile(shape))
    middle = weights @ np.arange(fine.shape[0])
    expected = positions(fine, thick)[0]
    np.testing.assert_allclose(middle[3:-3], expected[3:-3], atol=0.02 if shape == "gaussian" else 0.15)


@pytest.mark.parametrize("ratio", [2.3, 4.6, 50 / 9])
@pytest.mark.parametrize("shape", ["gaussian", "box"])
def test_a_broken_ratio_sees_a_smooth_object_as_the_profile_does(ratio, shape):
    """Against the profile's integral over the object, which is known for a wave of ten slices' length."""
    thick, fine = grids(30, ratio)
    weights = profile_weights(thick, fine, 0, SliceProfile(shape))
    frequency = 2 * np.pi / (10 * ratio)
    seen = weights @ np.cos(frequency * np.arange(fine.shape[0]))
    half = frequency * ratio / 2
    damped = np.exp(-(half**2) / (4 * np.log(2))) if shape == "gaussian" else np.sin(half) / half
    expected = damped * np.cos(frequency * positions(fine, thick)[0])
    np.testing.assert_allclose(seen[3:-3], expected[3:-3], atol=0.02)


@given(st.integers(1, 40), ratios, profiles, seeds)
def test_the_changed_volume_gives_the_thick_slices_again(count, ratio, profile, seed):
    thick, fine = grids(count, ratio)
    rng = np.random.default_rng(seed)
    said = rng.normal(size=(count, 5)).astype(np.float32)
    values = rng.normal(size=(fine.shape[0], 5)).astype(np.float32)
    relation = Consistency(thick, fine, 0, profile)
    changed = relation(values, said)
    assert changed.dtype == np.float32
    span = max(np.ptp(said), 1)
    again = seen(thick, fine, profile, changed)
    np.testing.assert_allclose(again, said, atol=1e-5 * span)
    np.testing.assert_allclose(relation.lacking(changed, said), 0, atol=1e-5 * span)
    before = seen(thick, fine, profile, values)
    np.testing.assert_allclose(relation.lacking(values, said), said - before, atol=1e-5 * span)


@given(st.integers(1, 20), ratios, profiles, seeds)
def test_what_agrees_already_is_left_alone(count, ratio, profile, seed):
    thick, fine = grids(count, ratio)
    values = np.random.default_rng(seed).normal(size=(fine.shape[0], 5)).astype(np.float32)
    said = seen(thick, fine, profile, values).astype(np.float32)
    changed = Consistency(thick, fine, 0, profile)(values, said)
    np.testing.assert_allclose(changed, values, atol=1e-5)


@given(st.integers(1, 20), ratios, profiles, seeds)
def test_flipping_before_or_after_makes_no_difference(count, ratio, profile, seed):
    thick, fine = grids(count, ratio)
    rng = np.random.default_rng(seed)
    said = rng.normal(size=(count, 5)).astype(np.float32)
    values = rng.normal(size=(fine.shape[0], 5)).astype(np.float32)
    relation = Consistency(thick, fine, 0, profile)
    turned = relation(values[::-1].copy(), said[::-1].copy())[::-1]
    np.testing.assert_allclose(turned, relation(values, said), atol=1e-5)


@given(st.integers(3, 20), st.integers(3, 8), seeds)
def test_the_change_is_smoother_than_the_smallest_in_least_squares(count, factor, seed):
    """That one is a step at the faces of the thick voxels."""
    thick, fine = grids(count, factor)
    said = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
    change = Consistency(thick, fine, 0, SliceProfile("box"))(np.zeros((fine.shape[0], 5), np.float32), said)
    stepped = np.linalg.pinv(profile_weights(thick, fine, 0, SliceProfile("box"))) @ said
    assert np.abs(np.diff(change, axis=0)).max() < 0.9 * np.abs(np.diff(stepped, axis=0)).max()


@pytest.mark.parametrize("shape", ["gaussian", "box"])
def test_one_slice_that_lacks_something_leaves_no_edges(shape):
    """The change rises and falls over the slice, in steps of less than a third of its height."""
    thick, fine = grids(21, 6)
    said = np.zeros((21, 1), np.float32)
    said[10] = 1
    change = Consistency(thick, fine, 0, SliceProfile(shape))(np.zeros((126, 1), np.float32), said)[:, 0]
    assert change.argmax() in (62, 63)
    assert np.abs(np.diff(change)).max() < change.max() / 3
    main = change[60:66]
    assert (main > change.max() / 2).all()
    assert (change[:51].max(), change[75:].max()) < (change.max() / 4, change.max() / 4)


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_slices_that_are_not_finite_say_nothing(gap):
    thick, fine = grids(12, 4.4)
    rng = np.random.default_rng(7)
    said = rng.normal(size=(12, 5)).astype(np.float32)
    values = rng.normal(size=(fine.shape[0], 5)).astype(np.float32)
    said[4, 2] = gap
    relation = Consistency(thick, fine, 0, SliceProfile())
    changed = relation(values, said)
    before, after = (seen(thick, fine, SliceProfile(), v) for v in (values, changed))
    assert np.isfinite(changed).all()
    assert after[4, 2] == pytest.approx(before[4, 2], abs=1e-5)
    known = np.isfinite(said)
    np.testing.assert_allclose(after[known], said[known], atol=1e-5)
    assert relation.lacking(values, said)[4, 2] == 0


def test_an_oblique_grid_has_the_same_changes():
    rng = np.random.default_rng(8)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    thick, fine = grids(9, 5.5, axis=1)
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = rotation, (3, -40, 12)
    said = rng.normal(size=(9, 5)).astype(np.float32)
    values = rng.normal(size=(fine.shape[1], 5)).astype(np.float32)
    straight = Consistency(thick, fine, 1, SliceProfile())(values, said)
    turned = [Grid(g.shape, turn @ g.affine) for g in (thick, fine)]
    np.testing.assert_allclose(Consistency(*turned, 1, SliceProfile())(values, said), straight, atol=1e-5)


def clipped_lines(shape=(40, 300), low=0.0):
    """Smooth positive lines with much air, and an estimate with errors that goes below 0 there."""
    thick, fine = grids(shape[0] // 4, 4)
    rng = np.random.default_rng(5)
    truth = np.maximum(gaussian_filter1d(rng.normal(size=shape), 2, 0) - 0.1, low).astype(np.float32)
    relation = Consistency(thick, fine, 0, SliceProfile())
    said = (relation.degrade @ truth).astype(np.float32)
    made = relation((truth + 0.05 * rng.normal(size=shape)).astype(np.float32), said)
    return relation, truth, said, made


def test_within_its_bounds_it_gives_the_thick_slices_as_well():
    relation, truth, said, made = clipped_lines()
    most = 0.001 * np.ptp(said)
    plain = made.clip(0, None)
    held = relation.within(made, said, (0.0, np.inf), most)
    assert held.min() >= 0
    before, after = (np.abs(relation.lacking(x, said)).max(0) for x in (plain, held))
    assert np.mean(before > most) > 0.5
    assert after.max() <= most
    assert np.square(held - truth).mean() < np.square(plain - truth).mean()


def test_what_lies_within_its_bounds_stays():
    relation, _, said, made = clipped_lines()
    held = relation.within(made, said, (-9.0, 9.0), 1e-6)
    np.testing.assert_array_equal(held, made)


def test_where_nothing_gives_the_thick_slices_it_is_not_tried_without_bounds():
    """Slices that are all at the upper end, beside some that are far below, and are no means of such."""
    relation, _, said, _ = clipped_lines()
    said[...] = 0.1
    said[4:6] = 1
    made = relation(np.full((40, 300), 0.5, np.float32), said)
    beyond = np.abs(made - made.clip(0, 1)).max()
    assert beyond > 0.05
    held = relation.within(made, said, (0.0, 1.0), 1e-4)
    assert np.abs(held - made.clip(0, 1)).max() <= 4 * beyond + 1e-6
    assert 0 <= held.min() <= held.max() <= 1

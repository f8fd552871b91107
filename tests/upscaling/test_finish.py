"""What follows the networks of a step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from espcn_core.degradation import SliceProfile
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.upscaling.consistency import Consistency, profile_weights
from espcn_core.upscaling.finish import Form, Thick, finish
from espcn_core.upscaling.resample import cubic_weights
from espcn_core.upscaling.sweep import Values

rng = np.random.default_rng(9)
GRID = Grid((8, 9, 7), np.diag([1.0, 1.5, 2.0, 1.0]))


def head(shape=(8, 9, 7, 2)):
    return np.asfortranarray(rng.normal(size=shape).astype(np.float32))


def along(matrix, array, axis):
    return np.moveaxis(np.tensordot(matrix, array, (1, axis)), 0, axis)


@pytest.mark.parametrize(
    "axes", [axes for count in range(4) for axes in itertools.combinations(range(3), count)]
)
def test_every_axis_that_differs_is_resampled_and_no_other(axes):
    array = head()
    target = GRID.respaced([mm * (0.8 if axis in axes else 1) for axis, mm in enumerate(GRID.spacing)])
    expected = array.astype(np.float64)
    for axis in axes:
        expected = along(cubic_weights(GRID, target, axis), expected, axis)
    made, agreement = finish(Values(array.copy(order="F"), GRID), target, Form())
    assert made.shape == (*target.shape, 2)
    assert made.dtype == np.float32
    assert made.flags.f_contiguous
    assert agreement is None
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_nothing_to_do_costs_no_memory():
    array = head()
    made, _ = finish(Values(array, GRID), GRID, Form())
    assert made is array


def test_a_form_is_a_type_in_units():
    array = head().clip(-1, 1)
    form = Form(np.dtype(np.int16), IntensityMap(100.0, 300.0))
    made, _ = finish(Values(array, GRID), GRID, form)
    assert made.dtype == np.int16
    np.testing.assert_array_equal(made, np.rint(100 + 200 * array.astype(np.float64)))
    np.testing.assert_allclose(form.read(made), array, atol=0.51 / 200)
    assert Form().written(array) is array
    assert Form().read(array) is array


def test_values_of_the_volume_are_mapped_and_the_array_is_kept():
    array = (100 * head()).astype(np.int16)
    before = array.copy()
    intensity = IntensityMap(-50.0, 150.0)
    made, _ = finish(Values(array, GRID, intensity), GRID, Form(np.dtype(np.float64), intensity))
    np.testing.assert_array_equal(array, before)
    np.testing.assert_allclose(made, array, atol=1e-4)


@pytest.mark.parametrize("enforced", [True, False])
@pytest.mark.parametrize("back", [None, IntensityMap(0.0, 50.0)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_thick_slices_change_each_line_along_their_axis_for_itself(axis, back, enforced):
    """And the deviation is that of what is written, rounding included, as a part of the thick range."""
    profile = SliceProfile("box")
    thick = Grid([n if a == axis else 4 for a, n in enumerate((6, 5, 3))], np.diag([3.0, 3, 3, 1]))
    fine = thick.respaced([1.0 if a == axis else 3 for a in range(3)])
    said, array = head((*thick.shape, 2)), head((*fine.shape, 2))
    relation = Consistency(thick, fine, axis, profile)
    form = Form(np.dtype(np.int16), back) if back is not None else Form()
    made, agreement = finish(
        Values(array.copy(order="F"), fine),
        fine,
        form,
        Thick(Values(said, thick), axis, profile, enforced),
    )
    lines = np.moveaxis(array, axis, 0).reshape(fine.shape[axis], -1)
    if enforced:
        lines = relation(lines, np.moveaxis(said, axis, 0).reshape(thick.shape[axis], -1))
    rest = [n for n in np.moveaxis(array, axis, 0).shape[1:]]
    expected = np.moveaxis(lines.reshape(-1, *rest), 0, axis)
    off = np.abs(form.read(made) - expected)
    if back is None:
        assert off.max() < 1e-5
    else:  # some are rounded to the other side, or once more, if that is enforced
        assert off.max() <= (1.501 if enforced else 0.501) / 50
        assert np.mean(off > 0.501 / 50) < 0.1
    again = along(profile_weights(thick, fine, axis, profile), form.read(made), axis)
    assert agreement.profile == profile
    deviation = agreement.deviation
    assert deviation == pytest.approx(np.abs(again - said).max() / np.ptp(said), abs=1e-6)
    assert (deviation < 1e-5) == (enforced and back is None)
    assert (deviation < 1e-3) == enforced


def test_thick_slices_are_met_on_a_grid_that_is_no_whole_multiple():
    thick = Grid((5, 4, 6), np.diag([1.0, 1, 2.6, 1]))
    made_grid, fine = thick.finer((1, 1, 3)), thick.respaced((1, 1, 1))
    said = head(thick.shape)
    values = Values(head(made_grid.shape), made_grid)
    array, agreement = finish(values, fine, Form(), Thick(Values(said, thick), 2, SliceProfile(), True))
    assert array.shape == fine.shape
    assert agreement.deviation < 1e-5


@pytest.mark.parametrize("thickness", [0.8, 0.9, 1.0])
def test_slices_of_an_unknown_profile_are_taken_to_have_the_likeliest(thickness):
    thick = Grid((5, 4, 8), np.diag([1.0, 1, 3, 1]))
    fine, profile = thick.finer((1, 1, 3)), SliceProfile(thickness=thickness)
    array = head(fine.shape)
    said = along(profile_weights(thick, fine, 2, profile), array, 2).astype(np.float32)
    values = Values(array.copy(order="F"), fine)
    made, agreement = finish(values, fine, Form(), Thick(Values(said, thick), 2, None, True))
    assert agreement.profile == profile
    np.testing.assert_allclose(made, array, atol=1e-5)


def test_what_is_not_finite_has_no_deviation():
    thick = Grid((5, 4, 6), np.diag([1.0, 1, 3, 1]))
    fine = thick.finer((1, 1, 3))
    said = head(thick.shape)
    said[2, 1, 3] = np.nan
    known = Thick(Values(said, thick, IntensityMap(0.0, 1.0)), 2, SliceProfile(), True)
    made, agreement = finish(Values(head(fine.shape), fine), fine, Form(), known)
    assert np.isfinite(made).all()
    assert agreement.deviation < 1e-5

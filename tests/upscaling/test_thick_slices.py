"""Runs that make one axis finer on its own, or end at a spacing that is no whole part of the first."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from espcn_core.degradation import SliceProfile, thicken
from espcn_core.errors import CancelledError, RequestError, VolumeError
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.upscaling.blend import blend
from espcn_core.upscaling.consistency import profile_weights
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Pass, Plan, Request, Step, make_plan
from espcn_core.upscaling.resample import cubic_weights
from espcn_core.upscaling.upscaler import run, slice_count

rng = np.random.default_rng(8)

TILT, _ = np.linalg.qr(np.eye(3) + rng.uniform(-0.25, 0.25, (3, 3)))

ROUNDED = 1e-4
"""Of the range: what two planes made is kept in float16, as the difference from the nearest thick voxels."""


def head(shape=(14, 12, 9), dtype=np.float32):
    """Smooth along all axes but noisy, as a head is."""
    coarse = torch.from_numpy(rng.gamma(2, 200, [max(2, n // 3) for n in shape[:3]]))[None, None]
    smooth = functional.interpolate(coarse, shape[:3], mode="trilinear")[0, 0].numpy()
    smooth = smooth.reshape(*shape[:3], *[1] * (len(shape) - 3)) + rng.normal(0, 20, shape)
    return np.asfortranarray(smooth.clip(0).astype(dtype))


def straight(shape, spacing):
    return Grid(shape[:3], np.diag([*spacing, 1.0]))


@pytest.fixture
def models(make_model):
    """Weights for any factors, random ones or exactly cubic ones."""

    def choose(bicubic=False, **options):
        name = "cubic" if bicubic else "random"
        return lambda factors: make_model(
            factors, bicubic=bicubic, name=f"{name}-{factors[0]}x{factors[1]}", **options
        )

    return choose


def thick_plan(array, models, axis=2, request=None, spacing=3.6):
    """From 0.9 mm and thick slices to 0.9 mm isotropic."""
    mm = [0.9, 0.9, 0.9]
    mm[axis] = spacing
    return make_plan(straight(array.shape, mm), request or Request(spacing="isotropic"), models)


def along(matrix, array, axis):
    """A matrix times an array along an axis, in double precision."""
    return np.moveaxis(np.tensordot(matrix, array.astype(np.float64), (1, axis)), 0, axis)


def cubic(array, axis, r):
    rows = torch.from_numpy(np.moveaxis(array, axis, -1).astype(np.float32))
    shape = rows.shape
    rows = rows.reshape(1, 1, -1, shape[-1])
    rows = functional.interpolate(rows, (rows.shape[2], shape[-1] * r), mode="bicubic", align_corners=False)
    return np.moveaxis(rows.reshape(*shape[:-1], -1).numpy(), -1, axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("r", [2, 3, 4])
def test_untrained_networks_of_both_planes_are_cubic_along_the_axis(models, axis, r):
    array = head()
    plan = thick_plan(array, models(bicubic=True), axis, spacing=0.9 * r)
    assert [len(step.passes) for step in plan.steps] == [2]
    result = run(plan, array, device="cpu", consistent=False).array
    assert result.shape == plan.target.shape
    np.testing.assert_allclose(result, cubic(array, axis, r), atol=ROUNDED * array.max())


def test_a_factor_that_is_not_whole_is_resampled_to_the_exact_grid(models):
    array = head()
    plan = thick_plan(array, models(bicubic=True), spacing=5)
    result = run(plan, array, device="cpu", consistent=False).array
    assert result.shape == plan.target.shape == (14, 12, 50)
    sixfold = plan.source.finer((1, 1, 6))
    expected = along(cubic_weights(sixfold, plan.target, 2), cubic(array, 2, 6), 2)
    np.testing.assert_allclose(result, expected, atol=ROUNDED * array.max())


@pytest.mark.parametrize(
    "spacing", [(1, 1, 5), (2, 1, 1), (1.05, 1, 1), (1, 1.93, 6.3), (1, 1, 12), (2, 2, 2)]
)
@pytest.mark.parametrize("consistent", [True, False])
def test_a_ramp_in_the_world_stays_that_ramp(models, spacing, consistent):
    """The new voxels lie where their grid says, on an oblique one too.

    The cubic kernel of torch bends a ramp, by up to 7 % of a coarse voxel to either side.
    """
    affine = np.eye(4)
    affine[:3, :3] = TILT * spacing
    affine[:3, 3] = 20, -30, 40
    source = Grid((17, 16, 18), affine)
    slope = np.array([3.0, -5.0, 4.0])

    def ramp(grid):
        return grid.world(np.moveaxis(np.indices(grid.shape), 0, -1)) @ slope

    plan = make_plan(source, Request(spacing=0.97), models(bicubic=True))
    array = ramp(source)
    result = run(plan, array, device="cpu", consistent=consistent).array
    assert result.shape == plan.target.shape
    margin = tuple(
        slice(int(5 * old / new), -int(5 * old / new))
        for old, new in zip(spacing, plan.target.spacing, strict=True)
    )
    error = (result - ramp(plan.target))[margin]
    assert error.size
    coarse = np.abs(slope @ source.affine[:3, :3])[np.array(spacing) > 1.1]
    assert np.abs(error).max() < 1e-4 * np.ptp(array) + 0.07 * coarse.sum()
    middle = [n // 2 for n in error.shape]
    for halves in np.ndindex(2, 2, 2):
        part = error[
            tuple(slice(m, None) if half else slice(m) for m, half in zip(middle, halves, strict=True))
        ]
        assert abs(part.mean()) < 1e-4 * np.ptp(array) + 0.01 * coarse.sum()


@pytest.mark.parametrize(
    "request_", [Request(spacing="isotropic"), Request(spacing=0.7), Request(scale=(2, 1, 3))]
)
def test_an_oblique_volume_gives_the_same_voxels_as_a_straight_one(models, request_):
    array = head()
    spacing = (1.4, 0.7, 3)
    affine = np.eye(4)
    affine[:3, :3] = TILT * spacing
    affine[:3, 3] = -70, 3, 9
    first, second = (
        run(make_plan(grid, request_, models()), array, device="cpu").array
        for grid in (straight(array.shape, spacing), Grid(array.shape, affine))
    )
    np.testing.assert_allclose(first, second, atol=1e-5 * np.ptp(array))


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_the_order_of_the_axes_makes_no_difference(models, axes):
    """So a network always has the rows in plane and the columns along the thick axis."""
    array = head()
    grid = straight(array.shape, (0.9, 0.9, 3.6))
    plan = make_plan(grid, Request(spacing="isotropic"), models())
    expected = run(plan, array, device="cpu").array.transpose(axes)
    moved = make_plan(grid.reorder(axes), Request(spacing="isotropic"), models())
    result = run(moved, array.transpose(axes), device="cpu").array
    np.testing.assert_allclose(result, expected, atol=ROUNDED * np.ptp(array))


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("spacing", [3.6, 5])
def test_the_result_is_the_blend_of_what_both_planes_give(models, spacing, dtype):
    array = head(dtype=dtype)
    plan = thick_plan(array, models(), spacing=spacing)
    (step,) = plan.steps
    first, second = (
        run(
            replace(plan, steps=(replace(step, passes=(only,)),)), array, dtype=np.float64, device="cpu"
        ).array
        for only in step.passes
    )
    assert np.abs(first - second).max() > 0.05 * np.ptp(array)
    both = run(plan, array, dtype=np.float64, device="cpu").array
    axes = tuple(only.slice_axis for only in step.passes)
    wanted = first.astype(np.float32)
    blend(wanted, second.astype(np.float32), 2, axes, plan.target.spacing)
    np.testing.assert_allclose(both, wanted, atol=4 * ROUNDED * np.ptp(array))  # noise, far from the thick


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("spacing", [3.6, 5])
def test_flips_commute_for_networks_without_residual(models, axis, spacing):
    array = head()
    plan = thick_plan(array, models(bicubic=True), spacing=spacing)
    flipped = run(plan, np.flip(array, axis), device="cpu").array
    expected = run(plan, array, device="cpu").array
    np.testing.assert_allclose(np.flip(flipped, axis), expected, atol=ROUNDED * np.ptp(array))


@pytest.mark.parametrize("shape", ["gaussian", "box"])
@pytest.mark.parametrize("thickness", [0.7, 1, 1.4])
@pytest.mark.parametrize("spacing", [2, 3, 4, 4.3, 5.56, 9, 12.7])
def test_a_consistent_result_gives_the_thick_slices_again(models, shape, thickness, spacing):
    array = head((10, 9, 11))
    profile = SliceProfile(shape, thickness)
    plan = make_plan(straight(array.shape, (1, 1, spacing)), Request(spacing="isotropic"), models())
    result = run(plan, array, device="cpu", profile=profile)
    if spacing == int(spacing):
        again = thicken(torch.from_numpy(result.array.astype(np.float64)), 2, int(spacing), profile).numpy()
    else:
        again = along(profile_weights(plan.source, plan.target, 2, profile), result.array, 2)
    assert np.abs(again - array).max() < 1e-5 * np.ptp(array)
    assert result.deviation < 1e-5
    without = run(plan, array, device="cpu", profile=profile, consistent=False)
    assert without.deviation > 100 * result.deviation


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int16", "float64", ">i2"])
@pytest.mark.parametrize("consistent", [True, False])
def test_the_deviation_is_that_of_the_values_that_come_out(models, dtype, consistent):
    array = head()
    array = (array / array.max() * 80 + 80).astype(dtype)
    plan = thick_plan(array, models(bicubic=True))
    result = run(plan, array, device="cpu", consistent=consistent, profile=SliceProfile())
    assert result.array.dtype == np.dtype(dtype)
    assert result.array.flags.f_contiguous
    again = thicken(torch.from_numpy(result.array.astype(np.float64)), 2, 4, SliceProfile()).numpy()
    expected = np.abs(again - array).max() / np.ptp(array.astype(float))
    assert result.deviation == pytest.approx(expected, abs=2e-6)
    assert (result.deviation < 1 / np.ptp(array.astype(float))) == consistent


def test_numbers_are_rounded_and_clipped_once_at_the_end(models):
    array = head(dtype=np.uint8)
    array[3:8, 3:8, 3:6] = 255
    plan = thick_plan(array, models(bicubic=True), spacing=5)
    exact = run(plan, array, dtype=np.float64, device="cpu").array
    assert exact.max() > 256
    result = run(plan, array, device="cpu").array
    beyond = np.abs(exact - exact.clip(0, 255)).max()  # what is clipped there, others get
    assert np.abs(result - exact.clip(0, 255)).max() <= 4 * beyond + 1.5 + 1e-3
    exact = run(plan, array, dtype=np.float64, device="cpu", consistent=False).array
    result = run(plan, array, device="cpu", consistent=False).array
    assert np.abs(result - exact.clip(0, 255)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("spacing", [3.6, 5])
def test_slope_and_inter_are_applied(models, spacing):
    array = head(dtype=np.int16)
    plan = thick_plan(array, models(), spacing=spacing)
    stored = run(plan, array, dtype=np.float64, device="cpu")
    physical = run(plan, array, dtype=np.float64, slope=-0.5, inter=1024, device="cpu")
    np.testing.assert_allclose(physical.array, -0.5 * stored.array + 1024, atol=1e-3)
    assert physical.deviation == pytest.approx(stored.deviation, abs=1e-6)


def test_an_axis_in_two_stages_is_held_to_what_there_was_before_the_first(models):
    array = head((10, 9, 7))
    plan = thick_plan(array, models(), spacing=8.1)
    assert [step.axis for step in plan.steps] == [2, 2]
    result = run(plan, array, device="cpu", profile=SliceProfile())
    assert result.array.shape == (10, 9, 63)
    again = thicken(torch.from_numpy(result.array), 2, 9, SliceProfile()).numpy()
    np.testing.assert_allclose(again, array, atol=1e-5 * np.ptp(array))


def test_slices_of_a_profile_that_nobody_states_are_judged(models, monkeypatch):
    judged = SliceProfile(thickness=0.8)
    monkeypatch.setattr("espcn_core.upscaling.finish.likeliest_profile", lambda *_: judged)
    array = head()
    plan = thick_plan(array, models(), spacing=5)
    result = run(plan, array, device="cpu")
    assert result.profile == judged
    assert result.notes == (
        "the slices are 5 mm apart and taken as 4 mm thick, which explains them best: "
        "state their thickness if you know it",
    )
    stated = run(plan, array, device="cpu", profile=judged)
    np.testing.assert_array_equal(result.array, stated.array)
    assert (stated.profile, stated.notes) == (judged, ())
    assert run(plan, array, device="cpu", consistent=False).notes == ()


@pytest.mark.parametrize(
    ("stated", "note"),
    [
        (
            SliceProfile(thickness=1.2),
            "the slices are said to be 6 mm thick, and taken as 4 mm, which explains them clearly better",
        ),
        (
            SliceProfile("box"),
            "the slices are said to have a box profile, and a gaussian one explains them clearly better",
        ),
    ],
)
def test_what_the_slices_contradict_is_said_unless_it_is_sure(models, monkeypatch, stated, note):
    judged = SliceProfile(thickness=0.8)
    monkeypatch.setattr("espcn_core.upscaling.finish.likeliest_profile", lambda *_: judged)
    array = head()
    plan = thick_plan(array, models(), spacing=5)
    result = run(plan, array, device="cpu", profile=stated)
    assert (result.profile, result.notes) == (judged, (note,))
    sure = run(plan, array, device="cpu", profile=stated, sure=True)
    assert (sure.profile, sure.notes) == (stated, ())
    assert run(plan, array, device="cpu", sure=True).profile == judged


def test_all_three_axes_finer(models):
    array = head((10, 9, 7))
    plan = make_plan(straight(array.shape, (1, 1, 1)), Request(spacing=0.5), models(bicubic=True))
    assert [step.axis for step in plan.steps] == [2, None]
    result = run(plan, array, device="cpu")
    assert result.array.shape == (20, 18, 14)
    assert result.deviation < 1e-5
    loose = run(plan, array, device="cpu", consistent=False)
    expected = cubic(cubic(cubic(array, 2, 2), 0, 2), 1, 2)
    np.testing.assert_allclose(loose.array, expected, atol=ROUNDED * array.max())
    assert loose.deviation > 1e-3


def test_a_spacing_that_is_only_a_little_finer_is_interpolated(models):
    array = head()
    source = straight(array.shape, (1, 1, 1))
    plan = make_plan(source, Request(spacing=0.95), models())
    assert [step.passes for step in plan.steps] == [()]
    result = run(plan, array, device="cpu")
    expected = array
    for axis in range(3):
        expected = along(cubic_weights(source, plan.target, axis), expected, axis)
    np.testing.assert_allclose(result.array, expected, atol=1e-5 * np.ptp(array))
    assert result.deviation is None


def test_nothing_to_do_gives_the_volume_back(models):
    array = head(dtype=np.int16)
    plan = make_plan(straight(array.shape, (1, 1, 1)), Request(spacing=1), models())
    assert plan.steps == ()
    result = run(plan, array, device="cpu")
    np.testing.assert_array_equal(result.array, array)
    assert not np.shares_memory(result.array, array)


@pytest.mark.parametrize(
    "request_", [Request(spacing="isotropic"), Request(spacing=0.93), Request(spacing=0.45)]
)
def test_gaps_stay_in_the_voxels_that_are_nearest_and_do_not_spread(models, request_):
    array = np.full((14, 12, 9), 40, dtype=np.float32)
    array[:7] = 20
    plan = make_plan(straight(array.shape, (0.95, 0.95, 5)), request_, models(bicubic=True))
    clean = run(plan, array, device="cpu").array
    array[4, 4, 3] = np.nan
    array[10, 8, 0] = np.inf
    result = run(plan, array, device="cpu")
    assert result.notes == ("2 voxels are NaN or infinite and stay so",)
    assert result.deviation < 1e-5
    position = [
        np.linalg.inv(plan.source.affine) @ plan.target.affine @ [*index, 1]
        for index in np.ndindex(*plan.target.shape)
    ]
    index = np.rint(np.array(position)[:, :3]).astype(int).clip(0, np.array(array.shape) - 1)
    expected = array[tuple(index.T)].reshape(plan.target.shape)
    gaps = ~np.isfinite(expected)
    assert gaps.any()
    np.testing.assert_array_equal(result.array[gaps], expected[gaps])
    np.testing.assert_allclose(result.array[~gaps], clean[~gaps], atol=1e-3)
    with pytest.raises(VolumeError, match="2 voxels are NaN or infinite, which int16 cannot hold"):
        run(plan, array, dtype=np.int16, device="cpu")


def test_constant_volumes_stay_constant(models):
    array = np.full((12, 10, 8), -1000, dtype=np.int16)
    for request in (Request(spacing="isotropic"), Request(spacing=0.85)):
        result = run(thick_plan(array, models(bicubic=True), request=request), array, device="cpu")
        assert (result.array == -1000).all()
        assert result.deviation == 0


def test_time_points_are_volumes_under_one_intensity_map(models):
    array = head((12, 10, 8, 2, 3))
    plan = thick_plan(array, models(), spacing=5)
    result = run(plan, array, device="cpu")
    assert result.array.shape == (*plan.target.shape, 2, 3)
    low, high = IntensityMap.fit(array).low, IntensityMap.fit(array).high
    for t in np.ndindex(2, 3):
        alone = np.asfortranarray(array[(..., *t)])
        alone[0, 0, :2] = low, high  # the corner has the range of all
        every = array.copy()
        every[0, 0, :2] = np.array([low, high])[:, None, None]
        whole = run(plan, every, device="cpu").array
        np.testing.assert_allclose(
            whole[(..., *t)], run(plan, alone, device="cpu").array, atol=1e-4 * np.ptp(array)
        )


@pytest.mark.parametrize("single", [0, 1])
def test_a_volume_that_is_one_voxel_wide_has_slices_in_one_plane(models, single):
    shape = [12, 12, 8]
    shape[single] = 1
    array = head(tuple(shape))
    plan = make_plan(straight(shape, (0.9, 0.9, 3.6)), Request(scale=(1, 1, 4)), models(bicubic=True))
    assert [len(step.passes) for step in plan.steps] == [1]
    result = run(plan, array, device="cpu", consistent=False)
    np.testing.assert_allclose(result.array, cubic(array, 2, 4), atol=2e-6 * array.max())


def test_progress_counts_the_slices_of_all_passes_and_can_stop(models):
    array = head((10, 9, 7))
    plan = make_plan(straight(array.shape, (1, 1, 1)), Request(spacing=0.5), models())
    engines = Engines("cpu")
    for step in plan.steps:
        for only in step.passes:
            engines.load(only.model).pixels_at_once = 80
    seen = []
    run(plan, array, engines=engines, progress=lambda *counts: seen.append(counts))
    total = 10 + 9 + 14
    assert slice_count(plan, array) == total
    assert {count for _, count in seen} == {total}
    done = [count for count, _ in seen]
    assert done == sorted(done)
    assert len(set(done)) > 10
    assert done[-1] == total
    with pytest.raises(CancelledError, match="stopped after 12 of 33 slices"):
        run(plan, array, engines=engines, progress=lambda done, _: done < 12)


def test_a_run_can_be_stopped_after_its_networks(models):
    """While it is resampled and made consistent, which takes as long in large volumes."""
    array = head()
    plan = thick_plan(array, models(), spacing=5)
    total, at_the_end = slice_count(plan, array), []

    def progress(done, _):
        at_the_end.append(done == total)
        return sum(at_the_end) < 3

    with pytest.raises(CancelledError, match=f"stopped after {total} of {total} slices"):
        run(plan, array, device="cpu", progress=progress)


def test_both_planes_warn_once_of_what_the_network_has_not_seen(models):
    array = head((10, 9, 7))
    plan = thick_plan(array, models(spacing_range_mm=[0.5, 0.5]))
    (note,) = run(plan, array, device="cpu", profile=SliceProfile()).notes
    assert note == (
        "random-1x4 was trained on pixels of 0.125 x 0.5 mm, not 0.9 x 3.6 mm: "
        "the result may be no better than interpolation"
    )


def test_a_model_of_other_factors_is_refused_before_anything_is_done(models, make_model):
    array = head()
    grid = straight(array.shape, (1, 1, 4))
    good = Pass("sagittal", 0, (1, 4), models()((1, 4)))
    bad = Pass("coronal", 1, (1, 4), make_model((1, 3), name="three"))
    plan = Plan(grid, grid.finer((1, 1, 4)), (Step((good, bad), 2, grid.finer((1, 1, 4))),))
    with pytest.raises(RequestError, match=r"three\.safetensors has scale 1x3, not 1x4"):
        run(plan, array, device="cpu", progress=lambda *_: pytest.fail("something was done"))


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("spacing", [3.6, 5])
def test_memory_is_that_of_two_results_in_float32(models, dtype, spacing, monkeypatch):
    monkeypatch.setattr("espcn_core.upscaling.finish._PIXELS_TOGETHER", 2**11)
    array = head((64, 64, 24), dtype)
    plan = thick_plan(array, models(), spacing=spacing)
    engines = Engines("cpu")
    engines.load(plan.steps[0].passes[0].model).pixels_at_once = 2**11
    run(plan, array, engines=engines)
    tracemalloc.start()
    result = run(plan, array, engines=engines).array
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    made = 4 * array.size * plan.steps[0].factor[2]
    assert peak < 1.15 * max(2 * made, made + result.nbytes)


@settings(max_examples=15)
@given(st.floats(0.5, 6), st.floats(0.5, 6), st.floats(0.5, 6), st.floats(0.4, 6))
def test_any_spacing_gives_the_grid_of_its_plan(i, j, k, wanted):
    """Networks are replaced by interpolation: only shapes are looked at."""
    source = straight((7, 6, 5), (i, j, k))
    try:
        plan = make_plan(source, Request(spacing=wanted), lambda factors: "none")
    except RequestError:
        return
    assert plan.target.shape == (plan.steps[-1].grid if plan.steps else source).shape
    length = np.array(plan.target.shape) * plan.target.spacing
    assert (
        np.abs(length - np.array(source.shape) * source.spacing) <= 0.51 * np.array(plan.target.spacing)
    ).all()

"""Running a plan: units, types, gaps, progress, passes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from espcn_core.errors import CancelledError, RequestError, VolumeError
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.models.fingerprint import fingerprint
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Pass, Plan, Request, Step, make_plan
from espcn_core.upscaling.torch_engine import TorchEngine
from espcn_core.upscaling.upscaler import run

rng = np.random.default_rng(6)


def head(shape=(24, 20, 6), dtype=np.float32):
    return np.asfortranarray(rng.gamma(2, 200, shape).astype(dtype))


def plan_for(array, model, scale=2, plane="axial"):
    grid = Grid(array.shape[:3], np.diag([0.9, 0.9, 5, 1]))
    return make_plan(grid, Request(scale, plane=plane), lambda factors: model)


def plan_of(source, *passes):
    """One step for each pass."""
    steps, grid = [], source
    for only in passes:
        grid = grid.finer(only.factor)
        steps.append(Step((only,), None, grid))
    return Plan(source, grid, tuple(steps))


def test_bicubic_slice_by_slice_in_the_plane_that_was_asked_for(make_model):
    model = make_model(bicubic=True)
    array = head((24, 20, 6, 2))
    for plane, axis in [("axial", 2), ("coronal", 1), ("sagittal", 0)]:
        result = run(plan_for(array, model, plane=plane), array, device="cpu").array
        moved = torch.from_numpy(np.moveaxis(array, axis, 0)).movedim(-1, 0)  # (t, slices, rows, columns)
        expected = functional.interpolate(moved, scale_factor=2, mode="bicubic", align_corners=False)
        expected = np.moveaxis(expected.movedim(0, -1).numpy(), 0, axis)
        np.testing.assert_allclose(result, expected, atol=2e-6 * array.max())


@given(st.integers(0, 2**31))
def test_the_new_voxels_lie_where_itk_puts_them(seed):
    """A linear ramp in the world is the same ramp before and after, on any grid."""
    local = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(local.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * local.uniform(0.4, 5, 3)
    affine[:3, 3] = local.uniform(-90, 90, 3)
    grid = Grid((12, 14, 9), affine)
    plan = make_plan(grid, Request(2), lambda factors: "none")
    image = SimpleITK.Image(grid.shape, SimpleITK.sitkFloat64)
    for key, value in grid.to_itk().items():
        getattr(image, f"Set{key.capitalize()}")(value)
    slope = local.normal(size=3)

    def ramp(at: Grid) -> np.ndarray:
        return at.world(np.moveaxis(np.indices(at.shape), 0, -1)) @ slope

    image = SimpleITK.GetImageFromArray(ramp(grid).T)
    for key, value in grid.to_itk().items():
        getattr(image, f"Set{key.capitalize()}")(value)
    target = plan.target.to_itk()
    resampled = SimpleITK.Resample(
        image,
        plan.target.shape,
        SimpleITK.Transform(),
        SimpleITK.sitkLinear,
        target["origin"],
        target["spacing"],
        target["direction"],
    )
    inner = tuple(slice(2 * r, -2 * r) for r in plan.steps[0].factor)
    itk = SimpleITK.GetArrayFromImage(resampled).T
    np.testing.assert_allclose(itk[inner], ramp(plan.target)[inner], atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64", ">i2", "<f4"])
def test_the_type_is_kept(make_model, dtype):
    array = (head(dtype=np.float64) / 8).clip(20, 200).astype(dtype)
    result = run(plan_for(array, make_model(bicubic=True)), array, device="cpu").array
    assert result.dtype == np.dtype(dtype)
    assert result.shape == (48, 40, 6)
    assert result.flags.f_contiguous
    assert abs(float(result.mean()) - float(array.mean())) < 0.02 * float(array.std())


def test_integers_are_clipped_where_the_network_overshoots(make_model):
    array = np.zeros((16, 16, 2), dtype=np.uint8)
    array[4:12, 4:12] = 255
    result = run(plan_for(array, make_model(bicubic=True)), array, device="cpu").array
    assert result[9, 9, 0] == 255
    smooth = run(plan_for(array, make_model(bicubic=True)), array, dtype=np.float32, device="cpu").array
    assert smooth.max() > 256
    assert smooth.min() < -1
    np.testing.assert_array_equal(result, smooth.clip(0, 255).round())


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_slope_and_inter_are_applied(make_model, dtype):
    array = head(dtype=np.int16)
    plan = plan_for(array, make_model())
    stored = run(plan, array, dtype=np.float64, device="cpu").array
    physical = run(plan, array, dtype=dtype, slope=-0.5, inter=1024, device="cpu").array
    tolerance = 0.5 if dtype == "int16" else 1e-2
    np.testing.assert_allclose(physical, -0.5 * stored + 1024, atol=tolerance)


@pytest.mark.parametrize("adaptive", [False, True])
def test_scale_and_offset_of_the_units_make_no_difference(make_model, adaptive):
    array = head()
    plan = plan_for(array, make_model(adaptive=adaptive))
    first = run(plan, array, device="cpu").array
    moved = run(plan, 7 * array + 100, device="cpu").array
    np.testing.assert_allclose((moved - 100) / 7, first, atol=1e-4 * np.ptp(array))


@pytest.mark.parametrize("adaptive", [False, True])
def test_equal_slices_give_equal_results_whatever_lies_beside_them(make_model, adaptive):
    array = head((40, 40, 9))
    array[:, :, 5] = array[:, :, 2]
    result = run(plan_for(array, make_model(adaptive=adaptive)), array, device="cpu").array
    np.testing.assert_array_equal(result[:, :, 5], result[:, :, 2])


def test_an_adaptive_network_is_adapted_to_the_volume_and_leaves_no_seams(make_model):
    array = head((48, 56, 5))
    model = make_model(adaptive=True)
    plan = plan_for(array, model)
    engines = Engines("cpu")
    whole = run(plan, array, engines=engines).array
    engine = engines.load(model)
    engine.pixels_at_once = 500
    np.testing.assert_allclose(run(plan, array, engines=engines).array, whole, atol=1e-5 * np.ptp(array))

    network = engine.network
    noisy = array + np.random.default_rng(0).normal(0, 0.1 * np.ptp(array), array.shape).astype(array.dtype)
    for volume in (array, noisy):
        fitted = IntensityMap.fit(volume)
        slices = torch.from_numpy(fitted.forward(volume)).movedim(2, 0)
        own = TorchEngine(model, torch.device("cpu"))
        own.network = network.adapted(fingerprint(slices))
        (piece,) = own(slices[:, None])
        expected = fitted.inverse(piece.image[:, 0].movedim(0, 2).numpy(), volume.dtype)
        got = run(plan, volume, engines=Engines("cpu")).array
        np.testing.assert_allclose(got, expected, atol=1e-5 * np.ptp(volume))
        own.network = network
        (piece,) = own(slices[:, None])
        plain = fitted.inverse(piece.image[:, 0].movedim(0, 2).numpy(), volume.dtype)
        assert np.abs(got - plain).max() > 1e-3 * np.ptp(volume)


@pytest.mark.parametrize("axis", [0, 1])
def test_flips_commute_for_a_network_without_residual(make_model, axis):
    array = head()
    plan = plan_for(array, make_model(bicubic=True))
    flipped = run(plan, np.flip(array, axis), device="cpu").array
    np.testing.assert_allclose(np.flip(flipped, axis), run(plan, array, device="cpu").array, atol=1e-3)


def test_gaps_stay_where_they_were_and_do_not_spread(make_model):
    array = np.full((30, 30, 3), 40, dtype=np.float32)
    array[:15] = 20
    clean = run(plan_for(array, make_model(bicubic=True)), array, device="cpu").array
    array[5, 5, 1] = np.nan
    array[20:22, 20, 2] = np.inf
    result = run(plan_for(array, make_model(bicubic=True)), array, device="cpu")
    assert result.notes == ("3 voxels are NaN or infinite and stay so",)
    assert np.isnan(result.array[10:12, 10:12, 1]).all()
    assert np.isposinf(result.array[40:44, 40:42, 2]).all()
    finite = np.isfinite(result.array)
    assert (~finite).sum() == 12
    np.testing.assert_allclose(result.array[finite], clean[finite], atol=1e-4)
    with pytest.raises(VolumeError, match="3 voxels are NaN or infinite, which int16 cannot hold"):
        run(plan_for(array, make_model()), array, dtype=np.int16, device="cpu")


def test_a_volume_of_nothing_but_gaps_comes_back(make_model):
    array = np.full((8, 8, 2), np.nan, dtype=np.float32)
    assert np.isnan(run(plan_for(array, make_model()), array, device="cpu").array).all()


def test_constant_volumes_stay_constant(make_model):
    array = np.full((20, 20, 3), -1000, dtype=np.int16)
    assert (run(plan_for(array, make_model(bicubic=True)), array, device="cpu").array == -1000).all()


def test_progress_counts_to_the_end_and_can_stop(make_model):
    array = head((260, 260, 5))
    plan = plan_for(array, make_model())
    seen = []
    run(plan, array, device="cpu", progress=lambda *counts: seen.append(counts))
    assert seen == [(n, 5) for n in range(1, 6)]

    def stop(done, total):
        return done < 2

    with pytest.raises(CancelledError, match="stopped after 2 of 5 slices"):
        run(plan, array, device="cpu", progress=stop)


def test_passes_follow_each_other(make_model):
    """Two bicubic passes with other factors are one bicubic upscaling of the volume."""
    array = head((12, 10, 8))
    source = Grid(array.shape, np.eye(4))
    passes = (
        Pass("sagittal", 0, (3, 1), make_model((3, 1), bicubic=True, name="a")),
        Pass("axial", 2, (2, 1), make_model((2, 1), bicubic=True, name="b")),
    )
    plan = plan_of(source, *passes)
    assert plan.target.matches(source.finer((2, 3, 1)))
    result = run(plan, array, dtype=np.float64, device="cpu").array
    image = torch.from_numpy(np.moveaxis(array, 2, 0))[:, None]
    expected = functional.interpolate(image, (24, 30), mode="bicubic", align_corners=False)[:, 0]
    np.testing.assert_allclose(result, np.moveaxis(expected.numpy(), 0, 2), atol=2e-3)


def test_slices_unlike_the_training_are_told_once_a_pass(make_model):
    array = head((24, 20, 40))  # 0.9 x 0.9 x 5 mm
    usual = {"spacing_range_mm": [0.9, 0.9], "contrast_range": {"mean": [0, 1], "noise": [0, 1]}}
    assert run(plan_for(array, make_model(**usual)), array, device="cpu").notes == ()
    result = run(plan_for(array, make_model(**usual), plane="coronal"), array, device="cpu")
    assert result.notes == (
        "m was trained on pixels of 0.9 mm, not 0.9 x 5 mm: the result may be no better than interpolation",
    )
    quiet = make_model(contrast_range={"noise": [0.001, 0.002]})
    (note,) = run(plan_for(array, quiet), array, device="cpu").notes
    assert note.startswith("m was trained on noise up to 0.002, not 0.")
    (other,) = run(plan_for(array, quiet), 7 * array + 100, device="cpu").notes
    assert other == note


def test_a_later_pass_is_judged_by_what_it_gets(make_model):
    """The first pass leaves voxels half as large, in the networks' range."""
    array = 1000 + 500 * head((24, 20, 6))
    contrast = {"mean": [-0.2, 1.2], "noise": [0, 1]}
    ranges = ([1, 1], contrast), ([0.5, 0.5], contrast)
    passes = tuple(
        Pass(plane, axis, (2, 2), make_model(name=name, spacing_range_mm=seen[0], contrast_range=seen[1]))
        for plane, axis, name, seen in zip(("axial", "axial"), (2, 2), ("a", "b"), ranges, strict=True)
    )
    source = Grid(array.shape, np.eye(4))
    assert run(plan_of(source, *passes), array, device="cpu").notes == ()
    swapped = plan_of(source, *reversed(passes))
    notes = run(swapped, array, device="cpu").notes
    assert [note.partition(":")[0] for note in notes] == [
        "b was trained on pixels of 0.5 mm, not 1 mm",
        "a was trained on pixels of 1 mm, not 0.5 mm",
    ]


def test_a_few_slices_are_looked_at_however_many_there_are(make_model, monkeypatch):
    seen = []

    def contrast_of(slices):
        seen.append(len(list(slices)))
        return {}

    monkeypatch.setattr("espcn_core.upscaling.sweep.contrast_of", contrast_of)
    model = make_model(contrast_range={"mean": [0, 1]})
    for count in (1, 15, 16, 17, 100):
        array = head((4, 4, count))
        run(plan_for(array, model), array, device="cpu")
    assert seen[:3] == [1, 15, 16]
    assert all(8 <= n <= 16 for n in seen[1:])
    array = head((4, 4, 9))
    run(plan_for(array, make_model(name="silent")), array, device="cpu")
    assert len(seen) == 5


def test_wrong_requests_are_refused(make_model):
    array = head()
    with pytest.raises(RequestError, match="has scale 3x3, not 2x2"):
        run(plan_for(array, make_model((3, 3))), array, device="cpu")
    with pytest.raises(VolumeError, match="complex64 cannot be upscaled"):
        run(plan_for(array, make_model()), array.astype(np.complex64), device="cpu")

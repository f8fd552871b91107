"""One model over all slices of a volume."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from espcn_core.errors import RequestError
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.upscaling.slices import Slices
from espcn_core.upscaling.steps import Pass
from espcn_core.upscaling.sweep import Sweep, Values, is_exchanged
from espcn_core.upscaling.torch_engine import TorchEngine

CPU = torch.device("cpu")


def head(shape=(8, 9, 7, 2)):
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


def values(array, intensity=None, spacing=(1, 1, 1)):
    return Values(array, Grid(array.shape[:3], np.diag([*spacing, 1])), intensity)


def swept(volume, only, engine):
    """The fine volume of a pass, each voxel of which must be written once, and the slices counted."""
    shape = [n * r for n, r in zip(volume.array.shape[:3], only.factor, strict=True)]
    fine = np.full((*shape, *volume.array.shape[3:]), np.nan, dtype=np.float32)
    slices = Slices(fine, only.slice_axis)

    def write(number, rows, columns, image):
        part = slices[number][rows, columns]
        assert np.isnan(part).all()
        part[...] = image

    counts = list(Sweep(volume, only, engine).run(write, lambda sentence: None))
    assert not np.isnan(fine).any()
    return fine, counts


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_in_the_range_of_the_networks(axis):
    array = (100 + 50 * head()).astype(np.int16)
    intensity = IntensityMap(20.0, 180.0)
    volume = values(array, intensity)
    assert volume.count(axis) == array.shape[axis] * 2
    for n, image in enumerate(volume.raw(axis, range(volume.count(axis)))):
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, (Slices(array, axis)[n] - 20.0) / 160, atol=1e-6)
    made = values(head())
    (image,) = made.raw(axis, [3])
    np.testing.assert_array_equal(image, Slices(made.array, axis)[3])


def test_gaps_are_filled_for_networks_and_kept_in_what_is_raw():
    array = head()
    array[3, 4, 2, 1] = np.nan
    volume = values(array, IntensityMap(0.0, 1.0))
    number = 7 + 2
    (raw,), (filled,) = (get(2, [number]) for get in (volume.raw, volume.filled))
    assert np.isnan(raw[3, 4])
    assert (~np.isfinite(raw)).sum() == 1
    assert filled[3, 4] == pytest.approx((raw[2:5, 3:6][np.isfinite(raw[2:5, 3:6])]).mean(), abs=1e-6)
    known = np.isfinite(raw)
    np.testing.assert_array_equal(filled[known], raw[known])


@pytest.mark.parametrize("pixels", [2**16, 100])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_slice_is_what_the_network_makes_of_it(make_model, axis, pixels):
    engine = TorchEngine(make_model((2, 3)), CPU)
    engine.pixels_at_once = pixels
    volume = values(head())
    fine, counts = swept(volume, Pass("axial", axis, (2, 3), "m"), engine)
    assert sum(counts) == volume.count(axis)
    assert (len(counts) == 1) == (pixels > 1000)
    for n in range(volume.count(axis)):
        image = torch.from_numpy(np.ascontiguousarray(Slices(volume.array, axis)[n]))
        (piece,) = TorchEngine.__call__(TorchEngine(make_model((2, 3)), CPU), image[None, None])
        np.testing.assert_allclose(Slices(fine, axis)[n], piece.image[0, 0], atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_pass_along_rows_is_one_along_columns_of_the_volume_turned(make_model, axis):
    engine = TorchEngine(make_model((1, 3), adaptive=True), CPU)
    array = head((8, 9, 7))
    rows, columns = (a for a in range(3) if a != axis)
    turned = np.ascontiguousarray(np.swapaxes(array, rows, columns))
    along_rows, _ = swept(values(array), Pass("axial", axis, (3, 1), "m"), engine)
    along_columns, _ = swept(values(turned), Pass("axial", axis, (1, 3), "m"), engine)
    np.testing.assert_allclose(along_rows, np.swapaxes(along_columns, rows, columns), atol=1e-6)


@pytest.mark.parametrize("pixels", [2**16, 300])
@pytest.mark.parametrize("factors", [(2, 3), (3, 2)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_air_makes_no_difference_but_that_of_work(make_model, monkeypatch, axis, factors, pixels):
    engine = TorchEngine(make_model((2, 3), adaptive=True), CPU)
    engine.pixels_at_once = pixels
    array = np.full((40, 44, 48, 2), -7, dtype=np.int16)
    array[3:9, 20:29, 30:42] = np.random.default_rng(2).integers(0, 900, (6, 9, 12, 2))
    only = Pass("axial", axis, factors, "m")
    pixels, start = [], TorchEngine.start
    monkeypatch.setattr(
        TorchEngine, "start", lambda self, padded: pixels.append(padded.numel()) or start(self, padded)
    )
    volume = values(array, IntensityMap(-7.0, 900.0))
    less, counts = swept(volume, only, engine)
    work = sum(pixels)
    monkeypatch.setattr("espcn_core.upscaling.sweep.SparingEngine", lambda engine: engine)
    every, same_counts = swept(volume, only, engine)
    np.testing.assert_allclose(less, every, atol=1e-5)
    assert counts == same_counts
    assert work < (sum(pixels) - work) / 2


def test_factors_may_be_exchanged_and_nothing_else(make_model):
    engine = TorchEngine(make_model((1, 3)), CPU)
    assert not is_exchanged(Pass("axial", 2, (1, 3), "m"), engine)
    assert is_exchanged(Pass("axial", 2, (3, 1), "m"), engine)
    with pytest.raises(RequestError, match="model mine has scale 1x3, not 1x4"):
        is_exchanged(Pass("axial", 2, (1, 4), "mine"), engine)
    with pytest.raises(RequestError, match="model mine has scale 1x3, not 3x3"):
        Sweep(values(head()), Pass("axial", 2, (3, 3), "mine"), engine)


def test_a_warning_knows_which_axis_is_thick(make_model):
    """Networks of (1, 3) for pixels of 1 x 3 mm see the thick axis in columns, whatever the pass."""
    engine = TorchEngine(make_model((1, 3), spacing_range_mm=[3.0, 3.0]), CPU)
    usual = values(head(), spacing=(1, 1, 3))
    assert Sweep(usual, Pass("coronal", 1, (1, 3), "m"), engine).warning() is None
    odd = Sweep(usual, Pass("coronal", 1, (3, 1), "m"), engine).warning()
    assert odd is not None
    assert odd.startswith("m was trained on pixels of 1 x 3 mm, not 3 x 1 mm")
    turned = values(head(), spacing=(3, 1, 1))
    assert Sweep(turned, Pass("coronal", 1, (3, 1), "m"), engine).warning() is None

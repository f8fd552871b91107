"""Every scalar type of VTK goes in and comes out, and whole numbers are never wrapped."""

from __future__ import annotations

import numpy as np
import pytest
import vtk

TYPES = {
    "char": vtk.VTK_CHAR,
    "signed char": vtk.VTK_SIGNED_CHAR,
    "unsigned char": vtk.VTK_UNSIGNED_CHAR,
    "short": vtk.VTK_SHORT,
    "unsigned short": vtk.VTK_UNSIGNED_SHORT,
    "int": vtk.VTK_INT,
    "unsigned int": vtk.VTK_UNSIGNED_INT,
    "long": vtk.VTK_LONG,
    "unsigned long": vtk.VTK_UNSIGNED_LONG,
    "long long": vtk.VTK_LONG_LONG,
    "unsigned long long": vtk.VTK_UNSIGNED_LONG_LONG,
    "id type": vtk.VTK_ID_TYPE,
    "float": vtk.VTK_FLOAT,
    "double": vtk.VTK_DOUBLE,
}

WHOLE = {name: number for name, number in TYPES.items() if name not in ("float", "double")}


def edges(low, high, dtype):
    """A block of the one value in the other: a cubic overshoots on both sides of its faces."""
    array = np.full((10, 10, 2), low, dtype)
    array[3:7, 3:7] = high
    return array


@pytest.mark.parametrize("kind", TYPES.values(), ids=TYPES)
def test_the_type_is_kept(kind, volume, logic, voxels):
    from ESPCNSlicerLib.scene import dtype_of

    array = edges(10, 90, dtype_of(kind))
    node = volume(array=array, kind=kind)
    made = logic.upscale(node)
    assert made.GetImageData().GetScalarType() == kind
    fine = voxels(made).astype(np.float64)
    assert fine.shape == (20, 20, 2)
    assert np.abs(fine[:4, :4] - 10).max() < 4
    assert np.abs(fine[9:11, 9:11] - 90).max() < 12
    np.testing.assert_array_equal(voxels(node), array)  # the input is as it was


@pytest.mark.parametrize("kind", WHOLE.values(), ids=WHOLE)
def test_what_overshoots_a_type_is_clipped(kind, volume, logic, voxels):
    """Without display nodes: their histogram of a 32-bit range does not fit into the memory."""
    from ESPCNSlicerLib.scene import dtype_of, write
    from ESPCNSlicerLib.work import compute

    info = np.iinfo(dtype_of(kind))
    node = volume(array=edges(info.min, info.max, info.dtype), kind=kind, display=False)
    task = logic.prepare(node)
    write(node, compute(task.work).array, kind, np.eye(4))
    share = (voxels(node).astype(np.float64) - info.min) / (float(info.max) - info.min)
    assert share[:4].max() < 0.1
    assert share[9:11, 9:11].min() > 0.9
    assert share[8:12, 8:12].max() > 1 - 1e-6  # it does overshoot


@pytest.mark.parametrize("name", ["unsigned char", "short", "unsigned short"])
def test_whole_numbers_are_the_rounded_ones_of_a_run_in_floating_point(name, volume, logic, voxels):
    from ESPCNSlicerLib.scene import dtype_of

    kind = TYPES[name]
    info = np.iinfo(dtype_of(kind))
    node = volume(array=edges(info.min, info.max, info.dtype), kind=kind)
    whole, real = voxels(logic.upscale(node)), voxels(logic.upscale(node, keepType=False))
    assert real.min() < info.min
    assert real.max() > info.max
    assert (real % 1 != 0).any()
    np.testing.assert_array_equal(whole, np.clip(np.rint(real), info.min, info.max))


@pytest.mark.parametrize("name", ["short", "unsigned long long", "float", "double"])
def test_without_keepType_the_voxels_are_floats(name, volume, logic):
    from ESPCNSlicerLib.scene import dtype_of

    node = volume(array=edges(10, 90, dtype_of(TYPES[name])), kind=TYPES[name])
    made = logic.upscale(node, keepType=False)
    assert made.GetImageData().GetScalarType() == vtk.VTK_FLOAT


def test_the_interpolation_beside_it_has_the_type_and_the_place_of_the_result(
    volume, logic, scene, corners, voxels
):
    node = volume(array=edges(0, 255, np.uint8))
    made = logic.upscale(node, compare=True)
    other = scene.GetFirstNodeByName("head x2 cubic")
    assert other.GetImageData().GetScalarType() == vtk.VTK_UNSIGNED_CHAR
    np.testing.assert_array_equal(corners(other), corners(made))
    difference = np.abs(voxels(other).astype(float) - voxels(made))
    assert 0 < difference.max() < 60  # the network adds something to it


def test_voxels_that_are_not_finite_stay(volume, logic, voxels):
    array = edges(10, 90, np.float32)
    array[8, 1, 0] = np.nan
    fine = voxels(logic.upscale(volume(array=array)))
    assert np.isnan(fine[16:18, 2:4, 0]).all()
    assert np.isnan(fine).sum() == 4

"""The finer volume lies where the volume lies, whatever its axes, its spacing and its transforms."""

from __future__ import annotations

import math

import numpy as np
import pytest


def turned(spacing, flips=(1, 1, 1), order=(0, 1, 2), angles=(0.0, 0.0), origin=(11.0, -7.5, 3.25)):
    """An affine without shear: axes turned by two angles, flipped and permuted."""
    a, b = angles
    about_x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    about_z = np.array([[math.cos(b), -math.sin(b), 0], [math.sin(b), math.cos(b), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (about_z @ about_x)[:, order] * flips * np.asarray(spacing)
    affine[:3, 3] = origin
    return affine


AFFINES = {
    "straight": turned((0.5, 0.5, 3.0)),
    "LPS": turned((5.0, 5.0, 1.0), flips=(-1, -1, 1)),
    "left-handed": turned((0.3, 0.6, 1.2), flips=(-1, 1, 1)),
    "sagittal": turned((1.0, 1.0, 2.5), flips=(1, 1, -1), order=(1, 2, 0)),
    "oblique": turned((0.7, 0.7, 2.1), angles=(0.3, -0.5)),
    "oblique left-handed": turned((2.5, 1.25, 5.0), flips=(1, -1, 1), order=(2, 0, 1), angles=(-0.6, 0.2)),
}

TARGETS = {
    "x2": {"scale": 2},
    "x3": {"scale": 3},
    "1x1x3": {"scale": (1, 1, 3)},
    "isotropic": {"spacing": "isotropic"},
}


@pytest.fixture(params=AFFINES.values(), ids=AFFINES)
def placed(request, volume):
    """A volume for each of the affines."""
    return volume(affine=request.param)


@pytest.mark.parametrize("asked", TARGETS.values(), ids=TARGETS)
def test_the_field_of_view_stays(placed, asked, logic, corners, bounds):
    made = logic.upscale(placed, **asked)
    assert np.prod(made.GetImageData().GetDimensions()) > np.prod(placed.GetImageData().GetDimensions())
    np.testing.assert_allclose(corners(made), corners(placed), rtol=0, atol=1e-9)
    np.testing.assert_allclose(bounds(made), bounds(placed), rtol=0, atol=1e-9)


def test_at_a_spacing_that_does_not_divide_the_centre_stays_and_the_faces_to_half_a_voxel(
    placed, logic, corners, affine_of
):
    made = logic.upscale(placed, spacing=0.8)
    old, new = (np.linalg.norm(affine_of(node)[:3, :3], axis=0) for node in (placed, made))
    np.testing.assert_allclose(new, np.minimum(old, 0.8), rtol=1e-9)  # no axis becomes coarser
    np.testing.assert_allclose(corners(made).mean(0), corners(placed).mean(0), rtol=0, atol=1e-9)
    axes = affine_of(placed)[:3, :3] / old
    moved = np.abs((corners(made) - corners(placed)) @ axes)
    assert (moved <= new / 2 + 1e-9).all()


def test_what_is_in_the_volume_stays_too(placed, logic, affine_of, voxels):
    """The centre of mass of a bright voxel in RAS, at a place without symmetry."""
    import slicer

    array = np.zeros((7, 6, 4), np.float32)
    array[4, 2, 1] = 1
    slicer.util.updateVolumeFromArray(placed, array.transpose(2, 1, 0).copy())
    made = logic.upscale(placed, scale=2)
    bright = np.argwhere(voxels(made) >= voxels(made).max() * 0.5)
    affine = affine_of(made)
    where = (bright @ affine[:3, :3].T + affine[:3, 3]).mean(0)
    old = affine_of(placed)
    expected = old[:3, :3] @ (4, 2, 1) + old[:3, 3]
    assert np.linalg.norm(where - expected) < 0.3 * np.linalg.norm(old[:3, :3], axis=0).min()


def test_the_new_voxels_halve_the_old_ones(volume, logic, affine_of):
    made = logic.upscale(volume(affine=np.diag([0.8, 0.8, 2.4, 1.0])), scale=2)
    assert made.GetImageData().GetDimensions() == (14, 12, 4)
    expected = np.diag([0.4, 0.4, 2.4, 1.0])
    expected[:2, 3] = -0.2  # the first fine centre is a quarter of an old voxel before the first old one
    np.testing.assert_allclose(affine_of(made), expected, atol=1e-12)


def linear(name, shift):
    """A transform node that turns, mirrors nothing, stretches and shifts."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
    matrix = turned((1.1, 0.9, 1.3), angles=(0.2, 0.4), origin=(shift, 2.0, -3.0))
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def grid_transform():
    """A transform node that moves each place by another vector of some millimetres."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.SetSpacing(15, 15, 15)
    image.SetOrigin(-20, -20, -20)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    moves = np.random.default_rng(4).uniform(-3, 3, (64, 3))
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = moves
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    transform.SetInterpolationModeToCubic()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", "grid")
    node.SetAndObserveTransformToParent(transform)
    return node


def bspline_transform():
    """A transform node of cubic B-splines."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(7, 7, 7)
    image.SetSpacing(10, 10, 10)
    image.SetOrigin(-25, -30, -25)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    moves = np.random.default_rng(6).uniform(-2, 2, (343, 3))
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = moves
    transform = slicer.vtkOrientedBSplineTransform()
    transform.SetCoefficientData(image)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "b-spline")
    node.SetAndObserveTransformToParent(transform)
    return node


def moved(node, points):
    """Points of a volume in the world."""
    import slicer
    import vtk

    path = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, path)
    return np.array([path.TransformPoint(point) for point in points])


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("asked", [{"scale": 2}, {"spacing": "isotropic"}], ids=["x2", "isotropic"])
def test_under_linear_transforms_the_bounds_in_the_world_stay(depth, asked, volume, logic, bounds, corners):
    import slicer

    node = volume(affine=AFFINES["oblique"])
    inner = linear("inner", 30.0)
    if depth == 2:
        inner.SetAndObserveTransformNodeID(linear("outer", -12.0).GetID())
    before = slicer.util.arrayFromTransformMatrix(inner).copy()
    alone = bounds(node)
    node.SetAndObserveTransformNodeID(inner.GetID())
    made = logic.upscale(node, **asked)
    assert made.GetParentTransformNode() is inner
    np.testing.assert_array_equal(slicer.util.arrayFromTransformMatrix(inner), before)
    assert np.abs(bounds(node) - alone).max() > 5  # the transform does something
    np.testing.assert_allclose(bounds(made), bounds(node), rtol=0, atol=1e-9)
    np.testing.assert_allclose(moved(made, corners(made)), moved(node, corners(node)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("build", [grid_transform, bspline_transform])
def test_under_a_transform_that_is_not_linear_the_output_gets_the_same_parent(build, volume, logic, corners):
    node, transform = volume(affine=AFFINES["oblique left-handed"]), build()
    node.SetAndObserveTransformNodeID(transform.GetID())
    inside = corners(node)
    assert not transform.IsLinear()
    assert np.abs(moved(node, inside) - inside).max() > 0.1  # the transform does something
    kept, world = transform.GetTransformToParent(), moved(node, inside)
    made = logic.upscale(node, scale=2)
    assert made.GetParentTransformNode() is transform
    assert transform.GetTransformToParent() is kept
    np.testing.assert_allclose(corners(made), inside, rtol=0, atol=1e-9)
    np.testing.assert_allclose(moved(made, inside), world, rtol=0, atol=1e-9)


def test_a_volume_without_a_transform_takes_the_output_out_of_one(volume, logic):
    output = volume("output")
    output.SetAndObserveTransformNodeID(linear("elsewhere", 50.0).GetID())
    logic.upscale(volume(), outputNode=output)
    assert output.GetParentTransformNode() is None


def test_a_single_slice_becomes_finer_within_itself(volume, logic, corners):
    node = volume(shape=(9, 8, 1), affine=AFFINES["oblique"])
    for asked, shape in [({"scale": 2}, (18, 16, 1)), ({"spacing": 0.35}, (18, 16, 1))]:
        made = logic.upscale(node, **asked)
        assert made.GetImageData().GetDimensions() == shape
        np.testing.assert_allclose(corners(made), corners(node), rtol=0, atol=1e-9)

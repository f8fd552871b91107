"""Which axis lies across the slices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from espcn_core.errors import RequestError
from espcn_core.grid import Grid
from espcn_core.upscaling.planes import PLANES, plane_of, slice_axis_of, thickest_axis


def grid(shape=(20, 30, 40), spacing=(1, 1, 1), axes=(0, 1, 2)):
    """A grid whose axis number n runs along world axis ``axes[n]``."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * spacing
    return Grid(shape, affine)


@pytest.mark.parametrize(
    ("spacing", "axes", "plane", "slice_axis"),
    [
        ((0.9, 0.9, 5), (0, 1, 2), "axial", 2),
        ((5, 0.9, 0.9), (0, 1, 2), "sagittal", 0),
        ((5, 0.9, 0.9), (2, 0, 1), "axial", 0),
        ((0.9, 5, 0.9), (0, 1, 2), "coronal", 1),
        ((1, 1, 1), (0, 1, 2), "axial", 2),
        ((1, 1, 1), (1, 2, 0), "axial", 1),
        ((1.0, 1.000001, 1), (0, 1, 2), "axial", 2),  # rounding in a header must not decide
        ((1, 2, 2), (0, 1, 2), "axial", 2),
        ((2, 2, 1), (0, 1, 2), "coronal", 1),
    ],
)
def test_auto_takes_the_plane_whose_slices_are_thickest_apart(spacing, axes, plane, slice_axis):
    source = grid(spacing=spacing, axes=axes)
    assert thickest_axis(source) == slice_axis_of(source, "auto") == slice_axis
    assert plane_of(source, slice_axis) == plane


@pytest.mark.parametrize("single", [0, 1, 2])
def test_the_slices_of_a_single_slice_are_found_whatever_its_spacing(single):
    shape = [20, 30, 40]
    shape[single] = 1
    assert thickest_axis(grid(shape=shape, spacing=(3, 2, 1))) == single


@pytest.mark.parametrize("axes", itertools.permutations(range(3)))
def test_a_plane_has_one_axis_across_its_slices(axes):
    source = grid(axes=axes)
    for plane, world in PLANES.items():
        axis = slice_axis_of(source, plane)
        assert axes[axis] == world
        assert plane_of(source, axis) == plane


def test_a_plane_that_is_none_is_refused():
    with pytest.raises(RequestError, match="no plane is called 'axail': there are auto, axial, coronal, sag"):
        slice_axis_of(grid(), "axail")

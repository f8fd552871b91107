"""From a grid and a request to passes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.errors import RequestError
from espcn_core.grid import Grid
from espcn_core.upscaling.plan import PLANES, Pass, make_plan


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
    plan = make_plan(grid(spacing=spacing, axes=axes), 2, "auto", "m")
    assert [(p.plane, p.slice_axis) for p in plan.passes] == [(plane, slice_axis)]


@pytest.mark.parametrize("single", [0, 1, 2])
def test_the_slices_of_a_single_slice_are_found_whatever_its_spacing(single):
    shape = [20, 30, 40]
    shape[single] = 1
    plan = make_plan(grid(shape=shape, spacing=(3, 2, 1)), 2, "auto", "m")
    assert plan.passes[0].slice_axis == single


@given(st.permutations(range(3)), st.sampled_from(sorted(PLANES)), st.integers(2, 4), st.integers(0, 2**31))
def test_planes_are_anatomical_also_for_oblique_volumes(axes, plane, scale, seed):
    rng = np.random.default_rng(seed)
    tilt, _ = np.linalg.qr(np.eye(3) + rng.uniform(-0.25, 0.25, (3, 3)))
    tilt *= np.sign(np.diag(tilt))
    affine = np.eye(4)
    affine[:3, :3] = tilt[:, list(axes)] * rng.choice([-1, 1], 3)
    source = Grid((20, 30, 40), affine)
    plan = make_plan(source, scale, plane, "m")
    (only,) = plan.passes
    assert axes[only.slice_axis] == PLANES[plane]
    assert only.factor == tuple(1 if axis == only.slice_axis else scale for axis in range(3))
    assert plan.factor == only.factor
    np.testing.assert_allclose(plan.target.corners(), source.corners(), atol=1e-9)


def test_a_pass_has_a_factor_for_each_axis():
    assert Pass("axial", 0, (2, 3), "m").factor == (1, 2, 3)
    assert Pass("axial", 1, (2, 3), "m").factor == (2, 1, 3)
    assert Pass("axial", 2, (2, 3), "m").factor == (2, 3, 1)


def test_a_plan_says_what_will_be_done():
    plan = make_plan(grid(spacing=(0.9, 0.9, 5)), 2, "auto", "espcn-r-x2")
    assert str(plan) == (
        "20 x 30 x 40 at 0.9 x 0.9 x 5 mm -> 40 x 60 x 40 at 0.45 x 0.45 x 5 mm: "
        "axial slices x2 by espcn-r-x2"
    )


def test_wrong_requests_are_refused():
    with pytest.raises(RequestError, match="no plane is called 'axail'"):
        make_plan(grid(), 2, "axail", "m")
    with pytest.raises(RequestError, match=r"20 x 30 x 1 voxels has no coronal slices.*--plane axial"):
        make_plan(grid(shape=(20, 30, 1)), 2, "coronal", "m")
    with pytest.raises(RequestError, match="has no auto slices"):
        make_plan(grid(shape=(20, 1, 1)), 2, "auto", "m")

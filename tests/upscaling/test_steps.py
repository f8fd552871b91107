"""The line that says what will be done."""

from __future__ import annotations

import numpy as np
import pytest

from espcn_core.grid import Grid
from espcn_core.upscaling.plan import Request, make_plan


def line(at, shape=(256, 256, 40), axes=(0, 1, 2), **request):
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * at

    def models(factors):
        rows, columns = factors
        return f"espcn-r-x{rows}" if rows == columns else f"espcn-r-through-x{columns}"

    return str(make_plan(Grid(shape, affine), Request(**request), models))


@pytest.mark.parametrize(
    ("at", "request_", "text"),
    [
        (
            (0.9, 0.9, 5),
            {"scale": 2},
            "256 x 256 x 40 at 0.9 x 0.9 x 5 mm -> 512 x 512 x 40 at 0.45 x 0.45 x 5 mm: "
            "axial slices x2 by espcn-r-x2",
        ),
        (
            (2, 2, 1),
            {"scale": 2, "plane": "axial"},  # no new words for what was there before
            "256 x 256 x 40 at 2 x 2 x 1 mm -> 512 x 512 x 40 at 1 x 1 x 1 mm: axial slices x2 by espcn-r-x2",
        ),
        (
            (0.9, 0.9, 5),
            {"spacing": "isotropic"},
            "256 x 256 x 40 at 0.9 x 0.9 x 5 mm -> 256 x 256 x 222 at 0.9 mm isotropic: "
            "slice axis x6 by espcn-r-through-x6 in sagittal and coronal, then resampled to 0.9 mm",
        ),
        (
            (0.9, 0.9, 5),
            {"scale": (1, 1, 5)},
            "256 x 256 x 40 at 0.9 x 0.9 x 5 mm -> 256 x 256 x 200 at 0.9 x 0.9 x 1 mm: "
            "slice axis x5 by espcn-r-through-x5 in sagittal and coronal",
        ),
        (
            (1, 3, 4),
            {"spacing": "isotropic"},
            "256 x 256 x 40 at 1 x 3 x 4 mm -> 256 x 768 x 160 at 1 mm isotropic: "
            "slice axis x4 by espcn-r-through-x4 in sagittal and coronal; "
            "axis j x3 by espcn-r-through-x3 in sagittal and axial",
        ),
        (
            (1, 1, 11),
            {"spacing": 1},
            "256 x 256 x 40 at 1 x 1 x 11 mm -> 256 x 256 x 440 at 1 mm isotropic: "
            "slice axis x4 by espcn-r-through-x4 in sagittal and coronal; "
            "slice axis x3 by espcn-r-through-x3 in sagittal and coronal, then resampled to 1 mm",
        ),
        (
            (1.05, 1.05, 5),
            {"spacing": 1},
            "256 x 256 x 40 at 1.05 x 1.05 x 5 mm -> 269 x 269 x 200 at 1 mm isotropic: "
            "slice axis x5 by espcn-r-through-x5 in sagittal and coronal; axes i and j resampled to 1 mm",
        ),
        (
            (1, 1, 1.05),
            {"spacing": 1},
            "256 x 256 x 40 at 1 x 1 x 1.05 mm -> 256 x 256 x 42 at 1 mm isotropic: axis k resampled to 1 mm",
        ),
        (
            (2.1, 2.3, 1),
            {"spacing": (1, 1.1, 1)},
            "256 x 256 x 40 at 2.1 x 2.3 x 1 mm -> 538 x 535 x 40 at 1 x 1.1 x 1 mm: "
            "axial slices x2 by espcn-r-x2, then resampled to 1 x 1.1 mm",
        ),
        (
            (1, 1, 1),
            {"spacing": "isotropic"},
            "256 x 256 x 40 at 1 x 1 x 1 mm -> 256 x 256 x 40 at 1 x 1 x 1 mm: nothing to do",
        ),
    ],
)
def test_a_plan_says_what_will_be_done(at, request_, text):
    assert line(at, **request_) == text


def test_a_single_pass_names_its_plane_and_an_odd_order_of_axes_its_planes():
    assert line((1, 1, 4), shape=(1, 30, 40), scale=(1, 1, 4)).endswith(
        "axis k x4 by espcn-r-through-x4 in sagittal"
    )
    assert line((4, 1, 1), axes=(2, 0, 1), scale=(4, 1, 1)).endswith(
        "slice axis x4 by espcn-r-through-x4 in sagittal and coronal"
    )

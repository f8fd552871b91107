"""What requests mean for each axis, and which are refused."""

from __future__ import annotations

import numpy as np
import pytest

from espcn_core.errors import RequestError
from espcn_core.grid import Grid
from espcn_core.upscaling.request import Goal, Request, goals_of


def grid(spacing=(0.9, 0.9, 5), shape=(20, 30, 40)):
    return Grid(shape, np.diag([*spacing, 1.0]))


@pytest.mark.parametrize(
    ("mm", "wanted", "goal"),
    [
        (5, 0.9, Goal(None, 0.9, 6)),
        (5, 1, Goal(5, 1, 5)),
        (5.04, 1, Goal(5, 1.008, 5)),  # 1 % is rounding in a header
        (5.06, 1, Goal(None, 1, 5)),
        (4.94, 1, Goal(None, 1, 5)),
        (1.009, 1, Goal(1, 1.009, 1)),
        (0.991, 1, Goal(1, 0.991, 1)),
        (1.05, 1, Goal(None, 1, 1)),
        (1.1, 1, Goal(None, 1, 1)),
        (1.11, 1, Goal(None, 1, 2)),
        (2.1, 1, Goal(None, 1, 2)),
        (2.2 + 1e-12, 1, Goal(None, 1, 2)),  # rounding in an oblique affine must not decide
        (5.5, 1, Goal(None, 1, 5)),
        (15.5, 1, Goal(None, 1, 15)),
        (16.1, 1, Goal(16, 16.1 / 16, 16)),
    ],
)
def test_an_axis_is_made_finer_by_whole_numbers_and_the_rest_is_interpolated(mm, wanted, goal):
    source = grid((wanted, wanted, mm))
    result = goals_of(source, Request(spacing=(wanted, wanted, wanted)))[2]
    assert (result.factor, result.network) == (goal.factor, goal.network)
    assert result.spacing == pytest.approx(goal.spacing, rel=1e-12)
    assert result.is_there == (goal.factor == 1)


def test_one_spacing_stands_for_three_and_isotropic_for_the_finest():
    source = grid((0.9, 0.7, 5))
    assert goals_of(source, Request(spacing=0.7)) == goals_of(source, Request(spacing=(0.7, 0.7, 0.7)))
    assert goals_of(source, Request(spacing="isotropic")) == goals_of(source, Request(spacing=0.7))


def test_three_factors_are_taken_as_they_are():
    assert [goal.factor for goal in goals_of(grid(), Request(scale=(2, 1, 16)))] == [2, 1, 16]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"spacing": 1},
            "1 mm is coarser than the 0.9 mm of axis i: give --spacing 0.9,0.9,1, or --isotropic",
        ),
        (
            {"spacing": (0.9, 2, 7)},
            "2 mm is coarser than the 0.9 mm of axis j: give --spacing 0.9,0.9,5, or --isotropic",
        ),
        (
            {"spacing": 0.3},
            "from 5 to 0.3 mm along axis k is a factor of 16.7, and 16 is the largest: give 0.3125 mm or",
        ),
        ({"spacing": 0}, "one or three positive numbers in mm, or isotropic, not 0: for instance"),
        ({"spacing": -1.0}, "not -1.0: for instance --spacing 1 or --spacing 0.9,0.9,1"),
        ({"spacing": (0.9, 0.9, 0.0)}, "not 0.9,0.9,0.0: for instance"),
        ({"spacing": (0.9, 0.9, 1, 1)}, "not 0.9,0.9,1,1: for instance"),
        ({"spacing": (0.9, 1)}, "not 0.9,1: for instance"),
        ({"spacing": ()}, "one or three positive numbers"),
        ({"spacing": float("nan")}, "not nan: for instance"),
        ({"spacing": float("inf")}, "not inf: for instance"),
        ({"spacing": "isotopic"}, "or isotropic, not isotopic: for instance"),
        ({"spacing": ((1, 1), (2,))}, "one or three positive numbers"),
        ({"scale": (1, 1, 0)}, "three from 1 to 16, not 1,1,0: for instance --scale 2 or --scale 1,1,5"),
        ({"scale": (1, 1, 17)}, "three from 1 to 16, not 1,1,17"),
        ({"scale": (1, 1, -2)}, "three from 1 to 16, not 1,1,-2"),
        ({"scale": (1, 1, 2.5)}, "three from 1 to 16, not 1,1,2.5"),
        ({"scale": (1, 2)}, "three from 1 to 16, not 1,2"),
        ({"scale": (1, 1, 2, 2)}, "three from 1 to 16, not 1,1,2,2"),
        ({"scale": 2.5}, "one whole number, or three from 1 to 16, not 2.5"),
        ({"scale": (1, 1, 5), "plane": "axial"}, "need no plane, and axial was given: leave out --plane"),
    ],
)
def test_wrong_requests_are_refused_with_what_would_be_right(request_, message):
    with pytest.raises(RequestError) as caught:
        goals_of(grid(), Request(**request_))
    assert message in str(caught.value)


def test_what_would_be_right_is_right():
    for wanted in [(0.9, 0.9, 1), (0.9, 0.9, 5), (0.9, 0.9, 0.3125)]:
        goals_of(grid(), Request(spacing=wanted))


def test_a_single_voxel_cannot_be_made_finer_and_may_stay():
    flat = grid(shape=(20, 30, 1))
    with pytest.raises(RequestError, match=r"axis k has one voxel .* give --spacing 0.45,0.45,5$"):
        goals_of(flat, Request(spacing=(0.45, 0.45, 1)))
    for one in (0.45, "isotropic"):  # one number for all axes leaves it as it is
        assert goals_of(flat, Request(spacing=one))[2].is_there
    with pytest.raises(RequestError, match=r"axis k has one voxel .* give --scale 2,2,1$"):
        goals_of(flat, Request(scale=(2, 2, 3)))
    assert goals_of(flat, Request(spacing=(0.45, 0.45, 5)))[2].is_there
    assert goals_of(flat, Request(scale=(2, 2, 1)))[2].is_there

from __future__ import annotations

import numpy as np
import pytest

from espcn_core.grid import Grid
from espcn_core.upscaling.memory import bytes_needed
from espcn_core.upscaling.plan import Request, make_plan

WORKING = 400 << 20
VOXELS = 20 * 10 * 6


def needed(request, dtype, **options):
    def models(factors):
        return f"{factors}"

    plan = make_plan(Grid((20, 10, 6), np.diag([1, 1, 5, 1])), request, models)
    return (bytes_needed(plan, 1, dtype, **options) - WORKING) / VOXELS


@pytest.mark.parametrize(
    ("request_", "dtype", "bytes_per_voxel"),
    [
        (Request(2), "i2", 4 * 2),  # written as it is made
        (Request(2), "f4", 4 * 4),
        (Request((1, 1, 5)), "i1", 2 * 5 * 2),  # two planes in float16
        (Request((1, 1, 5)), "i2", 5 * 2 + 5 * 2),  # or one, which is then rounded
        (Request((1, 1, 5)), "f4", 5 * 2 + 5 * 4),
        (Request((1, 1, 10)), "i2", 5 * 4 + 2 * 10 * 2),  # two stages
        (Request((2, 2, 5)), "i2", 5 * 4 + 20 * 2),
        (Request(None, (1, 1, 5)), "i2", 2),  # forced
        (Request(None, (1, 1, 0.9)), "i2", 2 * 6 * 2),  # more than what follows: it is resampled
        (Request(None, (1, 1, 0.9)), "f4", 6 * 2 + 33 / 6 * 4),
    ],
)
def test_all_volumes_that_are_there_at_a_time_count(request_, dtype, bytes_per_voxel):
    assert needed(request_, dtype) == pytest.approx(bytes_per_voxel)


def test_a_trust_map_needs_its_own():
    assert needed(Request((1, 1, 5)), "i2", trust=True) == pytest.approx(5 * (2 + 4 + 4) + 5 * 4)


def test_time_points_count():
    plan = make_plan(Grid((20, 10, 6), np.eye(4)), Request(2))
    assert bytes_needed(plan, 7, "u1") - WORKING == 7 * VOXELS * 4

from __future__ import annotations

import numpy as np
import pytest

from espcn_core.degradation import SliceProfile
from espcn_core.errors import DataError
from espcn_core.evaluation.through.cases import find_head, find_volumes, read


def test_what_cannot_be_the_truth_is_left_out_by_name_with_the_reason(keep, ball):
    folder = keep("good", ball).parent
    keep("nearly", ball, (1.5, 1.5, 1.514))
    keep("thick", ball, (1, 1, 5))
    keep("time", np.stack([ball, ball], -1))
    keep("small", ball[:10])
    keep("flat", np.ones_like(ball))
    keep("gaps", np.where(ball > 900, np.nan, ball))
    (folder / "text.nii").write_text("no image\n" * 100)
    found, left_out = find_volumes(folder)
    assert list(found) == ["good", "nearly"]
    assert sorted(left_out) == ["flat", "gaps", "small", "text", "thick", "time"]
    assert "1 x 1 x 5 mm" in left_out["thick"]
    assert "10 x 32 x 30" in left_out["small"]
    assert not any(str(folder) in reason for reason in left_out.values())


def test_a_folder_without_an_isotropic_volume_is_refused_with_the_reasons(keep, ball):
    folder = keep("thick", ball, (1, 1, 5)).parent
    with pytest.raises(DataError, match=r"no isotropic volume.*1 x 1 x 5 mm"):
        find_volumes(folder)


def test_thick_slices_keep_the_field_of_view_of_what_is_cut(keep, ball):
    truth = read("ball", keep("ball", ball[:35])).cut(0, 4)
    assert truth.grid.shape == truth.array.shape == (32, 32, 30)
    thick, grid = truth.thick(0, 4, SliceProfile())
    assert thick.shape == grid.shape == (8, 32, 30)
    assert grid.finer((4, 1, 1)).matches(truth.grid)
    assert thick.mean() == pytest.approx(truth.array.mean(), rel=0.01)


def test_the_head_is_the_bright_thing_with_its_holes(ball):
    hollow = ball.copy()
    hollow[15:20, 13:18, 12:17] = 20
    head = find_head(hollow)
    i, j, k = np.ogrid[:36, :32, :30]
    distance = np.sqrt((i - 17.5) ** 2 + (j - 15.5) ** 2 + (k - 14.5) ** 2)
    assert head[distance < 9].all()
    assert not head[distance > 13].any()


def test_a_volume_without_air_has_no_head(ball):
    assert find_head(ball[12:24, 10:22, 9:21]) is None

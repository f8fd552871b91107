from __future__ import annotations

from espcn_core.degradation import SliceProfile
from espcn_core.evaluation.through.measure import Measurement, measure


def test_the_right_profile_holds_whatever_the_slices_say(ball, through, keep, monkeypatch):
    """What a wrong one costs is the distance to this, so nothing else may be taken for it."""
    judged = SliceProfile(thickness=0.8)
    monkeypatch.setattr("espcn_core.upscaling.finish.likeliest_profile", lambda *_: judged)
    right = SliceProfile(thickness=1.2)
    wanted = Measurement({"ball": keep("ball", ball)}, (2,), (right,), {(1, 2): through}, None)
    held = [record for record in measure(wanted) if record.method == "espcn-r-through"]
    deviations = {record.stated: record.deviation for record in held}
    assert deviations["gaussian:1.2"] < 1e-3 < deviations["unknown"]
    assert len(held) == 6

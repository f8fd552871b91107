"""How far the result depends on what should make no difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from espcn_core.degradation import SliceProfile
from espcn_core.errors import CancelledError, VolumeError
from espcn_core.grid import Grid
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.trust import run_with_trust
from espcn_core.upscaling.upscaler import run


def head(shape=(12, 10, 6), dtype=np.float32):
    return np.asfortranarray(np.random.default_rng(6).gamma(2, 200, shape).astype(dtype))


def plan_for(array, model, **request):
    affine = np.diag([1, 1, 3, 1])
    return make_plan(Grid(array.shape[:3], affine), Request(model=model, **request), lambda factors: model)


def test_it_is_the_standard_deviation_of_all_mirror_images_in_both_planes(make_model):
    array = head()
    plan = plan_for(array, make_model((1, 3)))
    (step,) = plan.steps
    results = []
    for only in step.passes:
        single = replace(plan, steps=(replace(step, passes=(only,)),))
        for axes in [(), (0,), (2,), (0, 2)]:
            mirrored = run(single, np.flip(array, axes), device="cpu").array
            results.append(np.flip(mirrored, axes))
    result, spread = run_with_trust(plan, array, device="cpu")
    assert spread.dtype == np.float32
    assert spread.shape == result.array.shape == plan.target.shape
    np.testing.assert_allclose(spread, np.std(results, axis=0), atol=1e-3)
    assert np.median(spread) > 1  # these networks are random: they do not agree


def test_the_result_is_the_same_as_without(make_model):
    array = head(dtype=np.int16)
    for request in ({}, {"spacing": (1, 1, 1.1)}):
        plan = plan_for(array, make_model((1, 3)), **request)
        for options in ({}, {"dtype": np.float32, "slope": 2.0, "inter": -5.0, "consistent": False}):
            alone = run(plan, array, device="cpu", **options)
            result, _ = run_with_trust(plan, array, device="cpu", **options)
            np.testing.assert_array_equal(result.array, alone.array)
            assert result.array.dtype == alone.array.dtype
            assert (result.notes, result.deviation) == (alone.notes, alone.deviation)


@pytest.mark.parametrize("stated", [None, SliceProfile(thickness=1.2)])
def test_all_runs_take_the_slices_to_have_the_profile_of_the_result(make_model, monkeypatch, stated):
    judged = []

    def judge(*_):
        judged.append(SliceProfile(thickness=1 - 0.1 * len(judged)))
        return judged[-1]

    monkeypatch.setattr("espcn_core.upscaling.finish.likeliest_profile", judge)
    array = head()
    result, _ = run_with_trust(plan_for(array, make_model((1, 3))), array, device="cpu", profile=stated)
    assert judged == [result.profile]


@pytest.mark.parametrize(
    ("factor", "request_"), [((1, 3), {}), ((1, 3), {"spacing": (1, 1, 1.1)}), ((2, 2), {})]
)
def test_networks_without_a_residual_agree_with_themselves(make_model, factor, request_):
    array = head()
    plan = plan_for(array, make_model(factor, bicubic=True), **request_)
    _, spread = run_with_trust(plan, array, device="cpu")
    assert spread.max() < 1e-5 * np.ptp(array)


def test_it_is_in_the_units_of_the_result_whatever_its_type(make_model):
    array = head(dtype=np.int16)
    plan = plan_for(array, make_model((1, 3)))
    _, stored = run_with_trust(plan, array, device="cpu")
    _, physical = run_with_trust(plan, array, device="cpu", slope=-0.25, inter=700.0, dtype=np.uint8)
    np.testing.assert_allclose(physical, 0.25 * stored, atol=1e-3)


def test_what_is_not_finite_has_none(make_model):
    array = head((12, 10, 6, 2))
    clean = run_with_trust(plan_for(array, make_model((1, 3))), array, device="cpu")[1]
    assert np.isfinite(clean).all()
    array[3, 4, 2, 1] = np.nan
    array[7, 4, 3, 0] = np.inf
    result, spread = run_with_trust(plan_for(array, make_model((1, 3))), array, device="cpu")
    assert np.isnan(spread[3, 4, 6:9, 1]).all()
    assert np.isnan(spread[7, 4, 9:12, 0]).all()
    assert (~np.isfinite(spread)).sum() == 6
    np.testing.assert_array_equal(np.isfinite(result.array), np.isfinite(spread))
    with pytest.raises(VolumeError, match="2 voxels are NaN or infinite, which int16 cannot hold"):
        run_with_trust(plan_for(array, make_model((1, 3))), array, dtype=np.int16, device="cpu")


def test_progress_counts_to_the_end_of_all_runs_and_can_stop(make_model):
    array = head()
    plan = plan_for(array, make_model((1, 3)))
    seen = []
    run_with_trust(plan, array, device="cpu", progress=lambda *counts: seen.append(counts))
    slices = 12 + 10
    total = slices + 4 * slices  # the result, then each plane for itself in four mirror images
    assert {count for _, count in seen} == {total}
    done = [count for count, _ in seen]
    assert done == sorted(done)
    assert done[-1] == total
    for last in (1, slices + 1, total - 1):
        with pytest.raises(CancelledError):
            run_with_trust(plan, array, device="cpu", progress=lambda done, _, last=last: done < last)


def test_networks_are_loaded_once(make_model, monkeypatch):
    array = head()
    plan = plan_for(array, make_model((1, 3)))
    made = []
    monkeypatch.setattr(
        "espcn_core.upscaling.trust.Engines",
        lambda device, precision: made.append(device) or Engines(device, precision),
    )
    run_with_trust(plan, array, device="cpu")
    assert made == ["cpu"]
    run_with_trust(plan, array, engines=Engines("cpu"))
    assert made == ["cpu"]


def test_a_volume_that_is_left_alone_varies_nowhere(make_model):
    array = head()
    plan = make_plan(Grid(array.shape, np.eye(4)), Request(spacing=1.0))
    result, spread = run_with_trust(plan, array, device="cpu")
    np.testing.assert_allclose(result.array, array, rtol=1e-6)
    assert (spread == 0).all()

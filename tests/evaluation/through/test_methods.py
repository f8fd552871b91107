from __future__ import annotations

import numpy as np
import pytest
import torch

from espcn_core.degradation import SliceProfile
from espcn_core.errors import RequestError
from espcn_core.evaluation.through.methods import (
    ADAPTED,
    INTERPOLATIONS,
    NETWORKS,
    Networks,
    find_networks,
    interpolate,
    networks_of,
    parse_profile,
    profile_name,
)
from espcn_core.grid import Grid
from espcn_core.models.trained import load_model, save_model
from espcn_core.upscaling.engines import Engines


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_a_ramp_stays_the_same_ramp_in_the_world(name, axis, factor):
    thick = np.moveaxis(np.broadcast_to(np.arange(20.0)[:, None, None], (20, 3, 2)), 0, axis)
    fine = np.moveaxis(interpolate(name, thick, axis, factor), axis, 0)
    index = (np.arange(20 * factor) + 0.5) / factor - 0.5
    inside = (index > 6) & (index < 13)
    wanted = np.round(index + 1e-9) if name == "nearest" else index
    error = np.abs(fine - wanted[:, None, None])[inside].max()
    assert error < {"lanczos": 0.03, "bspline": 0.005, "cubic": 0.08}.get(
        name, 1e-9
    )  # a = -0.75 bends a ramp


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_a_mirror_image_gives_the_mirror_image(name, ball):
    thick = ball[::4].copy()
    fine = interpolate(name, thick, 0, 2)
    assert fine.shape == (2 * len(thick), *ball.shape[1:])
    assert np.allclose(interpolate(name, thick[::-1].copy(), 0, 2)[::-1], fine, atol=0.01)


def test_a_consistent_network_gives_the_thick_slices_again(ball, through):
    own, cards = find_networks([through], [2])
    assert list(cards) == ["through"]
    networks = Networks(own, Engines("cpu"))
    from espcn_core.evaluation.through.cases import Truth
    from espcn_core.evaluation.through.metrics import deviation

    truth = Truth("ball", ball, Grid(ball.shape, np.eye(4)))
    profile = SliceProfile()
    thick, grid = truth.thick(1, 2, profile)
    plan = networks.plan(grid, 1, 2)
    assert plan.target.matches(truth.grid)
    held, free = (networks(thick, plan, profile, consistent=yes) for yes in (True, False))
    assert deviation(held, thick, 1, 2, profile) < 1e-3 < deviation(free, thick, 1, 2, profile)


def test_an_adapted_network_is_made_for_the_thick_volume_alone(ball, through, tmp_path):
    networks = Networks({(1, 2): through}, Engines("cpu"))
    thick, grid = ball[:, ::2].copy(), Grid((36, 16, 30), np.diag([1.0, 2.0, 1.0, 1.0]))
    asked = []

    def adapt(array, on, plan, profile, folder):
        asked.append((array, on, plan, profile))
        network, card = load_model(through)
        torch.nn.init.constant_(network.sub_pixels.bias, 0.1)
        return str(save_model(network, card, folder))

    fine = networks.adapted(adapt, thick, grid, 1, 2, None)
    ((array, on, plan, profile),) = asked
    assert array is thick
    assert (on, profile) == (grid, None)
    assert {only.model for step in plan.steps for only in step.passes} == {through}
    usual = networks(thick, plan, None, consistent=True)
    assert fine.shape == usual.shape == (36, 32, 30)
    assert np.abs(fine - usual).max() > 1
    again = networks(thick, networks.plan(grid, 1, 2), None, consistent=True)
    assert np.array_equal(usual, again)  # the networks themselves are as they were


def test_the_free_network_is_the_last_of_all():
    assert networks_of(adapted=False) == tuple(NETWORKS)
    assert networks_of(adapted=True) == ("espcn-r-through", ADAPTED, "espcn-r-through-free")


@pytest.mark.parametrize(
    ("models", "factors", "sentence"),
    [
        (["espcn-r-x2"], [2], "espcn-r-x2 has scale 2x2"),
        ([ADAPTED], [2], "espcn-r-through-adapted is always"),
        (["bspline"], [2], "bspline is always measured"),
        (["TWICE", "TWICE"], [2], "two models of --models have scale 1x2"),
    ],
)
def test_wrong_models_are_refused(through, models, factors, sentence):
    with pytest.raises(RequestError, match=sentence):
        find_networks([name.replace("TWICE", through) for name in models], factors)


def test_profiles_are_named_as_they_are_read():
    assert parse_profile("box") == SliceProfile("box", 1.0)
    assert profile_name(parse_profile("gaussian:1.20")) == "gaussian:1.2"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("gausian:1", "did you mean gaussian"),
        ("box:thick", "no slice profile: give"),
        ("box:0", "more than 0"),
    ],
)
def test_a_wrong_profile_is_refused(text, sentence):
    with pytest.raises(RequestError, match=sentence):
        parse_profile(text)

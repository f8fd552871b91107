"""Weights are rounded to what 8 bits hold, and the network hardly notices."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from espcn_core.models.cards import shipped_cards
from espcn_core.models.eight_bits import (
    MOST,
    divide,
    evening,
    holds_eight_bits,
    in_eight_bits,
    meeting_alike,
)
from espcn_core.models.fingerprint import length
from espcn_core.models.registry import build, parameter_count
from espcn_core.models.trained import load_model

OURS = [name for name, card in shipped_cards().items() if card.architecture == "espcn-r"]


def network_of(factor=(2, 2), **arguments):
    torch.manual_seed(1)
    network = build("espcn-r", factor, width=8, depth=3, **arguments)
    nn.init.normal_(network.sub_pixels.weight, std=0.05)
    return network


def smooth(count, size=40):
    """Images whose neighbours are alike, as those of scans are."""
    torch.manual_seed(2)
    return nn.functional.avg_pool2d(torch.rand(count, 1, size + 4, size + 4), 5, 1)


def examples(network, count=6):
    traits = 0
    if network.adaptation is not None:
        traits = length(network.thick != 1)
        network.adaptation.standardise(torch.randn(50, traits))
        nn.init.normal_(network.adaptation.changes.weight, std=0.3)
    return [(smooth(2), torch.randn(2, traits)) for _ in range(count)]


def rounded_one_by_one(network):
    for layer in (*network.convolutions()[1:], network.sub_pixels):
        step = layer.weight.abs().amax((1, 2, 3), keepdim=True) / MOST
        layer.weight.copy_((layer.weight / step).round() * step)
    return network


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("activation", ["relu", "prelu"])
@pytest.mark.parametrize("factor", [(2, 2), (1, 4)])
@torch.no_grad()
def test_it_is_nearer_to_the_network_than_if_each_weight_were_rounded_alone(factor, activation, adaptive):
    network = network_of(factor, activation=activation, adaptive=adaptive)
    shown = examples(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert not holds_eight_bits(network)
    made = in_eight_bits(network, shown)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert holds_eight_bits(made)
    other = smooth(4, 60)
    fingerprint = shown[0][1][:1].expand(4, -1)
    expected, result = network(other, fingerprint), made(other, fingerprint)
    simple = rounded_one_by_one(network)
    assert holds_eight_bits(simple)
    error, simple_error = (
        (image - expected).square().mean() for image in (result, simple(other, fingerprint))
    )
    assert error < 0.5 * simple_error
    assert abs(float((result - expected).mean())) < 0.3 * float(error.sqrt())


@pytest.mark.parametrize("adaptive", [True, False])
@torch.no_grad()
def test_a_mirrored_network_stays_so_and_is_rounded_as_well(adaptive):
    network = network_of(adaptive=adaptive, mirrored=True)
    network.sub_pixels.weight = 0.05 * torch.randn_like(network.sub_pixels.weight)
    shown = examples(network)
    made = in_eight_bits(network, shown)
    assert made.mirrored
    assert parameter_count(made) == parameter_count(network)
    assert holds_eight_bits(made)
    assert not holds_eight_bits(network)
    other = smooth(4, 60)
    fingerprint = shown[0][1][:1].expand(4, -1)
    expected, result = network(other, fingerprint), made(other, fingerprint)
    torch.testing.assert_close(made(other.flip(-1), fingerprint).flip(-1), result, rtol=0, atol=1e-6)
    simple = rounded_one_by_one(network.untied())
    error, simple_error = (
        (image - expected).square().mean() for image in (result, simple(other, fingerprint))
    )
    assert error < 0.5 * simple_error
    assert abs(float((result - expected).mean())) < 0.3 * float(error.sqrt())


@torch.no_grad()
def test_again_it_is_the_same_for_the_same_examples():
    network = network_of()
    shown = examples(network)
    one, two = (in_eight_bits(network, shown).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("dead", [False, True])
@torch.no_grad()
def test_an_untrained_network_stays_bicubic(dead):
    """Its last layer is zero; one that is dead gives zeros to all others, too."""
    network = build("espcn-r", (2, 2), width=8, depth=2)
    if dead:
        network.convolutions()[0].bias.fill_(-100)
    made = in_eight_bits(network, examples(network))
    image = smooth(2)
    assert holds_eight_bits(made)
    torch.testing.assert_close(made(image), network(image), rtol=0, atol=1e-6)


def test_it_can_be_trained_on():
    network = network_of()
    made = in_eight_bits(network, examples(network))
    made(smooth(1)).sum().backward()
    assert made.sub_pixels.weight.grad is not None


@torch.no_grad()
def test_evened_channels_reach_alike_and_change_nothing():
    network = network_of()
    first, second = network.convolutions()[:2]
    image = smooth(3)
    first.bias += 0.5  # all of them reach something
    before = network(image)
    reach = first(image).relu().amax((0, 2, 3))
    uneven = float(reach.max() / reach.min())
    divide(first, second, evening(reach, second.weight, 0.02))
    torch.testing.assert_close(network(image), before, rtol=0, atol=1e-6)
    reach = first(image).relu().amax((0, 2, 3))
    assert float(reach.max() / reach.min()) < uneven


@torch.no_grad()
def test_channels_that_meet_weights_of_like_size_are_of_an_equal_network():
    network = network_of(activation="prelu")
    made = meeting_alike(network)
    image = smooth(3)
    torch.testing.assert_close(made(image), network(image), rtol=0, atol=1e-6)
    size = made.sub_pixels.weight.square().mean((0, 2, 3)).sqrt()
    torch.testing.assert_close(size, torch.ones(8))
    other = load_model("espcn-x4")[0]
    assert meeting_alike(other) is other


def test_a_channel_that_was_never_seen_is_not_blown_up():
    factor = evening(torch.tensor([0.0, 1.0]), torch.ones(3, 2, 3, 3), 0.1)
    assert float(factor[1] / factor[0]) == pytest.approx(10**0.5)


@pytest.mark.parametrize("name", OURS)
def test_8_bits_hold_the_shipped_weights(name):
    assert holds_eight_bits(load_model(name)[0])


def test_they_do_after_a_network_was_fitted_to_a_volume():
    network = load_model("espcn-r-x2")[0]
    assert holds_eight_bits(network.adapted(network.adaptation.centre + network.adaptation.spread))


def test_they_do_not_hold_those_of_other_networks():
    assert not holds_eight_bits(load_model("espcn-x4")[0])

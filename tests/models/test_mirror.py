"""Networks whose layers mirror themselves make mirrored results of mirrored images."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from espcn_core.errors import RequestError
from espcn_core.models.fingerprint import length
from espcn_core.models.mirror import Mirror, tie, untied
from espcn_core.models.registry import build, multiplies_per_pixel, parameter_count, receptive_radius


@pytest.mark.parametrize(("outputs", "group"), [(6, 6), (8, 4), (4, 2)])
@torch.no_grad()
def test_a_layer_makes_of_a_mirrored_image_the_mirrored_channels_in_opposite_order(outputs, group):
    torch.manual_seed(1)
    layer = nn.Conv2d(4, outputs, 3, padding=1)
    first = layer.weight.clone()
    tie(layer, group)
    kept = [number for number in range(outputs) if number % group < group // 2]
    assert torch.equal(layer.weight[kept], first[kept])
    image = torch.randn(2, 4, 7, 9)
    turned = layer(image.flip(1, -1)).reshape(2, -1, group, 7, 9).flip(2, -1).reshape(2, outputs, 7, 9)
    torch.testing.assert_close(turned, layer(image), atol=1e-6, rtol=0)


def test_what_is_kept_of_mirrored_weights_gives_them_again():
    mirror = Mirror(4)
    for half in (torch.randn(6, 2, 3, 3), torch.randn(6)):
        assert torch.equal(mirror.right_inverse(mirror(half)), half)


@torch.no_grad()
def test_an_untied_layer_is_equal_and_draws_no_random_number():
    layer = nn.Conv2d(3, 4, 3, padding=0)
    tie(layer, 4)
    torch.manual_seed(2)
    plain = untied(layer)
    drawn = torch.rand(1)
    torch.manual_seed(2)
    assert torch.equal(drawn, torch.rand(1))
    image = torch.randn(1, 3, 7, 9)
    assert torch.equal(plain(image), layer(image))
    plain.weight.zero_()
    assert layer.weight.any()


def mirrored_network(**arguments):
    """A mirrored network whose weights are all in use."""
    torch.manual_seed(5)
    network = build("espcn-r", (2, 4), width=8, depth=2, mirrored=True, **arguments)
    with torch.no_grad():
        for layer in network.layers():
            layer.weight = 0.2 * torch.randn_like(layer.weight)
            layer.bias = 0.2 * torch.randn_like(layer.bias)
    if arguments.get("adaptive"):
        network.adaptation.standardise(2 + torch.randn(40, length(True)))
    return network.eval()


@pytest.mark.parametrize("adaptive", [True, False])
@torch.no_grad()
def test_a_mirrored_network_makes_mirrored_results_of_mirrored_images(adaptive):
    network, image = mirrored_network(adaptive=adaptive), torch.rand(2, 1, 9, 13)
    more = [torch.randn(2, length(True))] if adaptive else []
    result = network(image, *more)
    torch.testing.assert_close(network(image.flip(-1), *more).flip(-1), result, atol=1e-6, rtol=0)
    assert float((network(image.flip(-2), *more).flip(-2) - result).abs().max()) > 0.1
    bicubic = functional.interpolate(image, (18, 52), mode="bicubic", align_corners=False)
    assert float((result - bicubic).abs().max()) > 0.1


def test_a_mirrored_network_has_half_as_many_weights():
    mirrored, plain = (build("espcn-r", (4, 4), mirrored=mirrored) for mirrored in (True, False))
    assert parameter_count(mirrored) * 2 == parameter_count(plain)
    assert multiplies_per_pixel(mirrored) == multiplies_per_pixel(plain)
    assert receptive_radius(mirrored) == receptive_radius(plain)


@pytest.mark.parametrize("adaptive", [True, False])
@torch.no_grad()
def test_a_mirrored_network_is_untied_to_an_equal_one(adaptive):
    network = mirrored_network(adaptive=adaptive)
    image, known = torch.rand(1, 1, 9, 13), torch.randn(1, length(True))
    expected = network(image, known) if adaptive else network(image)
    for plain in (network.untied(), network.adapted(known[0])):
        result = plain(image) if plain.adaptation is None else plain(image, known)
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)
        assert plain.untied() is plain
        for layer in plain.layers():
            layer.weight.zero_()
    torch.testing.assert_close(network(image, known) if adaptive else network(image), expected)


@pytest.mark.parametrize(
    "wrong", [{"width": 7}, {"factor": (4, 3)}, {"channels": 2}, {"activation": "prelu"}], ids=str
)
def test_what_cannot_be_mirrored_is_refused(wrong):
    arguments = {"mirrored": True, **wrong}
    with pytest.raises(RequestError, match="a mirrored network has one channel, relu, and an even width"):
        build("espcn-r", arguments.pop("factor", (2, 2)), **arguments)

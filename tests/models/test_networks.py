"""Properties that every network must have."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from espcn_core.errors import RequestError
from espcn_core.models.fingerprint import length
from espcn_core.models.registry import (
    ARCHITECTURES,
    build,
    multiplies_per_pixel,
    parameter_count,
    receptive_radius,
)

FACTORS = [(2, 2), (3, 3), (4, 4), (1, 4), (4, 1), (2, 3)]
names = pytest.mark.parametrize("name", sorted(ARCHITECTURES))
factors = pytest.mark.parametrize("factor", FACTORS)


@names
@factors
def test_each_axis_has_its_own_factor(name, factor):
    image = torch.rand(2, 1, 9, 13)
    assert build(name, factor)(image).shape == (2, 1, 9 * factor[0], 13 * factor[1])


@names
@factors
def test_sub_pixels_start_equal(name, factor):
    torch.manual_seed(1)
    network = build(name, factor)
    copies = factor[0] * factor[1]
    for parameter in network.sub_pixels.parameters():
        first = parameter[:1].expand_as(parameter)
        assert parameter.shape[0] == copies
        assert torch.equal(parameter, first)


@names
def test_two_channels_are_kept_apart(name):
    assert build(name, (2, 3), channels=2)(torch.rand(1, 2, 8, 8)).shape == (1, 2, 16, 24)


@names
def test_the_receptive_field_ends_where_it_says(name):
    torch.manual_seed(2)
    network = build(name, (2, 2))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    radius = receptive_radius(network)
    image = torch.rand(1, 1, 41, 41)
    poked = image.clone()
    poked[0, 0, 20, 20] += 1
    changed = (network(poked) != network(image))[0, 0].nonzero() // 2
    assert int(changed.min()) >= 20 - radius
    assert int(changed.max()) <= 20 + radius


def test_the_reference_network_is_the_one_of_the_study():
    for scale, count in [(2, 58_212), (3, 59_657), (4, 61_680)]:
        network = build("espcn", (scale, scale))
        assert parameter_count(network) == count
        assert multiplies_per_pixel(network) == count - 64 - 64 - 32 - scale**2
    output = build("espcn", (2, 2))(50 * torch.randn(1, 1, 8, 8)).detach()
    assert 0 <= float(output.min()) <= float(output.max()) <= 1


def test_the_network_of_the_paper_has_its_size():
    for scale, weights in [(2, 21_184), (3, 22_624), (4, 24_640)]:
        assert multiplies_per_pixel(build("espcn-2016", (scale, scale))) == weights


def test_espcn_r_costs_what_the_reference_does():
    for scale in (2, 3, 4):
        ours, reference = (build(name, (scale, scale)) for name in ("espcn-r", "espcn"))
        assert parameter_count(ours) < parameter_count(reference)
        assert multiplies_per_pixel(ours) < multiplies_per_pixel(reference)


@factors
def test_espcn_r_without_a_residual_is_bicubic(factor):
    image = 100 * torch.randn(1, 1, 17, 20)
    size = (17 * factor[0], 20 * factor[1])
    bicubic = functional.interpolate(image, size, mode="bicubic", align_corners=False)
    assert torch.equal(build("espcn-r", factor)(image), bicubic)


def test_espcn_r_takes_its_width_and_depth():
    network = build("espcn-r", (2, 2), width=8, depth=2)
    assert multiplies_per_pixel(network) == 9 * (8 + 2 * 64 + 32)
    assert receptive_radius(network) == 4


def test_espcn_r_has_relu_unless_slopes_are_asked_for():
    plain, sloped = (build("espcn-r", (2, 2), **more) for more in ({}, {"activation": "prelu"}))
    inner = [(n, p.numel()) for n, p in sloped.named_parameters() if n not in dict(plain.named_parameters())]
    assert [count for _, count in inner] == [32] * 7
    assert parameter_count(sloped) - parameter_count(plain) == 32 * 7
    for name, parameter in plain.named_parameters():
        assert dict(sloped.named_parameters())[name].shape == parameter.shape
    for parameter in plain.body.parameters():
        torch.nn.init.constant_(parameter, -1.0)
    assert not plain.body(torch.rand(1, 1, 8, 8)).any()
    with pytest.raises(RequestError, match="activation is 'gelu': it must be relu or prelu"):
        build("espcn-r", (2, 2), activation="gelu")


def adaptive_network():
    """An adaptive network whose weights are all in use."""
    torch.manual_seed(3)
    network = build("espcn-r", (2, 3), width=8, depth=2, adaptive=True)
    for parameter in network.sub_pixels.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    network.adaptation.standardise(2 + torch.randn(40, length(True)))
    return network.eval()


@pytest.mark.parametrize("adaptive", [True, False])
def test_roughness_is_relative_and_of_the_training_alone(adaptive):
    torch.manual_seed(4)
    image, known = torch.rand(1, 1, 9, 13), torch.randn(1, length(False))
    network = build("espcn-r", (2, 2), width=64, depth=1, adaptive=adaptive, roughness=0.01)
    given = []
    network.body[2].register_forward_hook(lambda layer, inputs, output: given.append(inputs[0].detach()))
    for training in (False, False, True, True):
        network.train(training)(image, *([known] if adaptive else []))
    assert torch.equal(given[0], given[1])
    assert not torch.equal(given[2], given[3])
    parts = given[2][given[0] > 0] / given[0][given[0] > 0] - 1
    assert float(parts.mean()) == pytest.approx(0, abs=0.001)
    assert float(parts.std()) == pytest.approx(0.01, rel=0.05)


def test_an_adapted_network_is_the_adaptive_one_for_its_volume():
    network, images = adaptive_network(), torch.rand(2, 1, 9, 13)
    known = torch.randn(2, length(True))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        together = network(images, known)
        for image, row, wanted in zip(images, known, together, strict=True):
            plain = network.adapted(row)
            assert plain.adaptation is None
            torch.testing.assert_close(plain(image[None])[0], wanted, atol=1e-5, rtol=1e-5)
            assert plain.adapted(row) is plain
        one, other = (network.adapted(row)(images) for row in known)
    assert float((one - other).abs().max()) > 1e-3
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_is_not_known_of_a_volume_counts_as_usual():
    network, image = adaptive_network(), torch.rand(1, 1, 9, 13)
    usual = network.adapted(network.adaptation.centre)(image)
    nothing = network.adapted(torch.full((length(True),), float("nan")))(image)
    torch.testing.assert_close(nothing, usual)
    far, further = (
        network.adapted(torch.full((length(True),), value))(image) for value in (1e4, float("inf"))
    )
    torch.testing.assert_close(far, further)


def test_unknown_names_are_refused_with_the_nearest_known_ones():
    with pytest.raises(RequestError, match="did you mean espcn-r"):
        build("espcnr", (2, 2))
    with pytest.raises(RequestError, match="there are espcn, espcn-2016, espcn-r"):
        build("unet", (2, 2))
    with pytest.raises(RequestError, match="cannot be built with"):
        build("espcn", (2, 2), width=3)

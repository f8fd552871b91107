"""Weights that 8 bits hold, so that a network computes the same with them as with its own float32."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from espcn_core.models.espcn_r import EspcnR
from espcn_core.models.mirror import Mirror

MOST = 127
"""The largest weight of an output channel is this many steps; the others are whole numbers of them."""

_LEAST = 0.1
"""Of the widest channel of a layer: one that was hardly seen reaches so much on other volumes."""

_DAMPING = 0.01
"""Of the mean variance, added to all: what was hardly seen is not fitted."""

_TINY = 1e-12
"""So that layers of zeros, as an untrained network has, stay so."""

_PLACES = 3
"""One place of so many is looked at: neighbours say the same."""


@torch.no_grad()
def holds_eight_bits(network: nn.Module) -> bool:
    """Whether 8 bits hold the weights of a residual network but its first layer, to 1 % of a step."""
    if not isinstance(network, EspcnR):
        return False
    steps = [MOST * layer.weight / _largest(layer.weight) for layer in network.layers()[1:]]
    return all(bool(((found - found.round()).abs() < 0.01).all()) for found in steps)


@torch.no_grad()
def in_eight_bits(network: EspcnR, examples: Sequence[tuple[Tensor, Tensor]]) -> EspcnR:
    """The same network with weights that `holds_eight_bits` finds to do so.

    Layer by layer, channels get like ranges (`evening`), and weights are rounded one after the other, those
    left making up for the error of each (GPTQ, Frantar et al. 2022, arXiv 2210.17323). What is kept is what
    the layer made of what the exact layers before it gave, not of what the rounded ones give. The first layer
    is not rounded: it is small, and sees the image itself. Of a mirrored network one half of each layer is
    rounded, by the examples and their mirror images, and the other half mirrors it.

    Parameters
    ----------
    network : EspcnR
        With its padding.
    examples : sequence of (coarse, fingerprints)
        As in training: (B, 1, H, W), and (B, n) or (B, 0). They show what channels reach and how the values
        of neighbours and channels go together.
    """
    original, network = network, copy.deepcopy(network.untied())
    if original.mirrored:
        examples = [*examples, *((coarse.flip(-1), fingerprints) for coarse, fingerprints in examples)]
    layers = network.layers()
    scales = [_scales(network, fingerprints) for _, fingerprints in examples]

    def after(number: int, images: Sequence[Tensor]) -> list[Tensor]:
        """What a layer of the body makes of some images, each in the place of its example."""
        activation = network.body[2 * number + 1]
        return [
            activation(_convolved(layers[number], image) * scale[:, number])
            for image, scale in zip(images, scales, strict=True)
        ]

    exact = [coarse for coarse, _ in examples]
    for number, (before, following) in enumerate(itertools.pairwise(layers)):
        exact = after(number, exact)
        reach = torch.stack([image.amax((0, 2, 3)) - image.amin((0, 2, 3)) for image in exact]).amax(0)
        factor = evening(reach, following.weight, _LEAST)
        divide(before, following, factor)
        exact = [image / factor[:, None, None] for image in exact]

    exact = rounded = after(0, [coarse for coarse, _ in examples])
    for number, layer in enumerate(layers[1:], 1):
        wanted = after(number, exact) if number < len(layers) - 1 else []
        mean = _mean(layer, exact)
        layer.weight.copy_(_rounded(layer.weight, exact, rounded))
        assert layer.bias is not None
        layer.bias += mean - _mean(layer, rounded)
        if original.mirrored:
            _mirror(layer, Mirror(original.group(original.layers()[number])))
        if wanted:
            exact, rounded = wanted, after(number, rounded)
    return _tied(network, original) if original.mirrored else network


def evening(reach: Tensor, weight: Tensor, least: float) -> Tensor:
    """What to divide the channels between two layers by, so that their ranges are alike, shape (channels,).

    A layer shares one step between all of its channels, and a wide one makes it coarse for the narrow ones.
    So each channel is divided, and the weights that it meets are multiplied, by the root of what it reaches
    over the largest of these weights: SmoothQuant (Xiao et al. 2022, arXiv 2211.10438, equation 4, with
    alpha 0.5).

    Parameters
    ----------
    reach : Tensor, shape (channels,)
        How large the values of each channel get.
    weight : Tensor, shape (outputs, channels, rows, columns)
        Of the layer that follows.
    least : float
        Of the widest channel: none is taken for narrower.
    """
    most = reach, weight.abs().amax((0, 2, 3))
    reach, weights = (values.clamp(min=least * float(values.max()) + _TINY) for values in most)
    return (reach / weights).sqrt()


@torch.no_grad()
def meeting_alike(network: nn.Module) -> nn.Module:
    """An equal network, each channel of which meets weights of like size in the layer that follows.

    Layer by layer, channels are multiplied by the root mean square of these weights, and the weights divided.
    For those who round what goes between layers by the same ranges for all volumes
    (`espcn_core.export.int8`): evened channels that only few volumes use would decide these. A network that
    is no `EspcnR` is returned as it is, for its activations let no factor pass.
    """
    if not isinstance(network, EspcnR):
        return network
    network = copy.deepcopy(network)
    for before, following in itertools.pairwise(network.layers()):
        size = following.weight.square().mean((0, 2, 3)).sqrt()
        divide(before, following, 1 / size.clamp(min=_LEAST * float(size.max()) + _TINY))
    return network


def divide(before: nn.Conv2d, following: nn.Conv2d, factor: Tensor) -> None:
    """Divide the channels between two layers; ReLU and PReLU let a positive factor pass."""
    assert before.bias is not None
    before.weight /= factor[:, None, None, None]
    before.bias /= factor
    following.weight *= factor[None, :, None, None]


def _mirror(layer: nn.Conv2d, mirror: Mirror) -> None:
    """Let its first half decide."""
    for parameter in layer.parameters():
        parameter.copy_(mirror(mirror.right_inverse(parameter)))


def _tied(network: EspcnR, original: EspcnR) -> EspcnR:
    """A network like the mirrored one with the weights of another one."""
    tied = copy.deepcopy(original)
    for layer, made in zip(tied.layers(), network.layers(), strict=True):
        assert made.bias is not None
        layer.weight, layer.bias = made.weight.detach(), made.bias.detach()
    return tied


def _scales(network: EspcnR, fingerprints: Tensor) -> Tensor:
    """Of each layer of the body, (B, layers, channels, 1, 1)."""
    if network.adaptation is None:
        return torch.ones(1, len(network.convolutions()), 1, 1, 1)
    scales: Tensor = network.adaptation(fingerprints)
    return scales[..., None, None]


def _convolved(layer: nn.Conv2d, image: Tensor) -> Tensor:
    """Where no padding is seen."""
    return functional.conv2d(image, layer.weight, layer.bias)


def _mean(layer: nn.Conv2d, images: Sequence[Tensor]) -> Tensor:
    """Of each channel that a layer makes of some images of one size."""
    return torch.stack([_convolved(layer, image).mean((0, 2, 3)) for image in images]).mean(0)


def _rounded(weight: Tensor, exact: Sequence[Tensor], rounded: Sequence[Tensor]) -> Tensor:
    """Weights of whole steps that make of the rounded images what these make of the exact ones."""
    own, across = _covariances(exact, rounded, weight.shape[2])
    damping, one = _DAMPING * float(own.diagonal().mean()), torch.eye(len(own))
    while torch.linalg.cholesky_ex(own + damping * one).info:  # where hardly anything varies
        damping = 10 * abs(damping) + _TINY
    own, across = own + damping * one, across + damping * one
    lines = torch.linalg.solve(own, weight.flatten(1).double() @ across, left=False)
    return _in_steps(lines, own).to(weight.dtype).reshape(weight.shape)


def _covariances(exact: Sequence[Tensor], rounded: Sequence[Tensor], size: int) -> tuple[Tensor, Tensor]:
    """Of what kernels see in rounded images with itself, and of what they see in exact ones with that."""
    inputs, count = exact[0].shape[1] * size**2, 0
    own, across = torch.zeros(2, inputs, inputs, dtype=torch.float64)
    means = torch.zeros(2, inputs, dtype=torch.float64)
    for pair in zip(torch.cat(list(exact)), torch.cat(list(rounded)), strict=True):
        right, seen = (functional.unfold(image[None], size)[0, :, ::_PLACES] for image in pair)
        own += seen @ seen.T
        across += right @ seen.T
        means += torch.stack([right.sum(1), seen.sum(1)])
        count += seen.shape[1]
    right, seen = means / count
    return own / count - torch.outer(seen, seen), across / count - torch.outer(right, seen)


def _in_steps(lines: Tensor, own: Tensor) -> Tensor:
    """The lines, (outputs, inputs), in whole steps, such that what they make changes least.

    The inputs that vary most come first. The largest weight of a line stays as it is, for it tells the step.
    """
    step = (lines.abs().amax(1, keepdim=True) + _TINY) / MOST
    largest = lines.abs().argmax(1)
    kept = (MOST * lines.sign()).round()
    order = own.diagonal().argsort(descending=True)
    left = torch.linalg.cholesky(torch.linalg.inv(own[order][:, order]), upper=True)
    wanted = lines[:, order]
    made = torch.empty_like(lines)
    for place, column in enumerate(order.tolist()):
        steps = (wanted[:, place] / step[:, 0]).round().clamp(-MOST, MOST)
        steps = torch.where(largest == column, kept[:, column], steps)
        made[:, column] = steps * step[:, 0]
        error = (wanted[:, place] - made[:, column]) / left[place, place]
        wanted[:, place:] -= torch.outer(error, left[place, place:])
    return made


def _largest(weight: Tensor) -> Tensor:
    """Of each output channel; never zero."""
    return weight.abs().amax((1, 2, 3), keepdim=True) + _TINY

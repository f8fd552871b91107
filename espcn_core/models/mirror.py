"""Layers of which one half mirrors the other, so that a mirrored image gives the mirrored result."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Mirror(nn.Module):
    """The weights of a convolution from one half of them: a parametrization, as torch calls it.

    Outputs come in groups, and in a group the last one mirrors the first one, the last but one the second,
    and so on: it has the same kernels with their columns the other way round, for the inputs in the opposite
    order. So a layer makes of a mirrored image, given in channels of the opposite order, what it makes of the
    image, likewise mirrored (Cohen and Welling 2016, arXiv 1602.07576, for the group of two).

    Parameters
    ----------
    group : int
        How many outputs a group has; even. All that a hidden layer has, or the columns of sub-pixels.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, half: Tensor) -> Tensor:
        """Weights (outputs / 2, inputs, rows, columns), or biases (outputs / 2,), to those of all outputs."""
        first = half.reshape(-1, self.group // 2, *half.shape[1:])
        last = first.flip((1, 2, -1) if half.ndim == 4 else 1)
        return torch.cat([first, last], dim=1).flatten(0, 1)

    def right_inverse(self, whole: Tensor) -> Tensor:
        """The first half, which is all that counts; what the other half is like is lost."""
        return whole.reshape(-1, self.group, *whole.shape[1:])[:, : self.group // 2].flatten(0, 1)


def tie(layer: nn.Conv2d, group: int) -> None:
    """Let a layer have one half of its weights, from which the other one follows."""
    for name in ("weight", "bias"):
        parametrize.register_parametrization(layer, name, Mirror(group))


@torch.no_grad()
def untied(layer: nn.Conv2d) -> nn.Conv2d:
    """An equal layer that has all of its weights one by one."""
    with torch.random.fork_rng(devices=()):  # a new layer draws weights
        plain = nn.Conv2d(layer.in_channels, layer.out_channels, layer.weight.shape[-1])
    plain.padding = layer.padding
    for name, own in plain.named_parameters():
        own.data = getattr(layer, name).clone()
    return plain

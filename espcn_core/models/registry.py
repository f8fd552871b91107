"""The networks, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

from espcn_core.errors import RequestError, did_you_mean
from espcn_core.models.espcn import Espcn
from espcn_core.models.espcn_2016 import Espcn2016
from espcn_core.models.espcn_r import EspcnR
from espcn_core.models.fingerprint import fingerprint

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "espcn": Espcn,
    "espcn-2016": Espcn2016,
    "espcn-r": EspcnR,
}

_LARGEST = {"channels": 64, "width": 512, "depth": 64}
"""Of arguments; a card or a configuration that asks for more asks for no network of this kind."""


def build(architecture: str, factor: tuple[int, int], /, **arguments: Any) -> nn.Module:
    """A new network with fresh weights.

    Parameters
    ----------
    architecture : str
        A key of `ARCHITECTURES`.
    factor : (r_row, r_col)
        Fine pixels per coarse pixel along each axis.
    **arguments
        What the network's own class takes.

    Raises
    ------
    RequestError
        If no network has that name or takes these arguments.
    """
    if architecture not in ARCHITECTURES:
        raise RequestError(
            f"no network is called {architecture!r}{did_you_mean(architecture, ARCHITECTURES)}"
        )
    for name, most in _LARGEST.items():
        number = arguments.get(name, 1)
        least = 0 if name == "depth" else 1
        if type(number) is not int or not least <= number <= most:
            raise RequestError(
                f"{architecture} cannot be built with {name} {number!r:.50}: "
                f"it must be a whole number from {least} to {most}"
            )
    try:
        return ARCHITECTURES[architecture](factor, **arguments)
    except (TypeError, ValueError) as error:
        raise RequestError(f"{architecture} cannot be built with {arguments}: {error}") from error


def parameter_count(network: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def multiplies_per_pixel(network: nn.Module) -> int:
    """Multiplications per coarse pixel in the convolutions, which all run at the coarse size."""
    return sum(conv.weight.numel() for conv in _convolutions(network))


def receptive_radius(network: nn.Module) -> int:
    """Coarse pixels that an output pixel can see beyond its own, in each direction.

    Never less than the two that bicubic interpolation reads.
    """
    return max(2, sum(max(conv.kernel_size) // 2 for conv in _convolutions(network)))


def without_padding(network: nn.Module) -> nn.Module:
    """The network itself, whose output from now on lacks `receptive_radius` coarse pixels at each edge.

    For those who give it that much more: the pixels that are left are the same, and the rest is not computed.
    """
    for convolution in _convolutions(network):
        convolution.padding = (0, 0)
    return network


def adapted(network: nn.Module, slices: Iterable[Tensor]) -> nn.Module:
    """The network for the volume that some coarse slices, (H, W), belong to; most networks are for any."""
    if isinstance(network, EspcnR):
        adaptive = network.adaptation is not None
        return network.adapted(fingerprint(slices, network.thick)) if adaptive else network.untied()
    return network


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]

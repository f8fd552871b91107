"""Which number format the layers of a network compute in."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from espcn_core.errors import RequestError

PRECISIONS = ("auto", "fp32", "bf16", "int8")


def precision_for(name: str, device: torch.device, residual: bool) -> str:
    """The format that the layers of a network run in; what they add to, and the result, stay in float32.

    Parameters
    ----------
    name : {"auto", "fp32", "bf16", "int8"}
        ``auto`` takes bfloat16 on a device that computes with it, for networks that add to an interpolation:
        there a rounding of 2^-9 is one of the residual alone. ``int8`` is for OpenVINO.
    device : torch.device
    residual : bool
        Whether the network adds to an interpolation.

    Returns
    -------
    {"fp32", "bf16", "int8"}

    Raises
    ------
    RequestError
        If there is no such precision.
    """
    if name not in PRECISIONS:
        raise RequestError(f"no precision is called {name!r}: there are {', '.join(PRECISIONS)}")
    if name == "auto":
        return "bf16" if residual and _has_bfloat16(device.type) else "fp32"
    return name


def _has_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and cpu_has_bfloat16()


def cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16. These functions of torch are private and may go."""
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, question, lambda: False)() for question in questions)


@torch.no_grad()
def narrowed(network: nn.Module) -> nn.Module:
    """The network with weights that bfloat16 holds, each kernel with nearly the sum that it had.

    What a kernel of a convolution, 3 x 3 say, is given varies little from pixel to pixel, so it matters most
    what its weights are together. They are rounded one after the other, the largest first, and each takes
    over what the one before lost. The last and smallest loses least.
    """
    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.copy_(_with_sums_kept(layer.weight.flatten(2)).reshape(layer.weight.shape))
    return network


def _with_sums_kept(kernels: Tensor) -> Tensor:
    """Kernels, (outputs, inputs, n), rounded to bfloat16."""
    lost = torch.zeros_like(kernels[..., :1])
    rounded = torch.empty_like(kernels)
    for place in torch.split(kernels.abs().argsort(-1, descending=True), 1, dim=-1):
        wanted = kernels.gather(-1, place) + lost
        held = wanted.to(torch.bfloat16).to(kernels.dtype)
        rounded.scatter_(-1, place, held)
        lost = wanted - held
    return rounded

"""Which number format the layers of a network compute in."""

from __future__ import annotations

import copy
import functools
import sys
import time

import torch
from torch import Tensor, nn
from torch.nn import functional

from espcn_core.errors import RequestError
from espcn_core.models.eight_bits import holds_eight_bits
from espcn_core.models.espcn_r import EspcnR

PRECISIONS = ("auto", "fp32", "bf16", "int8")

_ROUNDS = 5

_CLOCK = time.perf_counter if sys.platform == "win32" else time.thread_time
"""Windows tells a thread's own time in steps of 16 ms."""


def check_precision(name: str) -> None:
    """`RequestError` if there is no precision of that name."""
    if name not in PRECISIONS:
        raise RequestError(f"no precision is called {name!r}: there are {', '.join(PRECISIONS)}")


def precision_for(name: str, device: torch.device, residual: bool) -> str:
    """The format that the layers of a network run in; what they add to, and the result, stay in float32.

    Parameters
    ----------
    name : {"auto", "fp32", "bf16", "int8"}
        ``auto`` takes bfloat16 on a device that is faster with it, for networks that add to an interpolation:
        there a rounding of 2^-9 is one of the residual alone. ``int8`` is for OpenVINO, which takes it by
        itself (`openvino_precision`).
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
    check_precision(name)
    if name == "auto":
        return "bf16" if residual and _is_faster_in_bfloat16(device.type) else "fp32"
    return name


def openvino_precision(name: str, network: nn.Module) -> str:
    """The format for OpenVINO, on the CPU: as `precision_for` says, but for ``auto``.

    It takes ``int8`` for networks whose weights lose nothing by that (`holds_eight_bits`), if the CPU has
    instructions for it: without them sums of products of 8 bits are slow, and on some CPUs they overflow.
    """
    if name == "auto" and _cpu_has_sums_of_eight_bits() and holds_eight_bits(network):
        return "int8"
    return precision_for(name, torch.device("cpu"), isinstance(network, EspcnR))


def _is_faster_in_bfloat16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and cpu_is_faster_in_bfloat16()


@functools.cache
def cpu_is_faster_in_bfloat16() -> bool:
    """Whether the CPU computes a layer faster in bfloat16 than in float32; measured, in some 30 ms.

    That it has instructions for bfloat16 does not say so: an AMD EPYC computes twice as fast with them, and
    an Intel Xeon, where a virtual machine hides its AMX, half as fast.
    """
    if not _cpu_has_bfloat16():
        return False
    times: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # its own time says the same on a busy machine
    try:
        with torch.inference_mode():
            features, kernels = torch.ones(1, 128, 32, 32), torch.ones(128, 128, 3, 3)  # sums, not memory
            for _ in range(_ROUNDS):
                for dtype, found in times.items():
                    given = (t.to(dtype, memory_format=torch.channels_last) for t in (features, kernels))
                    found.append(_seconds(*given))
    finally:
        torch.set_num_threads(threads)
    return min(times[torch.bfloat16]) < min(times[torch.float32])


def _seconds(features: Tensor, kernels: Tensor) -> float:
    """Of this thread, for a convolution."""
    started = _CLOCK()
    functional.conv2d(features, kernels)
    return _CLOCK() - started


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16. These functions of torch are private and may go."""
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, question, lambda: False)() for question in questions)


def _cpu_has_sums_of_eight_bits() -> bool:
    """Whether the CPU has the VNNI instructions of AVX-512. This function of torch is private and may go."""
    return bool(getattr(torch.cpu, "_is_vnni_supported", lambda: False)())


@torch.no_grad()
def narrowed(network: nn.Module) -> nn.Module:
    """The network with weights that bfloat16 holds, rounded so that kernels change least in what they make.

    What a kernel of a convolution, 3 x 3 say, is given varies little from pixel to pixel, so errors of its
    weights that cancel each other matter little.
    """
    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.copy_(_rounded(layer.weight))
    return network


def _rounded(kernels: Tensor) -> Tensor:
    """Kernels, (outputs, inputs, rows, columns), that bfloat16 holds.

    The weights of a kernel are rounded one after the other, the largest first, and after each those that are
    left make up for its error as well as they can: so that the mean square of the change is least where
    pixels at a distance d correlate by 0.9^d. That is GPTQ (Frantar et al. 2022, arXiv 2210.17323), with this
    correlation in place of that of a calibration.
    """
    grid = torch.cartesian_prod(*(torch.arange(n, dtype=kernels.dtype) for n in kernels.shape[2:]))
    together = 0.9 ** torch.cdist(grid, grid).to(kernels.device)
    lines = kernels.flatten(2).flatten(0, 1)
    order = lines.abs().argsort(-1, descending=True)
    wanted = lines.gather(-1, order)
    left = torch.linalg.inv(together)[order[:, :, None], order[:, None, :]]
    rounded = torch.empty_like(wanted)
    for place in torch.split(order, 1, dim=-1):
        held = wanted[:, :1].to(torch.bfloat16).to(kernels.dtype)
        rounded.scatter_(-1, place, held)
        shares = left[:, :1] / left[:, :1, :1]  # of the error, for each weight that is left
        wanted = (wanted - shares[:, 0] * (wanted[:, :1] - held))[:, 1:]
        left = (left - left[:, :, :1] * shares)[:, 1:, 1:]
    return rounded.reshape(kernels.shape)

"""Run a network with torch, on a CPU or a graphics card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from espcn_core.errors import RequestError
from espcn_core.models.espcn_r import EspcnR
from espcn_core.upscaling.engine import Engine
from espcn_core.upscaling.precision import precision_for

DEVICES = ("auto", "cpu", "cuda", "mps")

_PIXELS_AT_ONCE = {"cpu": 2**16, "cuda": 2**22, "mps": 2**20}
"""Coarse pixels in one call of a network; on a CPU few enough for its cache: 64 channels are 16 MB."""


def choose_device(name: str) -> torch.device:
    """The device of a name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    RequestError
        If there is no such device here.
    """
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if here[kind]))
    if name not in here:
        raise RequestError(f"no device is called {name!r}: there are {', '.join(DEVICES)}")
    if not here[name]:
        found = ", ".join(kind for kind, there in here.items() if there)
        raise RequestError(f"there is no {name} device here (found: {found}): use --device auto")
    return torch.device(name)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that a device has no memory left; for MPS it has no class for that."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def free_memory(device: torch.device) -> None:
    """Give back the memory of a device that torch keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


class TorchEngine(Engine):
    """A trained network that torch runs on a device.

    Parameters
    ----------
    model : str or Path
        Name of shipped weights, or a weight file.
    device : torch.device
    precision : {"auto", "fp32", "bf16"}
        What its layers compute in (`espcn_core.upscaling.precision`).
    """

    def __init__(self, model: str | Path, device: torch.device, precision: str = "fp32") -> None:
        overlaps = device.type == "cuda"
        super().__init__(model, str(device), _PIXELS_AT_ONCE[device.type], calls=4 if overlaps else 1)
        self.precision = precision_for(precision, device, isinstance(self.network, EspcnR))
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device
        self.is_on_cpu = device.type == "cpu"
        self._pinned = overlaps

    @torch.inference_mode()
    def start(self, padded: Tensor) -> Callable[[], Tensor] | None:
        try:
            padded = padded.pin_memory() if self._pinned else padded
            padded = padded.to(self.device, memory_format=torch.channels_last, non_blocking=self._pinned)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                fine = self.network(padded).float()
            if self._pinned:
                return _later(fine)
            image = fine.cpu()
            return lambda: image
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None  # what it had allocated is free once the error is gone

    def free(self) -> None:
        free_memory(self.device)


def _later(fine: Tensor) -> Callable[[], Tensor]:
    """Begin to copy a result off a graphics card; what is returned waits for it."""
    image = torch.empty(fine.shape, pin_memory=True)
    image.copy_(fine, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()

    def wait() -> Tensor:
        copied.synchronize()
        return image

    return wait

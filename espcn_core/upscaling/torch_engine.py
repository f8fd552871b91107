"""Run a network with torch: batches of coarse slices in, fine ones out, within the memory of the device."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from espcn_core.errors import EspcnError, RequestError
from espcn_core.models import receptive_radius
from espcn_core.models.cards import load_model
from espcn_core.upscaling.slices import crop, pad

Say = Callable[[str], None]
"""Gets a sentence for the user when the device's memory is too small for what was tried."""

DEVICES = ("auto", "cpu", "cuda", "mps")

_PIXELS_AT_ONCE = {"cpu": 2**16, "cuda": 2**22, "mps": 2**20}
"""Coarse pixels in one call of a network; on a CPU few enough for its cache: 64 channels are 16 MB."""

_LEAST_PIXELS = 2**10
"""Below this a device has no memory worth the name."""


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


class TorchEngine:
    """A trained network on a device. Threads may share it.

    Parameters
    ----------
    model : str or Path
        Name of shipped weights, or a weight file.
    device : torch.device
    """

    def __init__(self, model: str | Path, device: torch.device) -> None:
        self.network, self.card = load_model(model)
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device
        self.factor = self.card.factor
        self.radius = receptive_radius(self.network)
        self.pixels_at_once = _PIXELS_AT_ONCE[device.type]

    @torch.inference_mode()
    def __call__(self, batch: Tensor, say: Say = lambda sentence: None) -> Tensor:
        """Coarse slices (B, 1, H, W) to fine ones (B, 1, H r_row, W r_col), float32, on the CPU.

        Edges are padded by repetition by the receptive field, so what a slice holds does not depend on the
        tiles that it is cut into.

        Raises
        ------
        EspcnError
            If even a small tile does not fit into the memory of the device.
        """
        return self._in_pieces(pad(batch, self.radius), say)

    def _in_pieces(self, padded: Tensor, say: Say) -> Tensor:
        """Halve the batch, then the slice, until a piece is small enough; each piece has its own padding."""
        count, _, height, width = padded.shape
        height, width = height - 2 * self.radius, width - 2 * self.radius
        if count * height * width <= self.pixels_at_once:
            try:
                return self._run(padded)
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                self._ask_for_less(count * height * width, say)
        if count > 1:
            halves = padded.chunk(2)
            return torch.cat([self._in_pieces(half, say) for half in halves])
        axis, size = (-2, height) if height >= width else (-1, width)
        if size < 2:
            return self._run(padded)
        middle = size // 2
        halves = (
            padded.narrow(axis, 0, middle + 2 * self.radius),
            padded.narrow(axis, middle, size - middle + 2 * self.radius),
        )
        return torch.cat([self._in_pieces(half, say) for half in halves], dim=axis)

    def _run(self, padded: Tensor) -> Tensor:
        padded = padded.to(self.device, memory_format=torch.channels_last)
        return crop(self.network(padded), self.radius, self.factor).float().cpu()

    def _ask_for_less(self, pixels: int, say: Say) -> None:
        self.pixels_at_once = pixels // 2
        if self.pixels_at_once < _LEAST_PIXELS:
            raise EspcnError(f"the memory of device {self.device} is too small or in use: use --device cpu")
        say(f"{self.device} is out of memory: going on with {self.pixels_at_once:,} pixels at once")


class Engines:
    """The networks on a device, each loaded when it is first asked for. Threads may share them.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}

    Raises
    ------
    RequestError
        If there is no such device here.
    """

    def __init__(self, device: str = "auto") -> None:
        self.device = choose_device(device)
        self._loaded: dict[str, TorchEngine] = {}
        self._lock = threading.Lock()

    def load(self, model: str) -> TorchEngine:
        """The engine of shipped weights or of a weight file; raises what `load_model` does."""
        with self._lock:
            if model not in self._loaded:
                self._loaded[model] = TorchEngine(model, self.device)
            return self._loaded[model]

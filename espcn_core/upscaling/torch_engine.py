"""Run a network with torch: batches of coarse slices in, fine ones out, within the memory of the device."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from espcn_core.errors import DeviceMemoryError, RequestError
from espcn_core.models.espcn_r import EspcnR
from espcn_core.models.registry import adapted, receptive_radius
from espcn_core.models.trained import load_model
from espcn_core.upscaling.precision import precision_for
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


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch says that a device has no memory left; for MPS it has no class for that."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def free_memory(device: torch.device) -> None:
    """Give back the memory of a device that torch keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


class Piece(NamedTuple):
    """A part of a batch of fine slices.

    Attributes
    ----------
    numbers, rows, columns : slice
        Where it lies in the batch, shape (B, H r_row, W r_col).
    image : Tensor, shape (b, 1, h, w)
        Float32, on the CPU.
    """

    numbers: slice
    rows: slice
    columns: slice
    image: Tensor


class TorchEngine:
    """A trained network on a device. Threads may share it.

    Parameters
    ----------
    model : str or Path
        Name of shipped weights, or a weight file.
    device : torch.device
    precision : {"auto", "fp32", "bf16"}
        What its layers compute in (`espcn_core.upscaling.precision`).
    """

    def __init__(self, model: str | Path, device: torch.device, precision: str = "fp32") -> None:
        self.network, self.card = load_model(model)
        self.dtype = precision_for(precision, device, isinstance(self.network, EspcnR))
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device
        self.factor = self.card.factor
        self.radius = receptive_radius(self.network)
        self.pixels_at_once = _PIXELS_AT_ONCE[device.type]

    def adapted(self, slices: Iterable[Tensor]) -> TorchEngine:
        """The engine for the volume that some of the coarse slices, (H, W), come from."""
        engine = copy.copy(self)
        engine.network = adapted(self.network, slices)
        return engine

    def __call__(self, batch: Tensor, say: Say = lambda sentence: None) -> Iterator[Piece]:
        """The pieces of the fine slices, each as soon as it is computed.

        Parameters
        ----------
        batch : Tensor, shape (B, 1, H, W)
            Coarse slices, float32, on the CPU. Edges are padded by repetition by the receptive field, so
            what a slice holds does not depend on the pieces that it is cut into.
        say : callable
            Gets a sentence when the memory of the device is too small for what was tried.

        Raises
        ------
        DeviceMemoryError
            If even a small piece does not fit into the memory of the device.
        """
        yield from self._pieces(pad(batch, self.radius), (0, 0, 0), say)

    def _pieces(self, padded: Tensor, start: Sequence[int], say: Say) -> Iterator[Piece]:
        """Halve the batch, then the slice, until a piece is small enough; each piece has its own padding."""
        count, _, height, width = padded.shape
        sizes = (count, height - 2 * self.radius, width - 2 * self.radius)
        pixels = sizes[0] * sizes[1] * sizes[2]
        if pixels <= self.pixels_at_once:
            image = self._run(padded)
            if image is not None:
                numbers, rows, columns = (
                    slice(a * r, (a + n) * r) for a, n, r in zip(start, sizes, (1, *self.factor), strict=True)
                )
                yield Piece(numbers, rows, columns, image)
                return
            self._ask_for_less(pixels, say)
        number = 0 if count > 1 else (1 if sizes[1] >= sizes[2] else 2)
        axis, overlap = ((0, 0), (2, 2 * self.radius), (3, 2 * self.radius))[number]
        middle = sizes[number] // 2
        for first, size in ((0, middle), (middle, sizes[number] - middle)):
            begin = [*start]
            begin[number] += first
            yield from self._pieces(padded.narrow(axis, first, size + overlap), begin, say)

    @torch.inference_mode()
    def _run(self, padded: Tensor) -> Tensor | None:
        """The network on one piece; None if the device is out of memory."""
        try:
            padded = padded.to(self.device, memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
                fine = self.network(padded)
            return crop(fine, self.radius, self.factor).float().cpu()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None  # what it had allocated is free once the error is gone

    def _ask_for_less(self, pixels: int, say: Say) -> None:
        free_memory(self.device)
        self.pixels_at_once = pixels // 2
        if self.pixels_at_once < _LEAST_PIXELS:
            raise DeviceMemoryError(
                f"the memory of device {self.device} is too small or in use: use --device cpu"
            )
        say(f"{self.device} is out of memory: going on with {self.pixels_at_once:,} pixels at once")


class Engines:
    """The networks on a device, each loaded when it is first asked for. Threads may share them.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
    precision : {"auto", "fp32", "bf16"}
        With ``bf16``, which ``auto`` takes where a CPU computes with it, networks run about twice as fast,
        and results differ by up to a hundredth of the range; with ``fp32`` they are the same to 1e-5, however
        they are cut into pieces.

    Raises
    ------
    RequestError
        If there is no such device here, or no such precision.
    """

    def __init__(self, device: str = "auto", precision: str = "fp32") -> None:
        self.device = choose_device(device)
        precision_for(precision, self.device, residual=True)  # a wrong one says so before any is loaded
        self.precision = precision
        self._loaded: dict[str, TorchEngine] = {}
        self._lock = threading.Lock()

    def load(self, model: str) -> TorchEngine:
        """The engine of shipped weights or of a weight file.

        Raises what `load_model` does, and `DeviceMemoryError` if the device has no memory for it.
        """
        with self._lock:
            if model not in self._loaded:
                try:
                    self._loaded[model] = TorchEngine(model, self.device, self.precision)
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    raise DeviceMemoryError(
                        f"the memory of device {self.device} has no place for a network: use --device cpu"
                    ) from None
            return self._loaded[model]

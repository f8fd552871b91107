"""What runs a network: batches of coarse slices in, fine ones out, within the memory there is."""

from __future__ import annotations

import abc
import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from torch import Tensor

from espcn_core.errors import DeviceMemoryError
from espcn_core.models.registry import adapted, receptive_radius, without_padding
from espcn_core.models.trained import load_model
from espcn_core.upscaling.precision import narrowed
from espcn_core.upscaling.slices import pad

Say = Callable[[str], None]
"""Gets a sentence for the user when the device's memory is too small for what was tried."""

_LEAST_PIXELS = 2**10
"""Below this a device has no memory worth the name."""


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


class _Begun(NamedTuple):
    """A piece that is being computed."""

    numbers: slice
    rows: slice
    columns: slice
    wait: Callable[[], Tensor]

    def piece(self) -> Piece:
        return Piece(self.numbers, self.rows, self.columns, self.wait())


class Engine(abc.ABC):
    """A trained network, and what it runs on. Threads may share it.

    Parameters
    ----------
    model : str or Path
        Name of shipped weights, or a weight file.
    place : str
        What the network runs on, as the user should read it.
    pixels_at_once : int
        Coarse pixels in one call of the network.
    calls : int
        How many calls a batch should have: more than one where the device computes without the CPU.
    """

    precision: str
    """What its layers compute in: fp32, bf16 or int8."""

    is_on_cpu = True
    """Whether it computes on the processors that make and write the slices."""

    def __init__(self, model: str | Path, place: str, pixels_at_once: int, calls: int = 1) -> None:
        network, self.card = load_model(model)
        self.network = without_padding(network)
        self.place = place
        self.factor = self.card.factor
        self.radius = receptive_radius(self.network)
        self.pixels_at_once = pixels_at_once
        self._calls = calls

    @property
    def batch_pixels(self) -> int:
        """Coarse pixels that a batch should have."""
        return self._calls * self.pixels_at_once

    def adapted(self, slices: Sequence[Tensor], threads: int = 1) -> Self:
        """The engine for the volume that some of the coarse slices, (H, W), come from.

        They are looked at one after the other, for they may be large. ``threads`` is how many will call it
        at the same time.
        """
        engine = copy.copy(self)
        engine.network = adapted(self.network, slices)
        if self.precision == "bf16":
            engine.network = narrowed(engine.network)
        return engine

    @abc.abstractmethod
    def start(self, padded: Tensor) -> Callable[[], Tensor] | None:
        """Begin with one piece.

        Parameters
        ----------
        padded : Tensor, shape (b, 1, h + 2 radius, w + 2 radius)
            Float32, on the CPU.

        Returns
        -------
        callable, optional
            Waits for the fine piece: shape (b, 1, h r_row, w r_col), float32, on the CPU, memory of its own.
            None if there is too little memory for so large a piece.
        """

    @abc.abstractmethod
    def free(self) -> None:
        """Give back memory that is kept for later."""

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
        before: _Begun | None = None
        for begun in self._begun(batch, (slice(0, len(batch)), *(slice(0, n) for n in batch.shape[2:])), say):
            if before is not None:  # while this one is computed, if the device does not need the CPU for it
                yield before.piece()
            before = begun
        if before is not None:
            yield before.piece()

    def _begun(self, batch: Tensor, where: Sequence[slice], say: Say) -> Iterator[_Begun]:
        """Halve the batch, then the slice, until a piece is small enough; each piece has its own padding."""
        sizes = [side.stop - side.start for side in where]
        pixels = sizes[0] * sizes[1] * sizes[2]
        if pixels <= self.pixels_at_once:
            numbers, rows, columns = where
            wait = self.start(pad(batch[numbers], self.radius, rows, columns))
            if wait is not None:
                down, across = (
                    slice(side.start * r, side.stop * r)
                    for side, r in zip((rows, columns), self.factor, strict=True)
                )
                yield _Begun(numbers, down, across, wait)
                return
            self._ask_for_less(pixels, say)
        axis = 0 if sizes[0] > 1 else (1 if sizes[1] >= sizes[2] else 2)
        start, stop = where[axis].start, where[axis].stop
        middle = start + sizes[axis] // 2
        for half in (slice(start, middle), slice(middle, stop)):
            yield from self._begun(batch, [*where[:axis], half, *where[axis + 1 :]], say)

    def _ask_for_less(self, pixels: int, say: Say) -> None:
        self.free()
        self.pixels_at_once = pixels // 2
        if self.pixels_at_once < _LEAST_PIXELS:
            raise DeviceMemoryError(
                f"the memory of device {self.place} is too small or in use: use --device cpu"
            )
        say(f"{self.place} is out of memory: going on with {self.pixels_at_once:,} pixels at once")

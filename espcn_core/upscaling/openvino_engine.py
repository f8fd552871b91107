"""Run a network with OpenVINO, on a CPU."""

# ruff: noqa: E402
from __future__ import annotations

import copy
import itertools
import queue
import random
import sys

# OpenVINO reports each import to its maker over the network unless this package of its own is missing.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import openvino
import torch
from openvino import opset13 as ops
from torch import Tensor, nn
from torch.nn import functional

from espcn_core.errors import RequestError
from espcn_core.models.eight_bits import divide, evening, holds_eight_bits
from espcn_core.models.espcn import Espcn
from espcn_core.models.espcn_r import EspcnR
from espcn_core.models.shuffle import sub_pixel_shuffle
from espcn_core.upscaling.engine import Engine
from espcn_core.upscaling.ordinary import Ordinary
from espcn_core.upscaling.precision import openvino_precision
from espcn_core.upscaling.slices import evenly, pad

Image = npt.NDArray[np.float32]

_PIXELS_AT_ONCE = 2**16
"""Coarse pixels in one call: few enough for the cache of a CPU."""

_CALIBRATED_ON = 8
"""Slices of a volume that show how large the values within the network get; a quarter of less than twice as
many, for to look at one takes longer than to compute it in 8 bits."""

_LEAST = 0.02
"""Of what the widest channel of a layer reaches: one that was hardly seen may reach so much elsewhere."""

_TILE = 128
"""Side of the parts that these are looked at in, for torch needs more memory for a layer than OpenVINO."""

_TILES = 32
"""That are looked at, at most: those of eight slices of 256 x 256."""

Tile = tuple[int, int, int]
"""Number of a slice, first row and first column."""


class OpenVINOEngine(Engine):
    """A trained network that OpenVINO compiles for this CPU, in some 30 ms for each volume.

    Its layers are built one by one, for their weights depend on the volume. The sub-pixels of a residual
    network are added to its interpolation by torch, in float32.

    Parameters
    ----------
    model : str or Path
        Name of shipped weights, or a weight file.
    precision : {"auto", "fp32", "bf16", "int8"}
        What its layers compute in (`openvino_precision`). With ``int8`` the values between them
        are rounded to 8 bits of the range that they have in some slices of the volume, and weights to 8 bits
        of that of their channel. The first layer computes as with ``bf16``, and torch, in float32, what
        depends on pixels that are out of the ordinary (`Ordinary`).

    Raises
    ------
    RequestError
        If the network adds to no interpolation and is to compute with ``int8``: a rounding is then one of the
        image itself.
    """

    def __init__(self, model: str | Path, precision: str = "fp32") -> None:
        super().__init__(model, "cpu", _PIXELS_AT_ONCE)
        self.precision = openvino_precision(precision, self.network)
        if self.precision == "int8" and not isinstance(self.network, EspcnR):
            raise RequestError(f"{self.card.name} loses too much in int8: use --precision bf16 or fp32")
        self.place = f"cpu by OpenVINO in {self.precision}"
        self._in_two = isinstance(self.network, EspcnR) and self.precision != "fp32"
        self._cores = torch.get_num_threads()  # a thread of several may adapt it, which has fewer
        self._requests: queue.SimpleQueue[Any] | None = None
        self._ordinary: Ordinary | None = None

    def adapted(self, slices: Sequence[Tensor], threads: int = 1) -> Self:
        """The engine for the volume that some of the coarse slices, (H, W), come from, compiled."""
        engine = super().adapted(slices, threads)
        engine._compile(slices, threads)
        return engine

    @torch.inference_mode()
    def start(self, padded: Tensor) -> Callable[[], Tensor] | None:
        """See `Engine.start`; here it is done at once."""
        if self._requests is None:
            raise RuntimeError("an engine computes after it was adapted to a volume")
        batch = _halves(padded) if self._in_two else padded
        request = self._requests.get()
        try:
            request.infer({0: batch.contiguous().numpy()}, share_inputs=True, share_outputs=True)
            made = torch.from_numpy(request.get_output_tensor().data)
            if isinstance(self.network, EspcnR):
                self._mend(made, padded)
                image = self.network.added(padded, made)
            else:
                image = sub_pixel_shuffle(made, self.factor)
        finally:
            self._requests.put(request)  # its output is not needed any more
        return lambda: image

    def free(self) -> None:
        """Nothing is kept."""

    def _mend(self, made: Tensor, padded: Tensor) -> None:
        """Put into what 8 bits made of an image, in place, what torch makes of all out of the ordinary."""
        for number, rows, columns, odd in self._ordinary.odd(padded, self.radius) if self._ordinary else ():
            image = padded[number : number + 1]
            image = image[:, :, rows.start : rows.stop + 2 * self.radius]
            image = image[..., columns.start : columns.stop + 2 * self.radius]
            for convolution, activation in _layers(self.network):
                image = activation(convolution(image))
            there = made[number, :, rows, columns]
            there.copy_(torch.where(odd, image[0], there))

    def _compile(self, slices: Sequence[Tensor], threads: int) -> None:
        network, ranges = self.network, None
        if self.precision == "int8":
            assert isinstance(network, EspcnR)
            tiles = _some_tiles(len(slices), slices[0].shape)
            self._ordinary = Ordinary.of(self._padded(slices, tiles), self.radius)
            network, ranges = _fitted(network, self._padded(slices, tiles), self._ordinary)
        model = _graph(network, ranges, self._in_two)
        hints = {
            "INFERENCE_PRECISION_HINT": "f32" if self.precision == "fp32" else "bf16",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._cores,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,  # or processes side by side share one core
        }
        compiled = openvino.Core().compile_model(model, "CPU", hints)
        self._requests = queue.SimpleQueue()
        for _ in range(threads):
            self._requests.put(compiled.create_infer_request())

    def _padded(self, slices: Sequence[Tensor], tiles: Iterable[Tile]) -> Iterator[Tensor]:
        """Tiles with what a network sees around them, each slice made once."""
        for number, some in itertools.groupby(tiles, key=lambda tile: tile[0]):
            image = slices[number][None, None].float()
            for _, row, column in some:
                yield pad(image, self.radius, slice(row, row + _TILE), slice(column, column + _TILE))


def _some_tiles(count: int, shape: Sequence[int]) -> list[Tile]:
    """Of some of so many slices all, or as many tiles as are looked at, drawn as always; in order."""
    few = evenly(range(count), _CALIBRATED_ON if count >= 2 * _CALIBRATED_ON else -(-count // 4))
    rows, columns = (range(0, size, _TILE) for size in shape)
    tiles = list(itertools.product(few, rows, columns))
    return sorted(random.Random(0).sample(tiles, min(_TILES, len(tiles))))


def _halves(image: Tensor) -> Tensor:
    """An image as what bfloat16 holds of it, and the rest, (B, 2, H, W)."""
    held = image.to(torch.bfloat16).to(image.dtype)
    return torch.cat([held, image - held], dim=1)


@torch.inference_mode()
def _fitted(
    network: EspcnR, parts: Iterable[Tensor], ordinary: Ordinary
) -> tuple[EspcnR, list[tuple[float, float]]]:
    """A network with channels of like ranges, and the range of what each layer but the first is given.

    What serves only pixels that depend on what is out of the ordinary does not count. A network whose weights
    8 bits hold stays as it is: its channels are even already.

    Parameters
    ----------
    network : EspcnR
    parts : iterable of Tensor, shape (1, 1, H, W)
        Of padded slices, that show what channels reach.
    ordinary : Ordinary
        Of the slices.
    """
    layers = _layers(network)
    lows, highs = (torch.zeros(len(layers) - 1, layers[0][0].out_channels) for _ in range(2))
    for features in parts:
        odd = ordinary.exceeded(features)
        left_out = None if odd is None else odd.float()
        for number, (convolution, activation) in enumerate(layers[:-1]):
            features = activation(convolution(features))
            if left_out is not None:
                if number:
                    left_out = functional.max_pool2d(left_out, 3, 1)
                features = features.masked_fill_(left_out > 0, 0)
            lows[number] = torch.minimum(lows[number], features.amin((0, 2, 3)))
            highs[number] = torch.maximum(highs[number], features.amax((0, 2, 3)))
    if not holds_eight_bits(network):
        network = copy.deepcopy(network)
        convolutions = [convolution for convolution, _ in _layers(network)]
        pairs = itertools.pairwise(convolutions)
        for (before, following), low, high in zip(pairs, lows, highs, strict=True):
            factor = evening(high - low, following.weight, _LEAST)
            divide(before, following, factor)
            low /= factor
            high /= factor
    return network, [(float(low.min()), float(high.max())) for low, high in zip(lows, highs, strict=True)]


def _layers(network: Any) -> list[tuple[nn.Conv2d, nn.Module]]:
    """Convolutions, each with the activation behind it."""
    body = list(network.body)
    end = nn.Sigmoid() if isinstance(network, Espcn) else nn.Identity()
    return [*zip(body[::2], body[1::2], strict=True), (network.sub_pixels, end)]


def _graph(network: nn.Module, ranges: list[tuple[float, float]] | None, in_two: bool) -> Any:
    """The layers up to the sub-pixels, which are still channels."""
    image = ops.parameter([-1, 2 if in_two else 1, -1, -1], np.float32)
    features = image
    for number, (convolution, activation) in enumerate(_layers(network)):
        weight = convolution.weight.detach().numpy().copy()
        if number == 0 and in_two:
            weight = weight.repeat(2, axis=1)
        kernel = ops.constant(weight)
        if number and ranges is not None:
            features = _rounded(features, *ranges[number - 1], 256)
            most = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) + np.float32(1e-12)
            kernel = _rounded(kernel, -most, most, 255)
        features = ops.convolution(features, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
        assert convolution.bias is not None
        bias = convolution.bias.detach().numpy().reshape(1, -1, 1, 1).copy()
        features = _activated(ops.add(features, ops.constant(bias)), activation)
    return openvino.Model([features], [image], "espcn")


def _rounded(values: Any, low: float | Image, high: float | Image, levels: int) -> Any:
    ends = [ops.constant(np.asarray(end, np.float32)) for end in (low, high, low, high)]
    return ops.fake_quantize(values, *ends, levels)


def _activated(values: Any, activation: nn.Module) -> Any:
    if isinstance(activation, nn.PReLU):
        return ops.prelu(values, ops.constant(activation.weight.detach().numpy().copy()))
    return {nn.ReLU: ops.relu, nn.Tanh: ops.tanh, nn.Sigmoid: ops.sigmoid, nn.Identity: lambda x: x}[
        type(activation)
    ](values)

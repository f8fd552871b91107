"""Networks whose inner layers compute with 8 bits, calibrated after their training."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from espcn_core.errors import RequestError
from espcn_core.evaluation.metrics import psnr
from espcn_core.export.graph import Runner, quiet
from espcn_core.export.slices import Image, Pair
from espcn_core.models.shuffle import crop
from espcn_core.upscaling.slices import pad

MOST_LOST = 0.1
"""dB that 8 bits may cost; what loses more is not written."""


def quantised(
    content: bytes,
    pairs: Sequence[Pair],
    radius: int,
    *,
    method: str = "Percentile",
    in_float: Sequence[int] = (0, 1, -1),
) -> bytes:
    """A network with 8 bits in its layers: the content of another ONNX file.

    Weights have a scale for each channel, what goes between the layers one for each layer, by calibration.

    Parameters
    ----------
    content : bytes
        As `espcn_core.export.graph.to_onnx` gives it.
    pairs : sequence of Pair
        Their coarse slices show how large the values within the network get.
    radius : int
        Of the receptive field.
    method : {"MinMax", "Entropy", "Percentile"}
        How the range of values is found.
    in_float : sequence of int
        Layers that stay in float32, counted from 0, or backwards from -1; so does all that is no layer.

    Raises
    ------
    RequestError
        If no layer is left for 8 bits.
    """
    model = onnx.load_from_string(content)
    layers = [node.name for node in model.graph.node if node.op_type == "Conv"]
    if len(layers) <= len(in_float):
        raise RequestError(f"of {len(layers)} layers none would compute with 8 bits: leave out --int8")
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            path,
            _Tiles(pairs, radius),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[layers[number] for number in in_float],
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
            calibration_providers=["CPUExecutionProvider"],
        )
        return path.read_bytes()


def mean_psnr(content: bytes, pairs: Sequence[Pair], radius: int, factor: tuple[int, int]) -> float:
    """Of an ONNX file on some slices, padded as in a run, in dB; the peak is the range of the true slice."""
    run = Runner(content)
    found = []
    for pair in pairs:
        made = crop(torch.from_numpy(run(_padded(pair, radius))), radius, factor)
        fine = torch.from_numpy(np.ascontiguousarray(pair.fine))
        found.append(psnr(made[0, 0], fine, float(np.ptp(pair.fine))))
    return statistics.fmean(found)


class _Tiles(CalibrationDataReader):  # type: ignore[misc]
    """Coarse slices, one after the other, in parts as large as the smallest: onnxruntime takes one size."""

    def __init__(self, pairs: Sequence[Pair], radius: int) -> None:
        images = [_padded(pair, radius) for pair in pairs]
        height, width = (min(image.shape[axis] for image in images) for axis in (2, 3))
        self._tiles = iter(
            [
                image[:, :, top : top + height, left : left + width]
                for image in images
                for top in _starts(image.shape[2], height)
                for left in _starts(image.shape[3], width)
            ]
        )

    def get_next(self) -> dict[str, Image] | None:
        tile = next(self._tiles, None)
        return None if tile is None else {"coarse": np.ascontiguousarray(tile)}


def _starts(count: int, size: int) -> list[int]:
    """Where parts of a size begin that cover all of so many pixels; the last may overlap the one before."""
    return [*range(0, count - size, size), count - size]


def _padded(pair: Pair, radius: int) -> Image:
    """A coarse slice as a run gives it to a network, (1, 1, H + 2 radius, W + 2 radius)."""
    padded: Image = pad(torch.from_numpy(np.ascontiguousarray(pair.coarse))[None, None], radius).numpy()
    return padded

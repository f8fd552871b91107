"""A trained network as an ONNX graph that is equal to it, with what must be known of it in its metadata."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional

from espcn_core import __version__
from espcn_core.errors import EspcnError
from espcn_core.models.cards import Card, shipped_cards
from espcn_core.models.espcn import Espcn
from espcn_core.models.espcn_r import EspcnR
from espcn_core.models.registry import receptive_radius
from espcn_core.models.shuffle import sub_pixel_shuffle

OPSET = 18
"""Of the operators; their cubic ``Resize`` is that of torch, at the borders too."""

TOLERANCE = 1e-4
"""Largest difference between an exported network and torch, of values from 0 to 1."""

_SIZES = ((1, 16, 16), (2, 13, 29), (3, 64, 90))
"""Slices, rows and columns that an exported network is compared with torch on."""

Image = npt.NDArray[np.float32]


def to_onnx(network: nn.Module, card: Card, fitted_to: str) -> bytes:
    """The content of an ONNX file.

    Its input ``coarse`` has the shape (batch, 1, height, width), its output ``fine`` (batch, 1, height r_row,
    width r_col), both float32, each of any size.

    Parameters
    ----------
    network : Module
        In evaluation mode, and not adaptive (`espcn_core.models.registry.adapted`).
    card : Card
    fitted_to : str
        What the network was adapted to, in words.
    """
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    with quiet():
        program = torch.onnx.export(
            _Constant(network).eval(),
            (torch.zeros(2, 1, 13, 17),),
            input_names=["coarse"],
            output_names=["fine"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(sizes,),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _name_sizes(model, card.factor)
    _forget_origin(model)
    onnx.helper.set_model_props(model, _essentials(network, card, fitted_to))
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def largest_difference(content: bytes, network: nn.Module) -> float:
    """Of a network as onnxruntime and as torch compute it, on slices of several sizes.

    Raises
    ------
    EspcnError
        If it is more than `TOLERANCE`.
    """
    generator = torch.Generator().manual_seed(0)
    run, found = Runner(content), list[float]()
    for count, rows, columns in _SIZES:
        coarse = torch.rand(count, 1, rows, columns, generator=generator)
        with torch.inference_mode():
            fine = network(coarse).numpy()
        made = run(coarse.numpy())
        found.append(float(np.abs(made - fine).max()) if made.shape == fine.shape else np.inf)
    worst = float(np.max(found))  # NaN if one is
    if not worst <= TOLERANCE:
        raise EspcnError(
            f"the exported network differs from torch by {worst:.2g}, and {TOLERANCE:g} is allowed: "
            "nothing was written, please report it with the versions of torch, onnxscript and onnxruntime"
        )
    return worst


class Runner:
    """An ONNX file that onnxruntime runs on the CPU."""

    def __init__(self, content: bytes) -> None:
        self._session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def __call__(self, coarse: Image) -> Image:
        """(B, 1, H, W) to (B, 1, H r_row, W r_col)."""
        fine: Image = self._session.run(None, {"coarse": coarse})[0]
        return fine


class _Constant(nn.Module):
    """A network whose factor is a constant of the graph, where its own code computes sizes.

    So the graph holds a few operators that every reader knows: one ``Resize`` and one ``DepthToSpace``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, coarse: Tensor) -> Tensor:
        """(B, 1, H, W) to (B, 1, H r_row, W r_col)."""
        rows, columns = self.network.factor
        fine = self.network.sub_pixels(self.network.body(coarse))
        if rows == columns:
            fine = functional.pixel_shuffle(fine, rows)
        else:
            fine = sub_pixel_shuffle(fine, (rows, columns))
        if isinstance(self.network, EspcnR):
            times = (float(rows), float(columns))
            return fine + functional.interpolate(
                coarse, scale_factor=times, mode="bicubic", align_corners=False
            )
        return fine.sigmoid() if isinstance(self.network, Espcn) else fine


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what torch's exporter and onnxruntime say on their way: it is not for users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _name_sizes(model: Any, factor: tuple[int, int]) -> None:
    names = [name if r == 1 else f"{r}*{name}" for name, r in zip(("height", "width"), factor, strict=True)]
    shape = model.graph.output[0].type.tensor_type.shape
    for dimension, name in zip((shape.dim[0], *shape.dim[2:]), ("batch", *names), strict=True):
        dimension.dim_param = name
    shape.dim[1].dim_value = 1


def _forget_origin(model: Any) -> None:
    """Remove what the exporter says of the code that it went through: paths of the machine are among it."""
    del model.graph.value_info[:]
    graph = model.graph
    for part in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def _essentials(network: nn.Module, card: Card, fitted_to: str) -> dict[str, str]:
    """What a reader must know who has the file alone."""
    ours = any(card.sha256 == shipped.sha256 for shipped in shipped_cards().values())
    return {
        "name": card.name,
        "architecture": card.architecture,
        "factor": "x".join(map(str, card.factor)),
        "radius": str(receptive_radius(network)),
        "fitted_to": fitted_to,
        "degradation": card.degradation,
        "sha256": card.sha256,
        "licence": "Apache-2.0" if ours else "not stated",
        "data": str(card.training.get("data", "not stated")),
        "data_licence": str(card.training.get("licence", "not stated")),
        "not_for": card.not_for,
        "opset": str(OPSET),
        "version": f"espcn-core {__version__}",
    }

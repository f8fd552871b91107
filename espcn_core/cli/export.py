"""``espcn-core export``: a trained network as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from espcn_core.errors import EspcnError, RequestError

if TYPE_CHECKING:
    from torch import nn

    from espcn_core.models.cards import Card

_ENDING = ".onnx"

_AT_MEAN = "for the mean of its training"

_ADVICE = "--for VOLUME fits it to one"


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name that models lists, or a .safetensors file.")
    ],
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="The network: FILE.onnx.")],
    volume: Annotated[
        Path | None,
        typer.Option(
            "--for",
            metavar="VOLUME",
            help="Adapt the network to this NIfTI file, as upscale does.",
            show_default="to the mean of its training",
        ),
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Compute with 8 bits, calibrated on slices of the figshare data set in any form, a NIfTI "
            "file or a folder of them.",
        ),
    ] = None,
) -> None:
    """Write a trained network as an ONNX file, for those who run it without this package.

    Its input is called coarse, (batch, 1, height, width), and its output fine.

    It is written if onnxruntime gives what torch does, to 1e-4, and with --int8 if that loses less than
    0.1 dB.
    """
    try:
        import onnxscript  # noqa: F401  torch's exporter is built on it

        from espcn_core.export.graph import OPSET, largest_difference, to_onnx
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise RequestError(f"exporting needs {package}: pip install 'espcn-core[export]'") from None
    from espcn_core.files import complete_file
    from espcn_core.models.eight_bits import meeting_alike
    from espcn_core.models.trained import load_model

    _check_output(onnx)
    network, card = load_model(model)
    network, fitted_to = _fitted(network, card, model, volume)
    network = network if int8 is None else meeting_alike(network)
    content = to_onnx(network, card, fitted_to)
    said = f"largest difference from torch {largest_difference(content, network):.1g}"
    if int8 is not None:
        content, said = _in_8_bits(content, network, card, int8)
    onnx.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(onnx) as file:
        file.write(content)
    advice = f" ({_ADVICE})" if fitted_to == _AT_MEAN else ""
    print(f"{onnx}: {card.name} {fitted_to}{advice}, opset {OPSET}, {said}")


def _check_output(path: Path) -> None:
    if path.suffix != _ENDING:
        raise RequestError(
            f"--onnx {path} is no name of an ONNX file: end it in {_ENDING}, as in "
            f"{path.with_suffix(_ENDING) if path.name else 'network' + _ENDING}"
        )
    if path.exists():
        raise RequestError(f"{path} exists: remove it, or name another --onnx")


def _fitted(network: nn.Module, card: Card, model: str, path: Path | None) -> tuple[nn.Module, str]:
    """The plain network to export, and what it is fitted to."""
    from espcn_core.models.espcn_r import EspcnR
    from espcn_core.models.registry import adapted

    if not (isinstance(network, EspcnR) and network.adaptation is not None):
        if path is not None:
            raise RequestError(f"{card.name} is the same for every volume: leave out --for {path}")
        return adapted(network, []), "for any volume"
    if path is None:
        return network.adapted(network.adaptation.centre), _AT_MEAN
    from espcn_core import volumes
    from espcn_core.export.slices import slices_of

    volume = volumes.read(path)
    try:
        slices = list(slices_of(volume.array, volume.grid, model, card.factor))
    except EspcnError as error:
        raise type(error)(f"{path}: {error}") from None
    return adapted(network, slices), "for one volume"


def _in_8_bits(content: bytes, network: nn.Module, card: Card, data: Path) -> tuple[bytes, str]:
    """The network in 8 bits, and what that loses."""
    from espcn_core.export.int8 import MOST_LOST, mean_psnr, quantised
    from espcn_core.export.slices import calibration_pairs
    from espcn_core.models.registry import receptive_radius

    radius = receptive_radius(network)
    known, others = calibration_pairs(data, card)
    made = quantised(content, known, radius)
    before, after = (mean_psnr(one, others, radius, card.factor) for one in (content, made))
    lost = before - after
    on = f"on {len(others)} slices, calibrated on {len(known)} others"
    if not lost < MOST_LOST:
        raise EspcnError(
            f"{card.name} in int8 loses {lost:.2f} dB {on}, and only less than {MOST_LOST:g} is written: "
            "leave out --int8"
        )
    return made, f"int8 loses {lost:.3f} dB {on}"

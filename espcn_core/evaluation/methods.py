"""The methods that are compared: interpolations and trained networks, all on the same fine grid.

Each keeps the field of view: fine pixel j lies at the coarse index (j + 0.5) / r - 0.5
(`espcn_core.grid.finer_affine`). So none is penalised for a shift; `espcn_core.evaluation.shift` proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from espcn_core.errors import RequestError, did_you_mean
from espcn_core.evaluation.records import Image
from espcn_core.grid import Grid
from espcn_core.models.cards import SHIPPED, Card
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.upscaler import run

Method = Callable[[Image, int], Image]
"""From coarse slices of shape (H, W, K) and a factor r to fine ones, (H r, W r, K), in the same units."""


@dataclass(frozen=True)
class Network:
    """A trained network, used as the command line uses it: one intensity map for all slices, float32.

    Attributes
    ----------
    model : str
        Name of shipped weights, or path of a weight file.
    engines : Engines
    """

    model: str
    engines: Engines

    def __call__(self, coarse: Image, factor: int) -> Image:
        i, j, k = coarse.shape
        request = Request(scale=factor, plane="axial")
        plan = make_plan(Grid((i, j, k), np.eye(4)), request, lambda factors: self.model)
        return run(plan, coarse, engines=self.engines).array

    @property
    def card(self) -> Card:
        """Of the weights."""
        return self.engines.load(self.model).card


def find_methods(names: Sequence[str], engines: Engines) -> dict[str, Method]:
    """The methods by the names that a report gives them: a network is called what its card says.

    Parameters
    ----------
    names : sequence of str
        Keys of `BASELINES`, names of shipped weights, paths of weight files.

    Raises
    ------
    RequestError
        If nothing has such a name, or two have the same.
    WeightsError
        If a weight file or its card cannot be used.
    """
    methods: dict[str, Method] = {}
    for name in names:
        method: Method = BASELINES[name] if name in BASELINES else _network(name, engines)
        label = method.card.name if isinstance(method, Network) else name
        if label in methods:
            raise RequestError(f"{label} is asked for twice in --models: name each method once")
        methods[label] = method
    return methods


def _network(name: str, engines: Engines) -> Network:
    shipped = [path.stem for path in SHIPPED.glob("*.safetensors")]
    if name not in shipped and not name.endswith(".safetensors"):
        raise RequestError(f"no method is called {name!r}{did_you_mean(name, [*BASELINES, *shipped])}")
    network = Network(name, engines)
    _ = network.card  # a weight file that cannot be used says so before anything is measured
    return network


def _nearest(coarse: Image, factor: int) -> Image:
    return coarse.repeat(factor, axis=0).repeat(factor, axis=1)


def _by_torch(mode: str) -> Method:
    """``linear`` or ``cubic`` (a = -0.75) interpolation; beyond the edge the last pixel is repeated."""

    def upscale(coarse: Image, factor: int) -> Image:
        slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(coarse, 2, 0)))[:, None]
        fine = functional.interpolate(slices, scale_factor=factor, mode=mode, align_corners=False)
        return np.moveaxis(fine[:, 0].numpy(), 0, 2)

    return upscale


def _by_itk(interpolator: str) -> Method:
    """An interpolation of SimpleITK that is linear and separable: its own weights along each axis."""

    def upscale(coarse: Image, factor: int) -> Image:
        rows, columns = (
            torch.from_numpy(itk_weights(interpolator, n, factor).astype(coarse.dtype))
            for n in coarse.shape[:2]
        )
        slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(coarse, 2, 0)))
        return np.moveaxis((rows @ slices @ columns.T).numpy(), 0, 2)

    return upscale


@lru_cache(maxsize=16)
def itk_weights(interpolator: str, count: int, factor: int) -> npt.NDArray[np.float64]:
    """What SimpleITK makes of a row that is 1 at one of ``count`` coarse pixels and 0 elsewhere, for each.

    The geometry of both grids is said in full. All fine centres lie within the coarse field of view, so that
    nothing is taken from outside of it. Lanczos takes ITK half a second a slice, and this a millisecond.

    Returns
    -------
    ndarray, shape (count * factor, count)
    """
    import SimpleITK as sitk  # noqa: N813

    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(getattr(sitk, interpolator))
    resample.SetSize((count * factor, count))
    resample.SetOutputSpacing((1 / factor, 1.0))
    resample.SetOutputOrigin((0.5 / factor - 0.5, 0.0))
    image = sitk.GetImageFromArray(np.eye(count))  # spacing 1, origin 0
    weights: npt.NDArray[np.float64] = sitk.GetArrayFromImage(resample.Execute(image)).T
    return weights


def _zerofill(coarse: Image, factor: int) -> Image:
    """The inverse of the degradation ``kspace``: zeros around the spectrum, and the phase ramp back."""
    slices = torch.from_numpy(np.ascontiguousarray(np.moveaxis(coarse, 2, 0)))
    for axis in (-1, -2):
        slices = _zerofill_rows(slices.movedim(axis, -1), factor).movedim(-1, axis)
    return np.moveaxis(slices.numpy(), 0, 2)


def _zerofill_rows(rows: torch.Tensor, r: int) -> torch.Tensor:
    coarse = rows.shape[-1]
    n = coarse * r
    spectrum = torch.fft.rfft(rows) * r
    if coarse % 2 == 0:
        spectrum[..., -1] /= 2  # one of the two Nyquist terms of the fine spectrum; irfft adds the other
    k = torch.arange(spectrum.shape[-1], dtype=rows.dtype)
    fine: torch.Tensor = torch.fft.irfft(spectrum * torch.exp(-1j * torch.pi * k * (r - 1) / n), n)
    return fine


BASELINES: dict[str, Method] = {
    "nearest": _nearest,
    "linear": _by_torch("bilinear"),
    "bicubic": _by_torch("bicubic"),
    "lanczos": _by_itk("sitkLanczosWindowedSinc"),
    "bspline": _by_itk("sitkBSpline"),
    "zerofill": _zerofill,
}

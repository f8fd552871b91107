"""How a coarse image comes from a fine one.

All kinds are edge-aligned: coarse voxel j stands for the fine voxels jr .. jr + r - 1, so its centre lies in
the middle of theirs (`espcn_core.grid.Grid.coarser`). A ramp stays the same ramp in the world, the mean
stays (but for ``point``), and flipping before or after makes no difference. Each kind is separable: one axis
after the other. `thicken` does it along one axis, by the profile of thick slices. `rician` adds the noise of
a magnitude image to what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from espcn_core.errors import RequestError

FWHM_TO_SIGMA = 1 / (2 * math.sqrt(2 * math.log(2)))


def degrade(image: Tensor, factor: Sequence[int], kind: str) -> Tensor:
    """Make the last ``len(factor)`` axes coarser.

    Parameters
    ----------
    image : Tensor, shape (..., n_1, ..., n_d)
        Floating point; each n a whole multiple of its factor.
    factor : sequence of d int
        Fine voxels per coarse voxel along each of the last d axes; 1 leaves an axis alone.
    kind : {"area", "bicubic", "gaussian", "kspace", "point"}
        - ``area``: the mean of the r fine voxels.
        - ``bicubic``: antialiased cubic convolution (a = -0.5, stretched by r), as in MATLAB and Pillow.
        - ``gaussian``: a Gaussian profile whose full width at half maximum is one coarse voxel.
        - ``kspace``: the central n / r of the spectrum; the result keeps its sign (no magnitude is taken).
        - ``point``: the value at the coarse voxel's centre, without any antialiasing. For an even r that lies
          between the two middle voxels and is their mean, as in linear interpolation; for r = 2 this is
          ``area``.

    Returns
    -------
    Tensor, shape (..., n_1 / r_1, ..., n_d / r_d)

    Raises
    ------
    RequestError
        If the kind is unknown, or a size is no multiple of its factor.
    """
    if kind not in KINDS:
        raise RequestError(f"no degradation is called {kind!r}: there are {', '.join(KINDS)}")
    for axis, r in enumerate(factor, start=image.ndim - len(factor)):
        if image.shape[axis] % r:
            raise RequestError(
                f"{image.shape[axis]} voxels are not a whole multiple of {r}: crop the image first"
            )
        if r > 1:
            image = KINDS[kind](image.movedim(axis, -1), r).movedim(-1, axis)
    return image


@dataclass(frozen=True)
class SliceProfile:
    """How a thick slice weights what lies along its axis.

    Attributes
    ----------
    shape : {"gaussian", "box"}
    thickness : float
        Full width at half maximum, as a part of the distance between the slices' centres: at 1 the slices
        touch, above they overlap, below there are gaps.

    Raises
    ------
    RequestError
        If there is no such shape, or the thickness is not a number above 0.
    """

    shape: str = "gaussian"
    thickness: float = 1.0

    def __post_init__(self) -> None:
        if self.shape not in ("gaussian", "box"):
            raise RequestError(f"no slice profile is called {self.shape!r}: there are gaussian and box")
        if not 0 < self.thickness < math.inf:
            raise RequestError(f"a slice is {self.thickness} times the spacing thick: it must be more than 0")

    def weights(self, factor: int) -> Tensor:
        """Of the fine voxels about a thick voxel's centre, in double precision; their sum is 1.

        There are as many on both sides, ``factor + 2 n`` in all, so that thick voxel m has those from
        ``factor m - n`` to ``factor (m + 1) + n - 1``.
        """
        width = self.thickness * factor
        sigma = width * FWHM_TO_SIGMA
        reach = math.ceil(4 * sigma if self.shape == "gaussian" else max(0.0, (width - factor) / 2))
        position = torch.arange(-reach, reach + factor, dtype=torch.float64) - (factor - 1) / 2
        if self.shape == "gaussian":
            weights = torch.exp(-0.5 * (position / sigma) ** 2)
        else:  # how much of each fine voxel lies within the box
            weights = (torch.clamp((width + 1) / 2 - position.abs(), min=0)).clamp(max=min(1.0, width))
        return weights / weights.sum()


def thicken(image: Tensor, axis: int, factor: int, profile: SliceProfile) -> Tensor:
    """Slices of a profile along one axis, ``factor`` fine voxels apart.

    Parameters
    ----------
    image : Tensor
        Floating point, of any shape; beyond the edge its last voxel is repeated.
    axis : int
        Its size is a whole multiple of ``factor``.
    factor : int
    profile : SliceProfile

    Returns
    -------
    Tensor
        Of the same shape but for the axis, which is ``factor`` times as short.

    Raises
    ------
    RequestError
        If the size is no multiple of the factor.
    """
    if image.shape[axis] % factor:
        raise RequestError(
            f"{image.shape[axis]} voxels are not a whole multiple of {factor}: crop the image first"
        )
    return _weighted(image.movedim(axis, -1), factor, profile.weights(factor)).movedim(-1, axis)


def rician(image: Tensor, sigma: float, floor: float, generator: torch.Generator) -> Tensor:
    """Add the noise of a magnitude image: ``|image - floor + n_1 + i n_2| + floor``.

    Parameters
    ----------
    image : Tensor
        Of any shape, on the CPU.
    sigma : float
        Standard deviation of either part of the complex noise, in the image's unit.
    floor : float
        The value of no signal, 0 in a magnitude image; there the noise has the mean ``1.25 sigma``.
    generator : torch.Generator
        Draws the noise; the same state gives the same noise.

    Notes
    -----
    Gudbjartsson and Patz (1995), The Rician distribution of noisy MRI data, doi 10.1002/mrm.1910340618.
    """
    real, imaginary = torch.randn(2, *image.shape, generator=generator, dtype=image.dtype) * sigma
    return torch.hypot(image - floor + real, imaginary) + floor


def _area(image: Tensor, r: int) -> Tensor:
    return image.reshape(*image.shape[:-1], -1, r).mean(-1)


def _bicubic(image: Tensor, r: int) -> Tensor:
    rows = image.reshape(1, 1, -1, image.shape[-1])
    size = (rows.shape[-2], rows.shape[-1] // r)
    rows = functional.interpolate(rows, size, mode="bicubic", antialias=True, align_corners=False)
    return rows.reshape(*image.shape[:-1], size[-1])


def _weighted(image: Tensor, r: int, weights: Tensor) -> Tensor:
    """Sums under ``r + 2 n`` weights about each coarse centre; beyond the edge the last voxel is repeated.

    By a product with a matrix that is mostly 0: for the lines of slices that takes a third of the time of
    a convolution of a single channel.
    """
    size, reach = image.shape[-1], (len(weights) - r) // 2
    coarse = torch.arange(size // r)
    fine = (r * coarse[:, None] + torch.arange(-reach, r + reach)).clamp(0, size - 1)
    matrix = torch.zeros(size // r, size, dtype=weights.dtype)
    matrix.scatter_add_(1, fine, weights.expand(fine.shape))
    return image @ matrix.to(image).T


def _kspace(image: Tensor, r: int) -> Tensor:
    """Keep the central n / r of the spectrum, after the phase ramp that aligns the edges of the two grids.

    Fine sample j lies at j + 1/2, coarse sample m at r (m + 1/2): the shift of (r - 1) / 2 fine voxels is
    ``exp(i pi k (r - 1) / n)`` at signed frequency k. An even coarse size keeps half of both Nyquist terms,
    so that the result is real.
    """
    n = image.shape[-1]
    coarse = n // r
    spectrum = torch.fft.rfft(image)[..., : coarse // 2 + 1]
    k = torch.arange(spectrum.shape[-1], device=image.device, dtype=image.dtype)
    spectrum = spectrum * torch.exp(1j * torch.pi * k * (r - 1) / n)
    aligned: Tensor = torch.fft.irfft(spectrum, coarse)
    return aligned / r


def _point(image: Tensor, r: int) -> Tensor:
    voxels = image.reshape(*image.shape[:-1], -1, r)
    return voxels[..., (r - 1) // 2 : r // 2 + 1].mean(-1)


KINDS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "area": _area,
    "bicubic": _bicubic,
    "gaussian": lambda image, r: _weighted(image, r, SliceProfile().weights(r)),
    "kspace": _kspace,
    "point": _point,
}

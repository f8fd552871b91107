"""What a measurement gives: numbers of one method on one slice, what they were measured on, and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Record:
    """One method on one slice, one degradation, one region.

    Attributes
    ----------
    case : str
        Number of the slice in the data set as text, or name of the file and number of the slice.
    patient : str
        Slices of one patient depend on each other; statistics go by patient.
    degradation : str
        A kind of `espcn_core.degradation`, with noise: ``bicubic+rician2``.
    method : str
        A baseline (``nearest``, ``linear``, ``bicubic``, ``lanczos``, ``bspline``, ``zerofill``) or the name
        of a model.
    region : {"image", "head", "tumor", "ring"}
    pixels : int
        Fine pixels of the region.
    psnr : float
        In dB; the peak is the range of the true slice, in all regions and for all methods.
    ssim : float
        Mean of the whole slice's map over the region; NaN where a region is too narrow for the window.
    mse, rmse : float
        In native units, squared and not.
    hfen, checkerboard, drift, consistency : float
        Of the whole image, NaN elsewhere; see `espcn_core.evaluation.metrics`.
    truth_checkerboard : float
        What `checkerboard` is in the true slice; NaN where that is.
    """

    case: str
    patient: str
    degradation: str
    method: str
    region: str
    pixels: int
    psnr: float
    ssim: float
    mse: float
    rmse: float
    hfen: float = math.nan
    checkerboard: float = math.nan
    drift: float = math.nan
    consistency: float = math.nan
    truth_checkerboard: float = math.nan


@dataclass(frozen=True)
class About:
    """What was measured on what; stands on top of every report.

    Attributes
    ----------
    data : str
        Name of the data set, without a folder of this machine.
    kind : {"figshare", "volumes"}
    fold : int or None
        The held-out fold of the figshare data set.
    slices, patients : int
        How many were measured.
    scale : int
        Fine pixels per coarse pixel along both axes of a slice.
    shrink : int
        Each slice was first made so many times coarser, antialiased; what came out is the truth.
    degradations, methods : tuple of str
        In the order of the call; the first degradation is the one of the tables and the examples.
    peak : str
        What the peak of the PSNR is.
    shifts : dict
        For each method the shift (rows, columns), in fine voxels, that its best PSNR needs.
    cards : dict
        Of each model, the fields of its card.
    command : str
        The call as others can repeat it.
    version : str
        Of espcn-core.
    volumes : dict
        Of each volume, what its slices are: ``axial, 1 x 1 mm``.
    """

    data: str
    kind: str
    fold: int | None
    slices: int
    patients: int
    scale: int
    shrink: int
    degradations: tuple[str, ...]
    methods: tuple[str, ...]
    peak: str
    shifts: Mapping[str, tuple[float, float]]
    cards: Mapping[str, Mapping[str, Any]]
    command: str
    version: str
    volumes: Mapping[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What statistics go by: each volume stands for a patient."""
        return "volume" if self.kind == "volumes" else "patient"

    @property
    def extent(self) -> str:
        """How much was measured, in words."""
        return f"{counted(self.slices, 'slice')} of {counted(self.patients, self.unit)}"


def counted(count: int, noun: str) -> str:
    """A number of things in words, as in ``1 slice`` and ``2 slices``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


@dataclass(frozen=True, eq=False)
class Example:
    """The images of one case on the first degradation, in native units.

    Attributes
    ----------
    case, patient : str
    truth : ndarray, shape (H, W)
    coarse : ndarray, shape (H / r, W / r)
    images : dict
        What each method makes of the coarse slice, shape (H, W).
    regions : dict
        The mask of each region that is not empty, shape (H, W), of bool.
    """

    case: str
    patient: str
    truth: Image
    coarse: Image
    images: Mapping[str, Image]
    regions: Mapping[str, Mask]

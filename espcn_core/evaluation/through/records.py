"""What a through-plane measurement gives: numbers of one method along one axis of a volume, and pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from espcn_core.evaluation.records import Image

REFERENCE = "bspline"
"""The method that gains are measured against."""

UNKNOWN = "unknown"
"""What is stated of a profile where nothing is."""


@dataclass(frozen=True)
class Record:
    """One method on one volume that was made thick along one axis.

    Attributes
    ----------
    volume : str
    axis : int
        Of the array: the one that was made thick.
    slices : {"sagittal", "coronal", "axial"}
        What thick slices along that axis are called.
    factor : int
        Fine voxels from one thick slice to the next.
    profile : str
        The slice profile that made it thick: ``gaussian:1``.
    stated : str
        The profile that a network was told, or ``unknown``; empty for interpolations, which know of none.
    method : str
    psnr : float
        In dB, of the whole volume; the peak is the range of the true volume, for all methods and factors.
    psnr_head : float
        The same over the head alone; NaN where no head could be told from air.
    ssim, hfen, rmse, edge_width, slice_edges, deviation : float
        Of the whole volume, see `espcn_core.evaluation.through.metrics`; ``rmse`` in native units,
        ``edge_width`` in mm, ``slice_edges`` over that of the truth.
    truth_edge_width : float
        What ``edge_width`` is in the true volume.
    trust : float
        Rank correlation of the trust map with the true absolute error, in the head if one was found; NaN
        where it was not asked for.
    """

    volume: str
    axis: int
    slices: str
    factor: int
    profile: str
    stated: str
    method: str
    psnr: float
    psnr_head: float
    ssim: float
    hfen: float
    rmse: float
    edge_width: float
    slice_edges: float
    deviation: float
    truth_edge_width: float
    trust: float = math.nan


@dataclass(frozen=True)
class About:
    """What was measured on what; stands on top of the report.

    Attributes
    ----------
    data : str
        Name of the file or the folder, without where it lies on this machine.
    volumes : dict
        Of each volume, its size and spacing in words.
    left_out : dict
        Of each volume that could not be measured, the reason.
    factors : tuple of int
    profiles : tuple of str
        That made the volumes thick. The first is the one of all tables but that of the profiles.
    stated : str
        The profile that the networks were told, or ``unknown``.
    methods, networks : tuple of str
        In the order of the call; networks are those of the methods that are trained.
    cards : dict
        Of each file of weights, the fields of its card.
    command : str
        The call as others can repeat it.
    version : str
        Of espcn-core.
    adapted : int
        Steps of the networks that were fine-tuned on each thick volume; 0 if there are none.
    """

    data: str
    volumes: Mapping[str, str]
    left_out: Mapping[str, str]
    factors: tuple[int, ...]
    profiles: tuple[str, ...]
    stated: str
    methods: tuple[str, ...]
    networks: tuple[str, ...]
    cards: Mapping[str, Mapping[str, Any]]
    command: str
    version: str
    adapted: int = 0

    @property
    def main(self) -> str:
        """The method that the report is about: the first network, or else the first that is no reference."""
        others = [method for method in self.methods if method != REFERENCE]
        return (*self.networks, *others, REFERENCE)[0]


@dataclass(frozen=True, eq=False)
class Example:
    """One slice of a volume, in a plane that holds the thick axis, as radiologists look at it.

    Attributes
    ----------
    title : str
        Volume, plane, number of the slice, factor.
    truth, thick : ndarray, shape (H, W)
        In native units; the thick slices are drawn as thick as they are.
    images : dict
        What methods make of it, shape (H, W).
    """

    title: str
    truth: Image
    thick: Image
    images: Mapping[str, Image] = field(default_factory=dict)

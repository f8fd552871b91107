"""Every method on every volume, axis and factor, in worker processes, always with the same numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from espcn_core.degradation import SliceProfile
from espcn_core.errors import RequestError
from espcn_core.evaluation.measure import Progress
from espcn_core.evaluation.pool import one_thread, results
from espcn_core.evaluation.records import Image, Mask
from espcn_core.evaluation.through import metrics
from espcn_core.evaluation.through.cases import Truth, find_head, read
from espcn_core.evaluation.through.methods import (
    ADAPTED,
    INTERPOLATIONS,
    NETWORKS,
    Adapt,
    Networks,
    interpolate,
    profile_name,
)
from espcn_core.evaluation.through.records import REFERENCE, Example, Record
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.planes import plane_of

PREFERRED = 4
"""The factor of the pictures, if it is measured; else the largest."""

Task = tuple[str, int, int]
"""Name of the volume, axis and factor."""


@dataclass(frozen=True)
class Measurement:
    """All that decides the numbers.

    Attributes
    ----------
    volumes : dict
        The file of each volume.
    factors : tuple of int
    profiles : tuple of SliceProfile
        The first is the one of all tables but that of the profiles.
    models : dict
        Weights that are taken for their factors instead of those that ship.
    stated : SliceProfile, optional
        What the networks are told, unless it is measured what the right profile would have given; None where
        they are to judge for themselves.
    trust : bool
        Whether trust maps are compared with the error.
    adapt : callable, optional
        Fine-tunes weights for each thick volume, which are then measured as well. Goes to other processes.
    """

    volumes: Mapping[str, Path]
    factors: tuple[int, ...]
    profiles: tuple[SliceProfile, ...]
    models: Mapping[tuple[int, int], str]
    stated: SliceProfile | None
    trust: bool = False
    adapt: Adapt | None = None


def measure(wanted: Measurement, jobs: int = 1, progress: Progress | None = None) -> list[Record]:
    """The numbers of all methods, by volume, axis and factor; they do not depend on ``jobs``.

    Parameters
    ----------
    wanted : Measurement
    jobs : int
        Processes that share the work.
    progress : callable, optional

    Raises
    ------
    EspcnError
        If a volume or weights cannot be used.
    """
    tasks = [(name, axis, r) for name in wanted.volumes for axis in range(3) for r in wanted.factors]
    records: list[Record] = []
    for done, found in enumerate(results(_Worker, wanted, tasks, min(jobs, len(tasks))), start=1):
        records += found
        if progress is not None:
            progress(done, len(tasks))
    return records


def make_example(wanted: Measurement) -> Example:
    """A picture of the first volume, made thick from top to bottom by the first profile.

    It is the coronal slice through the middle of the head.
    """
    name, path = next(iter(wanted.volumes.items()))
    factor = PREFERRED if PREFERRED in wanted.factors else max(wanted.factors)
    whole = read(name, path)
    axis, across = whole.grid.world_axes.index(2), whole.grid.world_axes.index(1)
    truth = whole.cut(axis, factor)
    with one_thread():
        thick, grid = truth.thick(axis, factor, wanted.profiles[0])
        head = find_head(truth.array)
        where = np.ones(truth.array.shape[across], bool) if head is None else _spread(head, across)
        number = int(np.median(np.flatnonzero(where)))
        networks = Networks(wanted.models, Engines("cpu"))
        images = {
            REFERENCE: interpolate(REFERENCE, thick, axis, factor),
            next(iter(NETWORKS)): networks(
                thick, networks.plan(grid, axis, factor), wanted.stated, consistent=True
            ),
        }
    blocks = {"truth": truth.array, "thick": thick.repeat(factor, axis), **images}

    def shown(volume: Image) -> Image:
        """Top up, and the patient's right on the left."""
        image: Image = np.take(volume, number, across)
        rows, columns = (a for a in range(3) if a != across)
        image = image.T if rows != axis else image
        columns = columns if rows == axis else rows
        down, right = (bool(truth.grid.directions[world, a] > 0) for world, a in ((2, axis), (0, columns)))
        upright: Image = image[:: -1 if down else 1, :: -1 if right else 1]
        return upright

    pictures = {key: shown(volume) for key, volume in blocks.items()}
    title = f"{name}, coronal slice {number}, axial slices x{factor}, {profile_name(wanted.profiles[0])}"
    return Example(title, pictures.pop("truth"), pictures.pop("thick"), pictures)


def _spread(mask: Mask, axis: int) -> Mask:
    """Where a mask is anything at all along an axis."""
    return np.asarray(np.moveaxis(mask, axis, 0).reshape(mask.shape[axis], -1).any(axis=1))


class _Worker:
    """The networks, loaded, and the volume at hand."""

    def __init__(self, wanted: Measurement) -> None:
        self.wanted = wanted
        self.networks = Networks(wanted.models, Engines("cpu"))
        self.truth = lru_cache(maxsize=1)(self._truth)  # one volume after the other

    def _truth(self, name: str) -> tuple[Truth, Mask | None]:
        truth = read(name, self.wanted.volumes[name])
        return truth, find_head(truth.array)

    def measure(self, name: str, axis: int, factor: int) -> list[Record]:
        """All methods on one volume along one axis."""
        whole, head = self.truth(name)
        truth = whole.cut(axis, factor)
        if head is not None:
            head = head[tuple(slice(n) for n in truth.grid.shape)]
        against = _Against(truth, axis, factor, head, float(np.ptp(whole.array)))
        records: list[Record] = []
        usual = self.wanted.stated
        for profile in self.wanted.profiles:
            thick, grid = truth.thick(axis, factor, profile)
            for method in INTERPOLATIONS:
                fine = interpolate(method, thick, axis, factor)
                records.append(against.record(method, fine, thick, profile))
            if self.wanted.adapt is not None:
                try:
                    fine = self.networks.adapted(self.wanted.adapt, thick, grid, axis, factor, usual)
                except RequestError as error:
                    where = f"{name} x{factor}, {plane_of(truth.grid, axis)} slices thick"
                    raise RequestError(f"{where}: {error}") from None
                records.append(against.record(ADAPTED, fine, thick, profile, profile_name(usual)))
            plan = self.networks.plan(grid, axis, factor)
            for method, consistent in NETWORKS.items():
                # A free network makes the same of it, whatever profile it is told.
                told = dict.fromkeys((usual, profile)) if consistent else (usual,)
                for stated in told:
                    trust = None
                    if self.wanted.trust and consistent and stated == usual:
                        fine, trust = self.networks.trusted(thick, plan, stated)
                    else:
                        sure = stated != usual  # then it is right
                        fine = self.networks(thick, plan, stated, consistent=consistent, sure=sure)
                    records.append(against.record(method, fine, thick, profile, profile_name(stated), trust))
        return records


class _Against:
    """A true volume and one axis, and what all comparisons with it share."""

    def __init__(self, truth: Truth, axis: int, factor: int, head: Mask | None, peak: float) -> None:
        self.truth, self.axis, self.factor, self.head, self.peak = truth, axis, factor, head, peak
        self.edges = metrics.find_edges(truth.array, axis)
        self.spacing = truth.grid.spacing[axis]
        self.edge_width = self.edges.width(truth.array, self.spacing)
        self.slice_edges = metrics.slice_edges(truth.array, axis, factor)

    def record(
        self,
        method: str,
        fine: Image,
        thick: Image,
        profile: SliceProfile,
        stated: str = "",
        trust: Image | None = None,
    ) -> Record:
        true, axis, factor = self.truth.array, self.axis, self.factor
        mse = metrics.mean_square(fine, true)
        head = float("nan")
        if self.head is not None:
            head = metrics.decibels(metrics.mean_square(fine, true, self.head), self.peak)
        ssim, hfen = metrics.similarity(fine, true, axis, self.peak)
        return Record(
            volume=self.truth.name,
            axis=axis,
            slices=plane_of(self.truth.grid, axis),
            factor=factor,
            profile=profile_name(profile),
            stated=stated,
            method=method,
            psnr=metrics.decibels(mse, self.peak),
            psnr_head=head,
            ssim=ssim,
            hfen=hfen,
            rmse=mse**0.5,
            edge_width=self.edges.width(fine, self.spacing),
            slice_edges=metrics.slice_edges(fine, axis, factor) / self.slice_edges,
            deviation=metrics.deviation(fine, thick, axis, factor, profile),
            truth_edge_width=self.edge_width,
            trust=float("nan") if trust is None else metrics.rank_correlation(trust, fine, true, self.head),
        )

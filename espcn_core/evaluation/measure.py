"""Every method on every case and degradation, in worker processes, always with the same numbers.

A process computes with one thread: sums over more would depend on their number in the last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from espcn_core import __version__
from espcn_core.degradation import degrade
from espcn_core.evaluation import metrics
from espcn_core.evaluation.cases import NOISY, Stack, coarsen
from espcn_core.evaluation.choices import Measurement
from espcn_core.evaluation.methods import Method, Network, find_methods
from espcn_core.evaluation.pool import one_thread, results
from espcn_core.evaluation.records import About, Example, Image, Mask, Record
from espcn_core.evaluation.regions import eroded, find_regions
from espcn_core.evaluation.shift import best_shift
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.slices import evenly

PEAK = "range (largest less smallest value) of the true slice, the same for all methods and regions"

SHIFT_SLICES = 8
"""How many the shift of a method is searched on."""

_KEPT = 2**23
"""Pixels of a stack, up to which what belongs to the truth alone is kept for all methods."""

Progress = Callable[[int, int], None]
"""Gets the number of pieces of work done and of all pieces."""


def measure(wanted: Measurement, jobs: int = 1, progress: Progress | None = None) -> list[Record]:
    """The numbers of all methods, by case, degradation and method; they do not depend on ``jobs``.

    Parameters
    ----------
    wanted : Measurement
    jobs : int
        Processes that share the work.
    progress : callable, optional

    Raises
    ------
    EspcnError
        If a method cannot be found or a case cannot be read.
    """
    tasks = [(number, name) for number in range(len(wanted.cases)) for name in wanted.degradations]
    records: list[Record] = []
    for done, found in enumerate(results(_Worker, wanted, tasks, min(jobs, len(tasks))), start=1):
        records += found
        if progress is not None:
            progress(done, len(tasks))
    return records


def describe(wanted: Measurement, records: Sequence[Record], *, data: str, command: str) -> About:
    """What was measured on what, with the shift that each method needs.

    Parameters
    ----------
    wanted : Measurement
    records : sequence of Record
        What `measure` gave.
    data : str
        What to call the data.
    command : str
        The call as others can repeat it.
    """
    worker = _Worker(wanted)
    first = {(record.case, record.patient) for record in records}
    return About(
        data=data,
        kind=wanted.cases.kind,
        fold=wanted.fold,
        slices=len(first),
        patients=len({patient for _, patient in first}),
        scale=wanted.scale,
        shrink=wanted.cases.shrink,
        degradations=wanted.degradations,
        methods=tuple(worker.methods),
        peak=PEAK,
        shifts=worker.shifts(),
        cards={
            name: asdict(method.card)
            for name, method in worker.methods.items()
            if isinstance(method, Network)
        },
        command=command,
        version=__version__,
        volumes=worker.looks() if wanted.cases.kind == "volumes" else {},
    )


def make_example(wanted: Measurement, case: str) -> Example:
    """The images of one case on the first degradation, the right way up."""
    return _Worker(wanted).example(case)


class _Worker:
    """The methods, loaded, and the case at hand."""

    def __init__(self, wanted: Measurement) -> None:
        self.wanted = wanted
        self.methods: Mapping[str, Method] = find_methods(wanted.methods, Engines("cpu"))
        self.slices = lru_cache(maxsize=1)(self._slices)  # one case after the other, in all degradations

    def _slices(self, number: int) -> tuple[Stack, list[_TrueSlice]]:
        stack = self.wanted.cases.read(number)
        tumors = [None] * len(stack.cases) if stack.tumor is None else list(np.moveaxis(stack.tumor, 2, 0))
        truths = np.moveaxis(stack.truth, 2, 0)
        return stack, [
            _TrueSlice(truth, tumor, self.wanted.scale, stack.truth.size <= _KEPT)
            for truth, tumor in zip(truths, tumors, strict=True)
        ]

    def measure(self, number: int, degradation: str) -> list[Record]:
        """All methods on one case."""
        stack, slices = self.slices(number)
        coarse = coarsen(stack, degradation, self.wanted.scale)
        records = []
        for name, method in self.methods.items():
            fine = method(coarse, self.wanted.scale)
            for k, (case, truth) in enumerate(zip(stack.cases, slices, strict=True)):
                for region, numbers in truth.compare(fine[:, :, k], coarse[:, :, k], degradation).items():
                    records.append(Record(case, stack.patient, degradation, name, region, **numbers))
        return records

    def looks(self) -> dict[str, str]:
        """What the slices of each volume are."""
        stacks = (self.wanted.cases.read(number) for number in range(len(self.wanted.cases)))
        return {stack.patient: stack.look for stack in stacks}

    def shifts(self) -> dict[str, tuple[float, float]]:
        """The shift that each method needs, on some slices of some cases, each also by half a turn.

        The turn cancels what a slice that is not symmetric adds; what the method's grid adds stays.
        """
        cases = self.wanted.cases
        numbers = evenly(range(len(cases)), SHIFT_SLICES)
        pairs: dict[str, list[tuple[Image, Image]]] = {name: [] for name in self.methods}
        with one_thread():
            for number in numbers:
                stack = cases.read(number)
                stack = stack.only(evenly(range(len(stack.cases)), -(-SHIFT_SLICES // len(numbers))))
                for turned in (stack, replace(stack, truth=stack.truth[::-1, ::-1])):
                    coarse = coarsen(turned, self.wanted.degradations[0], self.wanted.scale)
                    for name, method in self.methods.items():
                        fine = method(coarse, self.wanted.scale)
                        pairs[name] += [(fine[:, :, k], turned.truth[:, :, k]) for k in range(fine.shape[2])]
            return {name: best_shift(found) for name, found in pairs.items()}

    def example(self, case: str) -> Example:
        stack, slices = self.slices(self.wanted.cases.find(case))
        k = stack.cases.index(case)
        with one_thread():
            coarse = coarsen(stack, self.wanted.degradations[0], self.wanted.scale)
            images = {name: method(coarse, self.wanted.scale) for name, method in self.methods.items()}
        return Example(
            case=case,
            patient=stack.patient,
            truth=stack.shown(stack.truth[:, :, k]),
            coarse=stack.shown(coarse[:, :, k]),
            images={name: stack.shown(image[:, :, k]) for name, image in images.items()},
            regions={name: stack.shown(mask) for name, mask in slices[k].regions.items()},
        )


class _TrueSlice:
    """A true slice, and what all comparisons with it share."""

    def __init__(self, truth: Image, tumor: Mask | None, scale: int, kept: bool) -> None:
        self.truth = truth
        self.scale = scale
        self.low = float(truth.min())
        self.peak = float(truth.max()) - self.low
        self.regions = find_regions(truth, tumor)
        inside = slice(metrics.WINDOW, -metrics.WINDOW)
        self.inner = {name: eroded(mask)[inside, inside] for name, mask in self.regions.items()}
        self.tensor = torch.from_numpy(np.ascontiguousarray(truth))
        self.checkerboard = metrics.checkerboard(self.tensor, scale)
        self.edges = metrics.edge_norm(self.tensor)
        # Of a large volume there is no room for what the similarities keep, 24 bytes a pixel.
        self.similarity = lru_cache(maxsize=1 if kept else 0)(self._similarity)

    def _similarity(self) -> metrics.Similarity:
        """Counted from the minimum, so that an offset of the units changes nothing."""
        return metrics.Similarity(self.tensor.double() - self.low, self.peak)

    def compare(self, fine: Image, coarse: Image, degradation: str) -> dict[str, dict[str, Any]]:
        """For each region the numbers of a `Record`, by name."""
        test = torch.from_numpy(np.ascontiguousarray(fine))
        square = (test.double() - self.tensor.double()).numpy() ** 2
        similarity = self.similarity().map(test.double() - self.low).numpy()
        found: dict[str, dict[str, Any]] = {}
        for name, mask in self.regions.items():
            mse = float(square[mask].mean())
            inner = similarity[self.inner[name]]
            found[name] = {
                "pixels": int(mask.sum()),
                "psnr": float(10 * np.log10(self.peak**2 / mse)) if mse else float("inf"),
                "ssim": float(inner.mean()) if inner.size else float("nan"),
                "mse": mse,
                "rmse": mse**0.5,
            }
        again = degrade(test, (self.scale, self.scale), degradation.removesuffix(NOISY))
        given = torch.from_numpy(np.ascontiguousarray(coarse))
        found["image"] |= {
            "hfen": metrics.hfen(test, self.tensor, self.edges),
            "checkerboard": metrics.checkerboard(test, self.scale),
            "truth_checkerboard": self.checkerboard,
            "drift": metrics.drift(test, given, self.peak),
            "consistency": metrics.psnr(again, given, self.peak),
        }
        return found

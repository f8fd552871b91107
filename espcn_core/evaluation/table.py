"""All records of a measurement as one array, so that each question to it is a slice of the array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from espcn_core.errors import RequestError
from espcn_core.evaluation.records import About, Record
from espcn_core.evaluation.statistics import Values

REGIONS = ("image", "head", "tumor", "ring")
METRICS = (
    "psnr",
    "ssim",
    "mse",
    "rmse",
    "hfen",
    "checkerboard",
    "truth_checkerboard",
    "drift",
    "consistency",
)
REFERENCE = "bicubic"
"""The method that gains are measured against."""


@dataclass(frozen=True, eq=False)
class Table:
    """Every number of a measurement by slice.

    Attributes
    ----------
    degradations, methods, models : tuple of str
        In the order of the call. Models are the methods that have a card.
    regions : tuple of str
        Those that at least one slice has.
    cases, patients : tuple of str
        Of each slice, sorted by case.
    values : ndarray, shape (degradations, methods, regions, slices, metrics)
        NaN where there is no record.
    """

    degradations: tuple[str, ...]
    methods: tuple[str, ...]
    models: tuple[str, ...]
    regions: tuple[str, ...]
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    values: Values

    def get(self, degradation: str, method: str, region: str, metric: str) -> Values:
        """Values of all slices, shape (slices,)."""
        values: Values = self.values[
            self.degradations.index(degradation),
            self.methods.index(method),
            self.regions.index(region),
            :,
            METRICS.index(metric),
        ]
        return values

    def gain(
        self, degradation: str, method: str, region: str, metric: str = "psnr", over: str = REFERENCE
    ) -> Values:
        """What a method has over another, by slice; NaN where one of the two is exact."""
        first, second = (self.get(degradation, name, region, metric) for name in (method, over))
        with np.errstate(invalid="ignore"):  # both exact
            values = first - second
        return np.where(np.isfinite(values), values, math.nan)

    @property
    def main(self) -> str:
        """The method that the report is about: the first model, or else the first that is not bicubic."""
        others = [method for method in self.methods if method != REFERENCE]
        return (*self.models, *others, REFERENCE)[0]


def make_table(about: About, records: Sequence[Record]) -> Table:
    """Put the records in their places; their order does not matter.

    Raises
    ------
    RequestError
        If bicubic is not among the methods, or there are no records.
    """
    if REFERENCE not in about.methods:
        raise RequestError(f"the report compares with {REFERENCE}: add it to the methods")
    if not records:
        raise RequestError(f"nothing was measured on {about.data}: there is nothing to report")
    owner = {record.case: record.patient for record in records}
    cases = sorted(owner, key=lambda case: (len(case), case))  # slice 58 before slice 143
    present = {record.region for record in records}
    regions = tuple(region for region in REGIONS if region in present)
    places = [
        {name: place for place, name in enumerate(names)}
        for names in (about.degradations, about.methods, regions, cases)
    ]
    values = np.full((*(len(names) for names in places), len(METRICS)), math.nan)
    for record in records:
        place = tuple(
            names[name]
            for names, name in zip(
                places, (record.degradation, record.method, record.region, record.case), strict=True
            )
        )
        values[place] = [getattr(record, metric) for metric in METRICS]
    return Table(
        degradations=about.degradations,
        methods=about.methods,
        models=tuple(method for method in about.methods if method in about.cards),
        regions=regions,
        cases=tuple(cases),
        patients=tuple(owner[case] for case in cases),
        values=values,
    )

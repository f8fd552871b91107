"""Statistics by patient: slices of one patient depend on each other, so they are averaged first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import ndtr, ndtri
from statsmodels.stats.multitest import multipletests

Values = npt.NDArray[np.float64]

RESAMPLES = 2000
"""Of the patients, with replacement, for each interval."""

SEED = 20171512
"""The same for each interval: the same numbers give the same interval."""

HOW = (
    "mean over patients, each the mean of its slices; 95 % interval: BCa bootstrap of the patients, "
    f"{RESAMPLES} resamples, seed {SEED}; Wilcoxon signed-rank, two-sided, zero differences left out, exact "
    "up to 50 patients without ties; effect size: matched-pairs rank-biserial correlation; Mann-Whitney U "
    "over slices, two-sided; p by Holm within each family; infinite PSNR (an exact result) is left out of "
    "the means"
)
"""What a reader must know of the numbers, in one line."""


@dataclass(frozen=True)
class Aggregate:
    """One metric over patients; NaN where it is not defined (no patient, or one for ``sd`` and the interval).

    Attributes
    ----------
    patients : int
        How many have a value.
    mean, sd, median : float
        In the unit of the metric; ``sd`` with n - 1.
    low, high : float
        95 % interval of the mean.
    """

    patients: int
    mean: float
    sd: float
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two series of values of the same slices, first minus second.

    Attributes
    ----------
    slices : int
        Those where both have a finite value.
    difference : Aggregate
        Over patients.
    wilcoxon : float
        p of the signed-rank test on one difference per patient: 1 if all are zero, NaN without patients.
    rank_biserial : float
        From -1 (all patients lower) to 1 (all higher); 0 if all differences are zero.
    mann_whitney : float
        p over slices as if they were independent, which they are not: for comparison with other studies.
    """

    slices: int
    difference: Aggregate
    wilcoxon: float
    rank_biserial: float
    mann_whitney: float


def patient_means(values: Values, patients: Sequence[str]) -> Values:
    """Mean over the slices of each patient.

    Parameters
    ----------
    values : ndarray, shape (N,)
        By slice. What is not finite is left out: a region that the slice does not have, an exact result.
    patients : sequence of N str
        Whose slice it is.

    Returns
    -------
    ndarray, shape (P,)
        In the order of the patients' names; NaN for a patient without a finite value.
    """
    names, index = np.unique(np.asarray(patients), return_inverse=True)
    finite = np.isfinite(values)
    count = np.bincount(index[finite], minlength=len(names))
    total = np.bincount(index[finite], weights=values[finite], minlength=len(names))
    means: Values = np.divide(total, count, out=np.full(len(names), math.nan), where=count > 0)
    return means


def aggregate(means: Values) -> Aggregate:
    """Mean, sd, median and interval over patients.

    Parameters
    ----------
    means : ndarray, shape (P,)
        One value per patient (`patient_means`); NaN is left out.
    """
    means = means[np.isfinite(means)]
    if not len(means):
        return Aggregate(0, math.nan, math.nan, math.nan, math.nan, math.nan)
    sd = float(np.std(means, ddof=1)) if len(means) > 1 else math.nan
    low, high = _interval(means)
    return Aggregate(len(means), float(np.mean(means)), sd, float(np.median(means)), low, high)


def compare(first: Values, second: Values, patients: Sequence[str]) -> Comparison:
    """Compare two methods, or two regions, on the same slices.

    Parameters
    ----------
    first, second : ndarray, shape (N,)
        Values of the same slices in the same order. A slice counts where both are finite.
    patients : sequence of N str

    Returns
    -------
    Comparison
    """
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    owners = np.asarray(patients)[both]
    differences = patient_means(first - second, owners.tolist()) if len(owners) else np.empty(0)
    independent = stats.mannwhitneyu(first, second).pvalue if len(first) else math.nan
    return Comparison(
        slices=len(first),
        difference=aggregate(differences),
        wilcoxon=wilcoxon(differences),
        rank_biserial=rank_biserial(differences),
        mann_whitney=float(independent),
    )


def wilcoxon(differences: Values) -> float:
    """Two-sided p of the Wilcoxon signed-rank test; zeros are left out, as Wilcoxon did.

    Parameters
    ----------
    differences : ndarray, shape (P,)
        One per patient.
    """
    if not len(differences):
        return math.nan
    if not differences.any():
        return 1.0  # scipy has no p where nothing is left
    return float(stats.wilcoxon(differences, zero_method="wilcox").pvalue)


def rank_biserial(differences: Values) -> float:
    """Matched-pairs rank-biserial correlation, ``(R+ - R-) / (R+ + R-)`` (Kerby 2014).

    Parameters
    ----------
    differences : ndarray, shape (P,)
        One per patient; zeros are left out, as in `wilcoxon`.
    """
    if not len(differences):
        return math.nan
    kept = differences[differences != 0]
    if not len(kept):
        return 0.0
    ranks = stats.rankdata(np.abs(kept))
    return float(np.sum(ranks * np.sign(kept)) / np.sum(ranks))


def holm(p: Sequence[float]) -> list[float]:
    """p adjusted by Holm for one family of tests; NaN stays NaN and does not count as a test."""
    values = np.asarray(p, dtype=float)
    tested = np.isfinite(values)
    if tested.any():
        values[tested] = multipletests(values[tested], method="holm")[1]
    return [float(value) for value in values]


def _interval(means: Values) -> tuple[float, float]:
    """95 % interval of the mean: bias-corrected and accelerated bootstrap (Efron 1987).

    `scipy.stats.bootstrap` gives the same numbers. A report has thousands of intervals over the same number
    of patients; to draw the patients once for all of them takes a twentieth of the time.
    """
    if len(means) < 2:
        return math.nan, math.nan
    if np.ptp(means) == 0:
        return float(means[0]), float(means[0])
    mean = means.mean()
    resampled = _times_drawn(len(means)) @ means / len(means)
    bias = ndtri((np.mean(resampled < mean) + np.mean(resampled <= mean)) / 2)
    distance = means - mean
    acceleration = np.sum(distance**3) / (6 * np.sum(distance**2) ** 1.5)
    end = bias + ndtri([0.025, 0.975])
    low, high = np.percentile(resampled, 100 * ndtr(bias + end / (1 - acceleration * end)))
    return float(low), float(high)


@lru_cache(maxsize=4)
def _times_drawn(patients: int) -> Values:
    """How often each patient is in each resample, shape (RESAMPLES, patients)."""
    drawn = np.random.default_rng(SEED).integers(0, patients, (RESAMPLES, patients))
    return np.stack([np.bincount(row, minlength=patients) for row in drawn]).astype(float)

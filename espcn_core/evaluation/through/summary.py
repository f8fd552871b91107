"""The means of a through-plane measurement, what should hold, and the result in one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from espcn_core.evaluation.through.records import REFERENCE, UNKNOWN, About, Record
from espcn_core.upscaling.finish import AGREES

METRICS = (
    "psnr",
    "psnr_head",
    "ssim",
    "hfen",
    "rmse",
    "edge_width",
    "slice_edges",
    "deviation",
    "truth_edge_width",
    "trust",
)

LEAST_GAIN = 1.0
"""In dB over B-spline, at every factor of every volume."""

MOST_LOST = 1.0
"""In dB, to a wrong guess of the slice profile."""

MOST_SLICE_EDGES = 1.1
"""Of the truth's: how much of the steps goes with the slices."""

Summary = dict[str, Any]


def summarise(about: About, records: Sequence[Record]) -> Summary:
    """Everything that the page and the terminal say, as plain values; NaN where there is no number.

    Parameters
    ----------
    about : About
    records : sequence of Record
        In any order.

    Returns
    -------
    dict
        ``means``: by volume, factor (as text) and method, the mean over the three axes of each metric and of
        ``gain`` and ``gain_head`` over B-spline in dB, and ``least_gain``, that of the worst axis.
        ``axes``: the same by axis as well. Both with the first profile and the stated one.
        ``profiles``: by profile and factor the mean gain over volumes and axes with the profile that was
        ``stated`` (or unknown) and with the ``right`` one, and that of the network that is ``free`` of it;
        the ``cost`` of not knowing the right one, and ``most``: what it costs at most in a volume;
        ``deviation``, the largest one from the thick slices with the right profile.
        ``flags``: what should hold; ``headline``: the result in one sentence.
    """
    first = [record for record in records if record.profile == about.profiles[0]]
    told = [record for record in first if record.stated in ("", about.stated)]
    axes = {
        volume: {str(factor): _by_axis(about, told, volume, factor) for factor in about.factors}
        for volume in about.volumes
    }
    means = {
        volume: {factor: _mean(about, by_axis) for factor, by_axis in by_factor.items()}
        for volume, by_factor in axes.items()
    }
    summary: Summary = {
        "main": about.main,
        "reference": REFERENCE,
        "means": means,
        "axes": axes,
        "profiles": _profiles(about, records),
    }
    summary["flags"] = _flags(about, summary)
    summary["headline"] = _headline(about, summary)
    return summary


def _by_axis(about: About, records: Sequence[Record], volume: str, factor: int) -> dict[str, Any]:
    """By name of the slices and method, each metric and the gains."""
    here = [record for record in records if record.volume == volume and record.factor == factor]
    found: dict[str, dict[str, Any]] = {}
    for axis in range(3):
        along = {record.method: record for record in here if record.axis == axis}
        cells = {}
        for method in about.methods:
            record, reference = along[method], along[REFERENCE]
            cells[method] = {metric: getattr(record, metric) for metric in METRICS} | {
                "gain": _less(record.psnr, reference.psnr),
                "gain_head": _less(record.psnr_head, reference.psnr_head),
            }
        found[along[REFERENCE].slices] = cells
    return found


def _less(first: float, second: float) -> float:
    """A difference; NaN where one of the two is exact."""
    both_finite = math.isfinite(first) and math.isfinite(second)
    return first - second if both_finite else math.nan


def _mean(about: About, by_axis: dict[str, Any]) -> dict[str, Any]:
    means = {}
    for method in about.methods:
        cells = [axis[method] for axis in by_axis.values()]
        means[method] = {metric: _average([cell[metric] for cell in cells]) for metric in cells[0]}
        means[method]["least_gain"] = min(cell["gain"] for cell in cells)
    return means


def _average(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _profiles(about: About, records: Sequence[Record]) -> dict[str, Any]:
    """What the networks gain by true profile, told what is stated and the right one."""
    psnr = {(r.volume, r.axis, r.factor, r.profile, r.stated, r.method): r.psnr for r in records}

    main, free = about.networks[0], about.networks[-1]

    def gain(volume: str, factor: int, profile: str, stated: str, method: str = main) -> float:
        """Mean over the axes."""
        return _average(
            [
                _less(
                    psnr[volume, axis, factor, profile, stated, method],
                    psnr[volume, axis, factor, profile, "", REFERENCE],
                )
                for axis in range(3)
            ]
        )

    found: dict[str, Any] = {}
    for profile in about.profiles:
        found[profile] = {}
        for factor in about.factors:
            told = [gain(volume, factor, profile, about.stated) for volume in about.volumes]
            right = [gain(volume, factor, profile, profile) for volume in about.volumes]
            loose = [gain(volume, factor, profile, about.stated, free) for volume in about.volumes]
            known = [r for r in records if r.factor == factor and r.stated == r.profile == profile]
            costs = [_less(after, before) for before, after in zip(told, right, strict=True)]
            found[profile][str(factor)] = {
                "stated": _average(told),
                "right": _average(right),
                "free": _average(loose),
                "cost": _average(costs),
                "most": max(costs),
                "deviation": max(r.deviation for r in known if r.method == main),
            }
    return found


def _flags(about: About, summary: Summary) -> list[dict[str, Any]]:
    """Each with its check, whether it holds, and a sentence with the numbers."""
    main, means = about.main, summary["means"]
    cells = [
        (f"{volume} x{factor}", cell)
        for volume, by_factor in means.items()
        for factor, cell in by_factor.items()
    ]
    single = [
        (f"{volume} x{factor} {slices}", cell)
        for volume, by_factor in summary["axes"].items()
        for factor, by_axis in by_factor.items()
        for slices, cell in by_axis.items()
    ]
    name, gain = min(((name, cell[main]["gain"]) for name, cell in cells), key=lambda pair: pair[1])
    flags = [
        _flag(
            "gain",
            gain >= LEAST_GAIN,
            f"The least gain of {main} over {REFERENCE}, mean over the axes, is {gain:+.2f} dB ({name}); "
            f"it should be at least {LEAST_GAIN:g} dB",
        )
    ]
    edges = [(name, cell[main]["slice_edges"]) for name, cell in single]
    edges = [(name, value) for name, value in edges if not math.isnan(value)]
    if edges:
        name, value = max(edges, key=lambda pair: pair[1])
        sentence = (
            f"The largest slice-edge measure of {main}, over the truth's, is {value:.3f} ({name}); "
            f"at most {MOST_SLICE_EDGES:.3f}"
        )
        flags.append(_flag("slice_edges", value <= MOST_SLICE_EDGES, sentence))
    profiles = [
        (f"{profile} x{factor}", profile, cell)
        for profile, by_factor in summary["profiles"].items()
        for factor, cell in by_factor.items()
    ]
    name, _, cell = max(profiles, key=lambda known: known[2]["deviation"])
    sentence = (
        f"The largest deviation of {main} from the thick slices, with the right profile stated, "
        f"is {cell['deviation']:.2%} of their range ({name}); at most {AGREES:.2%}"
    )
    flags.append(_flag("deviation", cell["deviation"] <= AGREES, sentence))
    wrong = [known for known in profiles if known[1] != about.stated]
    if wrong:
        name, _, cell = max(wrong, key=lambda known: known[2]["most"])
        sentence = (
            f"{_untold(about)} costs {main} at most {cell['most']:.2f} dB in a volume ({name}), against "
            f"stating the right profile; it should be {MOST_LOST:g} dB or less"
        )
        flags.append(_flag("profile", cell["most"] <= MOST_LOST, sentence))
    return flags


def _untold(about: About) -> str:
    if about.stated == UNKNOWN:
        return "Not to know the profile"
    return f"To state {about.stated} where it is another profile"


def _flag(check: str, holds: bool, sentence: str) -> dict[str, Any]:
    return {"check": check, "holds": bool(holds), "sentence": f"{sentence}."}


def _headline(about: About, summary: Summary) -> str:
    """The result in one sentence."""
    parts = []
    for factor in map(str, about.factors):
        gains = [
            f"{volume} {by_factor[factor][about.main]['gain']:+.1f}"
            for volume, by_factor in summary["means"].items()
        ]
        parts.append(f"x{factor} {', '.join(gains)}")
    return (
        f"Across thick slices ({about.profiles[0]}), {about.main} has over {REFERENCE}, in dB, mean "
        f"over the three axes: {'; '.join(parts)}."
    )

"""Whether slices look like what a network has seen in its training (`espcn_core.models.ranges`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from espcn_core.models.cards import Card
from espcn_core.models.ranges import CONTRAST_RANGE, SPACING_RANGE

_SPACING_TOLERANCE = 1.25
_CONTRAST_TOLERANCE = 0.25

Range = Sequence[float]


def range_warning(
    card: Card, spacing: tuple[float, float] | None, contrast: Mapping[str, float]
) -> str | None:
    """One line that names each field in which slices lie outside of what a network was trained on.

    Parameters
    ----------
    card : Card
    spacing : (row, column), optional
        Of the coarse slices, in mm; None where it is not known.
    contrast : dict
        What `espcn_core.models.ranges.contrast_of` gives for them.

    Returns
    -------
    str or None
        None if nothing lies outside, or the card does not say.

    Notes
    -----
    The ends are generous, so that ordinary scans do not warn: a spacing may be a quarter smaller or larger
    (divided or multiplied by 1.25), a statistic may lie outside by a quarter of the width of its range. Less
    noise than in the training is no reason to warn.
    """
    parts = []
    seen = card.training.get(SPACING_RANGE)
    if seen is not None and spacing is not None:
        ranges = [[end * r / card.factor[1] for end in seen] for r in card.factor]
        if not all(_near_spacing(mm, ends) for mm, ends in zip(spacing, ranges, strict=True)):
            here = " x ".join(dict.fromkeys(f"{mm:.3g}" for mm in spacing))
            there = " x ".join(dict.fromkeys(map(_from_to, ranges)))
            parts.append(f"pixels of {there} mm, not {here} mm")
    for name, seen in card.training.get(CONTRAST_RANGE, {}).items():
        if name in contrast and not _near_contrast(name, contrast[name], seen):
            ends = f"up to {seen[1]:.2g}" if name == "noise" else _from_to(seen)
            parts.append(f"{name} {ends}, not {contrast[name]:.2g}")
    if not parts:
        return None
    trained = ", and on ".join(parts)
    return f"{card.name} was trained on {trained}: the result may be no better than interpolation"


def _near_spacing(mm: float, seen: Range) -> bool:
    return seen[0] / _SPACING_TOLERANCE <= mm <= seen[1] * _SPACING_TOLERANCE


def _near_contrast(name: str, value: float, seen: Range) -> bool:
    slack = _CONTRAST_TOLERANCE * (seen[1] - seen[0])
    return value <= seen[1] + slack and (name == "noise" or value >= seen[0] - slack)


def _from_to(seen: Range) -> str:
    low, high = (f"{end:.3g}" for end in seen)
    return low if low == high else f"{low} to {high}"

"""Which profile thick slices had, judged by what the networks made of them."""

from __future__ import annotations

import numpy as np

from espcn_core.degradation import SliceProfile
from espcn_core.upscaling.consistency import profile_weights
from espcn_core.upscaling.resample import weighted
from espcn_core.upscaling.slices import evenly
from espcn_core.upscaling.sweep import Values

NARROWER = (0.9, 0.8)
"""Parts of a Gaussian's thickness that it is compared with. A box has about the variance of 0.8. No wider
one is, for what networks make too smooth looks as if the slices had been wider."""

_LOOKED_AT = 16
"""Slices that are compared."""

_TOUCHING = 1.05
"""Slices of at most this thickness do not overlap."""

_UNKNOWN, _STATED, _UNUSUAL = 0.6, 0.5, 0.4
"""Another profile is taken if its misfit (RMS) is below this part of that of the first: where nobody stated
one; where one was stated; and where that is a box or of slices that overlap, which the networks know least.
On six isotropic volumes at x2, x3, x4 and x6 along each axis, 72 cases, a Gaussian of 1 that is right gives
way in 6 where nobody stated it and in 2 where somebody did, one of 1.2 in 8, a box in 7. Where the slices are
boxes, a Gaussian of 1 gives way in 66 and in 54; where they are such a Gaussian, one of 1.2 that is stated in
56, a box in 59."""

_ROUNDING = 1e-8
"""Of the sum of squares of the thick slices: a smaller difference of misfits says nothing."""


def likeliest_profile(
    thick: Values, fine: Values, axis: int, stated: SliceProfile | None = None
) -> SliceProfile:
    """What was stated, unless the fine values give the thick slices clearly better under another profile.

    Of a Gaussian the others are narrower; of a box it is the Gaussian as wide.

    Parameters
    ----------
    thick : Values
        What was acquired.
    fine : Values
        What the networks made of it, without a correction, on a grid that is finer along the axis.
    axis : int
    stated : SliceProfile, optional
        By default a Gaussian as wide as the slices are apart.

    Notes
    -----
    The misfit is the sum of squares of ``y - D x``. The networks' own errors lie in what no thick slice
    shows, and hardly count.
    """
    across = next(other for other in (2, 1, 0) if other != axis)
    candidates = _candidates(stated or SliceProfile())
    weights = [profile_weights(thick.grid, fine.grid, axis, one) for one in candidates]
    misfit, energy = np.zeros(len(candidates)), 0.0
    numbers = evenly(range(thick.count(across)), _LOOKED_AT)
    turned = axis > min(other for other in range(3) if other != across)
    for said, made in zip(thick.raw(across, numbers), fine.raw(across, numbers), strict=True):
        y, x = (said.T, made.T) if turned else (said, made)
        known = np.isfinite(y)
        y, x = np.where(known, y, 0).astype(np.float64), x.astype(np.float64)
        misfit += [np.square((y - weighted(degrade, x)) * known).sum() for degrade in weights]
        energy += np.square(y).sum()
    best = int(misfit.argmin())
    convincing = misfit[best] < _convincing(stated) ** 2 * misfit[0] and misfit[0] > _ROUNDING * energy
    return candidates[best if convincing else 0]


def _candidates(first: SliceProfile) -> list[SliceProfile]:
    if first.shape == "box":
        return [first, SliceProfile(thickness=first.thickness)]
    return [first, *(SliceProfile(thickness=part * first.thickness) for part in NARROWER)]


def _convincing(stated: SliceProfile | None) -> float:
    """The part of the first misfit that another one has to be below."""
    if stated is None:
        return _UNKNOWN
    return _UNUSUAL if stated.shape == "box" or stated.thickness > _TOUCHING else _STATED

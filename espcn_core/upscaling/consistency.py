"""What thick slices said stays true: the smallest change after which the fine volume gives them again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.degradation import FWHM_TO_SIGMA, SliceProfile
from espcn_core.grid import Grid
from espcn_core.upscaling.resample import Weights, gathered, positions, weighted

Image = npt.NDArray[np.floating[Any]]

_CORRELATION = 0.5
"""Standard deviation, in thick voxels, of the correlation along the axis that is taken for changes."""

_TURNS, _RELAXED = 32, 1.9
"""Projections at most, and how far each goes."""

_ROOM = 4
"""By how many times of what was clipped most on its line a voxel may change."""

_NEAR = 12
"""Fine voxels that weigh most in a thick one."""

_LEAST = 1e-4
"""Combinations of slices whose share of the largest eigenvalue is smaller are taken to say nothing."""


class Consistency:
    """Thick slices ``y`` and fine ones ``x`` along one axis: ``D x`` should be ``y``.

    Parameters
    ----------
    thick, fine : Grid
        Of n and n' voxels along the axis; n' need not be a multiple of n.
    axis : int
    profile : SliceProfile

    Attributes
    ----------
    degrade : ndarray of float32, shape (n, n')
        D.
    near : ndarray of int, shape (n, k)
        The fine voxels that weigh most in each thick one.

    Notes
    -----
    Of all changes that make ``D x = y``, ``W D^T (D W D^T)^-1 (y - D x)`` is the smallest as measured by
    ``W^-1``: the most likely one, where changes are Gaussian with the covariance W. A smooth W, here a
    Gaussian of half a thick voxel, leaves no steps at the faces of the thick voxels.
    """

    def __init__(self, thick: Grid, fine: Grid, axis: int, profile: SliceProfile) -> None:
        weights = profile_weights(thick, fine, axis, profile)
        smooth = _smoothed(weights, _CORRELATION * thick.spacing[axis] / fine.spacing[axis])
        both = weights @ smooth.T
        inverse = np.linalg.pinv((both + both.T) / 2, rcond=_LEAST, hermitian=True)
        self.degrade = weights.astype(np.float32)
        self._spread = (smooth.T @ inverse).astype(np.float32)
        self.near = np.argsort(-self.degrade, axis=1, kind="stable")[:, :_NEAR]

    def lacking(self, fine: Image, thick: Image) -> Image:
        """``y - D x``, shape (n, m), of fine values, (n', m); 0 where a thick value is not finite."""
        lacking = thick - weighted(self.degrade, fine)
        return np.where(np.isfinite(lacking), lacking, np.float32(0))

    def __call__(self, fine: Image, thick: Image) -> Image:
        """The changed fine values, shape (n', m); a thick one, (n, m), that is not finite says nothing."""
        changed: Image = fine + weighted(self._spread, self.lacking(fine, thick))
        return changed

    def within(self, fine: Image, thick: Image, ends: tuple[float, float], most: float) -> Image:
        """Fine values between two ends that give the thick ones again to ``most``, as far as that can be.

        What lies beyond the ends is clipped, and what that takes from a thick voxel is given to others on the
        line, but not without bounds: where thick voxels are at an end themselves, nothing may give them.

        Notes
        -----
        Projections onto either condition in turn, the one onto ``D x = y`` over-relaxed (Gubin, Polyak &
        Raik 1967, doi 10.1016/0041-5553(67)90113-9).
        """
        low, high = ends
        if low <= fine.min() and fine.max() <= high:
            return fine
        clipped = fine.clip(low, high)
        taken = np.abs(fine - clipped).max(0)
        lines, fine = np.flatnonzero(taken), clipped
        part, said = fine[:, lines], thick[:, lines]
        least, greatest = ((part + way * _ROOM * taken[lines]).clip(low, high) for way in (-1, 1))
        for _ in range(_TURNS):
            lacking = self.lacking(part, said)
            left = np.abs(lacking).max(0, initial=0) > most
            if not left.any():
                break
            lines, said, least, greatest = lines[left], said[:, left], least[:, left], greatest[:, left]
            part = part[:, left] + _RELAXED * weighted(self._spread, lacking[:, left])
            fine[:, lines] = part = part.clip(least, greatest)
        return fine


def profile_weights(thick: Grid, fine: Grid, axis: int, profile: SliceProfile) -> Weights:
    """How thick voxels weight fine ones, shape (n, n'), for any ratio of their sizes.

    For a whole ratio this is what `espcn_core.degradation.thicken` does.
    """
    ratio = thick.spacing[axis] / fine.spacing[axis]
    width = profile.thickness * ratio
    sigma = width * FWHM_TO_SIGMA
    edge = (ratio - 1) / 2  # from a thick centre to the last fine one in it
    reach = edge + math.ceil(4 * sigma) if profile.shape == "gaussian" else (width + 1) / 2
    centre = positions(fine, thick)[axis][:, None]
    most = math.ceil(reach) + 1
    index = np.floor(centre).astype(np.int64) + np.arange(-most, most + 1)
    distance = np.abs(index - centre)
    if profile.shape == "gaussian":
        nearest = distance.min(1, keepdims=True)
        values = np.exp(-0.5 * (distance**2 - nearest**2) / sigma**2) * (distance <= reach + 1e-6)
    else:  # how much of each fine voxel lies within the box
        values = np.clip((width + 1) / 2 - distance, 0, min(1.0, width))
    return gathered(index, values / values.sum(1, keepdims=True), fine.shape[axis])


def _smoothed(rows: Weights, sigma: float) -> Weights:
    """Each row convolved with a Gaussian; zeros beyond the ends."""
    reach = math.ceil(4 * sigma - 1e-6)  # for an oblique grid the same
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.array([np.convolve(row, kernel)[reach : reach + len(row)] for row in rows])

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

_ROUNDS = 12
"""Steps of Newton's method at most."""

_DAMPED = 0.01
"""What is added to the diagonal of their equations, as a part of its largest element: it keeps changes small
where thick slices contradict their profile, as rounded ones may."""

_AT_ONCE = 2**21
"""Elements of the equations of all lines that are solved at the same time."""

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
        self._smooth = smooth.T.astype(np.float32)
        self._largest = np.float32(both.max())
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
        line, by the smooth changes of `Consistency` again.

        Notes
        -----
        ``D clip(x + W D^T z) = y`` is solved for z by semismooth Newton steps (Qi & Sun 1993, doi
        10.1007/BF01581275), whose derivative leaves out the voxels that are at an end.
        """
        if ends[0] <= fine.min() and fine.max() <= ends[1]:
            return fine
        held = fine.clip(*ends)
        left = np.abs(self.lacking(held, thick)).max(0) > most
        lines = np.flatnonzero(left & (held != fine).any(0))
        for some in np.array_split(lines, math.ceil(lines.size * self.degrade.size / _AT_ONCE) or 1):
            held[:, some] = self._held(fine[:, some], thick[:, some], ends, most)
        return held

    def _held(self, fine: Image, thick: Image, ends: tuple[float, float], most: float) -> Image:
        """`within`, of a few lines; of what was tried on each, the best."""
        best = fine.clip(*ends)
        lacking = self.lacking(best, thick)
        lines, least = np.arange(fine.shape[1]), np.abs(lacking).max(0)
        for _ in range(_ROUNDS):
            free = (ends[0] < fine) & (fine < ends[1])
            fine = fine + weighted(self._smooth, self._step(free, lacking))
            clipped = fine.clip(*ends)
            lacking = self.lacking(clipped, thick[:, lines])
            left = np.abs(lacking).max(0)
            better = left < least
            best[:, lines[better]], least[better] = clipped[:, better], left[better]
            going = least > most
            if not going.any():
                break
            lines, least, fine, lacking = lines[going], least[going], fine[:, going], lacking[:, going]
        return best

    def _step(self, free: npt.NDArray[np.bool_], lacking: Image) -> Image:
        """The z whose change of the free voxels, (n', m), gives what is lacking, (n, m); shape (n, m)."""
        equations = (self.degrade * free.T[:, None]) @ self._smooth
        equations += _DAMPED * self._largest * np.eye(len(lacking), dtype=np.float32)
        step: Image = np.linalg.solve(equations, lacking.T[..., None])[..., 0].T
        return step


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

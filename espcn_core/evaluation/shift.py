"""By how much of a voxel a method moves an image: what alignment by another convention would cost it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from espcn_core.evaluation.records import Image

_TAPER = 0.1
"""Share of a slice over which it fades out at its edges, which a Fourier shift joins to the opposite ones."""

_FARTHEST = 8
"""Fine voxels; the search begins at the best whole shift within."""


def best_shift(pairs: Sequence[tuple[Image, Image]]) -> tuple[float, float]:
    """The shift at which the PSNR of a method's images, meaned over slices, is best.

    Parameters
    ----------
    pairs : sequence of (test, truth)
        Images of shape (H, W) in the same units; the peak is the range of the truth.

    Returns
    -------
    (rows, columns) : float
        In fine voxels: how far to move the method's images for the best match; 0, 0 for an aligned method.

    Notes
    -----
    The shift is one of the Fourier transform, exact for whatever fraction of a voxel. It leaves the energy of
    an image as it is, so that the error follows from the correlation of the two (Parseval).
    """
    from scipy.optimize import minimize

    slices = [_Slice(test, truth) for test, truth in pairs]
    around = range(-_FARTHEST, _FARTHEST + 1)
    whole = max(((i, j) for i in around for j in around), key=lambda d: sum(s.whole(*d) for s in slices))

    def minus_psnr(shift: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        values, slopes = zip(*(s.error(shift) for s in slices), strict=True)
        return (
            float(10 * np.mean(np.log10(values))),
            10 / np.log(10) * np.mean([b / a for a, b in zip(values, slopes, strict=True)], axis=0),
        )

    found = minimize(minus_psnr, np.array(whole, dtype=np.float64), jac=True, method="BFGS")
    rows, columns = found.x
    return float(rows), float(columns)


class _Slice:
    """The correlation of one pair as a function of the shift."""

    def __init__(self, test: Image, truth: Image) -> None:
        from scipy.signal.windows import tukey

        window = np.multiply.outer(*(tukey(n, _TAPER) for n in truth.shape))
        ours, true = (np.fft.fft2((image - image.mean(dtype=np.float64)) * window) for image in (test, truth))
        peak = float(np.ptp(truth))
        scale = truth.size**2 * peak**2  # then `error` is the mean square over the peak's
        self._spectrum = true.conj() * ours * (2 / scale)
        self._energy = float((np.abs(ours) ** 2 + np.abs(true) ** 2).sum() / scale)
        self._floor = 1e-12  # where both are equal there is no logarithm of the error
        self._frequencies = [2 * np.pi * np.fft.fftfreq(n) for n in truth.shape]
        self._whole = np.fft.fft2(self._spectrum).real

    def whole(self, rows: int, columns: int) -> float:
        """The correlation at a shift by whole voxels."""
        return float(self._whole[rows, columns])

    def error(self, shift: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """Mean square error over the squared peak after a shift, and its gradient."""
        rows, columns = (np.exp(-1j * w * d) for w, d in zip(self._frequencies, shift, strict=True))
        by_row = self._spectrum @ columns
        by_column = rows @ self._spectrum
        value = self._energy - float((rows @ by_row).real)
        slopes = [
            float((-1j * self._frequencies[0] * rows @ by_row).real),
            float((by_column @ (-1j * self._frequencies[1] * columns)).real),
        ]
        return max(value, 0.0) + self._floor, -np.array(slopes)

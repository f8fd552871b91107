"""The map between a volume's own units and the range that the networks see, and back to the volume's type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_SMALL = 2**20
"""Values whose temporaries are no matter."""

_SAMPLE = 2_000_000
"""About as many voxels as the percentiles are taken from: a large volume is read with a stride."""

_TAIL = 0.1
"""Percentage of voxels at either end that may be outliers."""

_SLACK = 0.5
"""How far beyond the percentiles, in units of their distance, the extremes are taken as they are."""


@dataclass(frozen=True)
class IntensityMap:
    """A linear map of one whole volume: ``low`` goes to 0 and ``high`` to 1.

    Attributes
    ----------
    low, high : float
        In the units of the array that it was fitted to; ``high > low``. Values outside map outside of 0 .. 1
        and come back unchanged.
    """

    low: float
    high: float

    @classmethod
    def fit(cls, array: Array) -> IntensityMap:
        """The robust range of the finite values of an array of any shape.

        ``low`` and ``high`` are the smallest and the largest value, unless these lie further beyond the 0.1st
        and the 99.9th percentile than half the distance of the two: then they stop there. So the range of
        an ordinary volume is exact, and a hot voxel does not squeeze the rest into nothing. Multiplying the
        array or adding to it changes the map in the same way, so that the mapped values stay.
        """
        sample = _finite(_strided(array))
        smallest, largest = extremes(array)
        if largest <= smallest:
            return cls(smallest, smallest + 1.0)
        if sample.dtype.itemsize > 1:  # by vector instructions, which selecting does not use
            ordered = np.sort(sample)
            floor, ceiling = (_percentile(ordered, percent) for percent in (_TAIL, 100 - _TAIL))
        else:
            floor, ceiling = (float(p) for p in np.percentile(sample, [_TAIL, 100 - _TAIL]))
        reach = _SLACK * (ceiling - floor)
        if reach == 0:  # nearly all voxels are equal: there is no range but the extremes
            return cls(smallest, largest)
        return cls(max(smallest, floor - reach), min(largest, ceiling + reach))

    def forward(self, array: Array) -> npt.NDArray[np.float32]:
        """To the networks' range, in float32, same shape."""
        wide = array.dtype.itemsize > 2 and array.dtype != np.float32
        # float32 cannot hold a large offset and a small contrast
        values: Array = array.astype(np.float64 if wide else np.float32)
        values -= self.low
        mapped: npt.NDArray[np.float32] = np.empty_like(values, dtype=np.float32) if wide else values
        np.divide(values, self.high - self.low, out=mapped, casting="same_kind")
        return mapped

    def inverse(self, array: npt.NDArray[np.float32], dtype: npt.DTypeLike) -> Array:
        """Back to the volume's own units and a data type: integers are rounded and clipped, never wrapped.

        Raises
        ------
        ValueError
            If an integer type is asked for and a value is NaN.
        """
        dtype = np.dtype(dtype)
        wide = dtype.itemsize > 2 and dtype != np.float32
        values: Array = array.astype(np.float64 if wide else np.float32)
        values *= self.high - self.low
        values += self.low
        return _cast_over(values, dtype)


def cast(array: Array, dtype: npt.DTypeLike) -> Array:
    """To a data type: integers are rounded half to even and clipped to what the type holds, never wrapped.

    Raises
    ------
    ValueError
        If an integer type is asked for and a value is NaN.
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu":
        return array.astype(dtype, copy=False)
    return _cast_over(array.copy(order="K"), dtype)


def _cast_over(values: Array, dtype: np.dtype[Any]) -> Array:
    """`cast`, of values that are overwritten."""
    if dtype.kind in "iu":
        if values.dtype.kind == "f":
            if np.isnan(np.min(values, initial=np.inf)):
                raise ValueError(f"NaN has no value in {dtype}")
            np.rint(values, out=values)
        np.clip(values, *_bounds(values.dtype, np.iinfo(dtype)), out=values)
    return values.astype(dtype, copy=False)


def _bounds(dtype: np.dtype[Any], info: np.iinfo[Any]) -> tuple[int, int]:
    """The smallest and the largest value of an integer type that another type holds as well."""
    if dtype.kind in "iu":
        own = np.iinfo(dtype)
        return max(info.min, own.min), min(info.max, own.max)
    top = dtype.type(info.max)
    if float(top) > info.max:
        top = np.nextafter(top, dtype.type(0))
    return info.min, int(top)


def count_nonfinite(array: Array) -> int:
    """How many values are NaN or infinite."""
    if array.dtype.kind not in "fc":
        return 0
    return sum(int(slab.size - np.isfinite(slab).sum()) for slab in _slabs(array))


def _strided(array: Array) -> Array:
    """Every n-th voxel along each of the three axes of space, about `_SAMPLE` of them."""
    axes = array.shape[:3]
    step = max(1, round((array.size / _SAMPLE) ** (1 / max(1, len(axes)))))
    return array[tuple(slice(n % step // 2 if n > step else 0, None, step if n > step else 1) for n in axes)]


def _percentile(ordered: Array, percent: float) -> float:
    """What `numpy.percentile` gives of several at once; that would order ordered values once more."""
    below, share = divmod((len(ordered) - 1) * (percent / 100), 1)
    low, high = (ordered[min(int(below) + n, len(ordered) - 1)] for n in (0, 1))
    step = float(high - low if ordered.dtype.kind == "f" else int(high) - int(low))
    return float(low) + step * share if share < 0.5 else float(high) - step * (1 - share)


def _finite(array: Array) -> Array:
    return array[np.isfinite(array)] if array.dtype.kind == "f" else array.ravel(order="K")


def _slabs(array: Array) -> list[Array]:
    """Views of a large array along its last axis: a reduction over each keeps its temporaries small."""
    if array.size <= _SMALL:
        return [array.reshape(1) if array.ndim == 0 else array]
    return [array[..., k] for k in range(array.shape[-1])]


def extremes(array: Array) -> tuple[float, float]:
    """Smallest and largest finite value; 0 and 0 where there is none."""
    if array.dtype.kind != "f":
        return float(array.min()), float(array.max())
    ends = [(part.min(), part.max()) for slab in _slabs(array) if (part := _finite(slab)).size]
    if not ends:
        return 0.0, 0.0
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))

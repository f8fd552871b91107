"""What a network has seen in its training, and what a volume looks like.

A card may say it in two fields of ``training``, and a card without them never warns:

- ``spacing_range_mm``: ``[low, high]``, the spacing of the coarse slices in mm; where a network's factor is
  not the same for both axes, that along the columns, and along the rows in proportion to the factors.
- ``contrast_range``: for statistics of `contrast_of`, ``[low, high]`` over the coarse slices of the training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

SPACING_RANGE, CONTRAST_RANGE = "spacing_range_mm", "contrast_range"
"""Their keys in `Card.training`."""

STATISTICS = {
    "mean": "mean value: far up in inverted or CT-like contrast, far down where next to nothing is bright",
    "sharpness": "finest detail over that twice as coarse: 0.3 after interpolation by 2, 2 in pure noise",
    "noise": "standard deviation of the noise as a share of the range",
}
"""What `contrast_of` measures, and what each is good for."""

CONTENT = 0.5
"""Slices whose standard deviation is below this share of the largest one are left out."""

_LEAST_SIDE = 4
"""Pixels along a side; the second level of the wavelet needs them."""

_MAD_TO_SIGMA = 1 / 0.6745

Image = npt.NDArray[np.floating[Any]]


def contrast_of(slices: Iterable[npt.ArrayLike]) -> dict[str, float]:
    """Three numbers that tell how a volume's coarse slices look, the median over the slices.

    Parameters
    ----------
    slices : iterable of (H, W) arrays, or array or tensor, shape (N, H, W)
        Whole slices, finite, mapped to the networks' range by `espcn_core.intensity.IntensityMap`. Slices
        with less than half the contrast (standard deviation) of the strongest one are left out: mostly air.

    Returns
    -------
    dict
        - ``mean``: of the values.
        - ``sharpness``: root mean square of the diagonal Haar detail at the finest level, over that at the
          next. Neither the scale of the values nor air around a head change it much. About 0.3 in slices
          that were blurred or interpolated, 0.5 to 0.9 in slices at their own resolution, 2 in white noise.
        - ``noise``: median of the absolute diagonal Haar detail at the finest level, divided by 0.6745: the
          standard deviation of Gaussian noise (Donoho and Johnstone 1994, doi 10.1093/biomet/81.3.425). It is
          0 where most of a slice was masked out.

        Empty if no slice has four pixels along both sides and some contrast.
    """
    rows = [row for image in slices if (row := _measured(np.asarray(image, dtype=np.float32)))]
    if not rows:
        return {}
    spread = np.array([row[0] for row in rows])
    strong = np.array(rows)[spread >= CONTENT * spread.max(), 1:]
    return dict(zip(STATISTICS, np.median(strong, axis=0).tolist(), strict=True))


def contrast_range(samples: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """What a card says of the training: 1st and 99th percentile of each statistic over its samples.

    Parameters
    ----------
    samples : iterable of dict
        What `contrast_of` gives for each sample; empty ones do not count.

    Returns
    -------
    dict
        ``[low, high]`` of each statistic, to three digits; empty without samples.
    """
    filled = [sample for sample in samples if sample]
    if not filled:
        return {}
    ends = {name: np.percentile([sample[name] for sample in filled], (1, 99)) for name in STATISTICS}
    return {name: [float(f"{end:.3g}") for end in pair] for name, pair in ends.items()}


def check_ranges(training: Mapping[str, Any]) -> None:
    """Raise `ValueError`, the end of a sentence about a card, if the two fields are not what they must be."""
    contrast = training.get(CONTRAST_RANGE, {})
    if not isinstance(contrast, dict):
        raise ValueError(f"gives {CONTRAST_RANGE} as {type(contrast).__name__}, not dict")
    if odd := sorted(set(contrast) - set(STATISTICS)):
        raise ValueError(f"gives a {CONTRAST_RANGE} of {odd[0]!r}: there are {', '.join(STATISTICS)}")
    found = {f"{CONTRAST_RANGE} of {name}": seen for name, seen in contrast.items()}
    if SPACING_RANGE in training:
        found[SPACING_RANGE] = training[SPACING_RANGE]
    for name, seen in found.items():
        numbers = isinstance(seen, list) and all(type(end) in (int, float) for end in seen)
        if not (numbers and len(seen) == 2 and seen[0] <= seen[1]):
            raise ValueError(f"gives {name} as {seen!r}, not as [low, high]")


def _measured(image: Image) -> tuple[float, ...] | None:
    """Standard deviation and the three statistics of one slice; None if it has none."""
    if min(image.shape) < _LEAST_SIDE:
        return None
    coarser, fine = _haar(image)
    _, next_level = _haar(coarser)
    spread, wide = float(image.std()), _rms(next_level)
    if wide <= 1e-4 * spread:  # a constant, a ramp, stripes: no detail but rounding
        return None
    noise = float(np.median(np.abs(fine))) * _MAD_TO_SIGMA
    return spread, float(image.mean()), _rms(fine) / wide, noise


def _haar(image: Image) -> tuple[Image, Image]:
    """Means of 2 x 2 pixels, and their diagonal details, as large as independent noise of the pixels."""
    rows, columns = (n - n % 2 for n in image.shape)
    even, odd = image[0:rows:2, :columns], image[1:rows:2, :columns]
    down, up = even + odd, even - odd
    return (down[:, ::2] + down[:, 1::2]) / 4, (up[:, ::2] - up[:, 1::2]) / 2


def _rms(values: Image) -> float:
    return float(np.sqrt(np.mean(np.square(values))))

"""Where the numbers of a slice are taken from: all of it, the head, the tumor, and a ring around that."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from espcn_core.evaluation.records import Image, Mask

RING = 8
"""Width of the ring in fine pixels."""

MARGIN = 3
"""Pixels that a region loses all around before the SSIM is averaged in it: two sigma of its window."""

_SHARE = 0.5
"""Of Otsu's threshold: it parts bright from dark tissue, and the head begins at half of it."""

_SMALLEST = 0.02
"""Share of a slice that a head fills at least."""

_DARK = 0.25
"""What is left out is air if its median lies below this share of the head's, counted from the minimum."""


def find_regions(truth: Image, tumor: Mask | None) -> dict[str, Mask]:
    """The regions that a slice has, each a mask of shape (H, W).

    Parameters
    ----------
    truth : ndarray, shape (H, W)
        The true slice: all methods are measured in the same regions.
    tumor : ndarray of bool, shape (H, W), optional

    Returns
    -------
    dict
        ``image``; ``head``, unless the slice has no dark background; ``tumor``, if there is one; and
        ``ring``: what lies outside the tumor and inside the head, no more than 8 pixels from the tumor.
    """
    from scipy import ndimage

    regions = {"image": np.ones(truth.shape, dtype=np.bool_)}
    head = find_head(truth)
    if head is not None:
        regions["head"] = head
    if tumor is not None and tumor.any():
        regions["tumor"] = tumor
        around = _box(tumor, RING)
        near = ndimage.distance_transform_edt(~tumor[around]) <= RING
        ring = np.zeros_like(tumor)
        ring[around] = near & ~tumor[around]
        if head is not None:
            ring &= head
        if ring.any():
            regions["ring"] = ring
    return regions


def find_head(truth: Image) -> Mask | None:
    """The largest bright thing in a slice, with all that it encloses; None if there is no air around it.

    Brighter than half of Otsu's threshold, without bridges of up to 4 pixels to what lies beside it, with
    gaps of up to 12 pixels in its outline closed (ears and sinuses open to the air) and all holes filled.

    Parameters
    ----------
    truth : ndarray, shape (H, W)
    """
    from scipy import ndimage

    low = float(truth.min())
    bright = ndimage.binary_opening(truth > low + _SHARE * (otsu(truth) - low), iterations=2)
    labels, count = ndimage.label(bright)
    if not count:
        return None
    sizes = np.bincount(labels.ravel())
    largest = labels == 1 + int(sizes[1:].argmax())
    reach = 6
    closed = ndimage.binary_closing(np.pad(largest, reach), iterations=reach)[reach:-reach, reach:-reach]
    head: Mask = ndimage.binary_fill_holes(closed)
    if head.mean() < _SMALLEST or head.all():
        return None
    inside, outside = (float(np.median(truth[part])) - low for part in (head, ~head))
    return head if outside < _DARK * inside else None


def eroded(region: Mask) -> Mask:
    """The pixels of a region that lie more than 3 pixels from what is outside of it."""
    from scipy import ndimage

    if region.all():
        return region
    inner = np.zeros_like(region)
    if region.any():
        box = _box(region, 1)  # what is outside begins within it
        inner[box] = ndimage.distance_transform_edt(region[box]) > MARGIN
    return inner


def _box(mask: Mask, margin: int) -> tuple[slice, slice]:
    """The rows and columns of a mask that is not empty, and so many more as far as the slice goes."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def otsu(image: Image) -> float:
    """Otsu's threshold, of the image without its brightest percent: fat and vessels would raise it."""
    import SimpleITK as sitk  # noqa: N813

    values: npt.NDArray[np.float32] = np.minimum(image, np.percentile(image, 99)).astype(np.float32)
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.SetNumberOfThreads(1)
    otsu.Execute(sitk.GetImageFromArray(values))
    return float(otsu.GetThreshold())

"""The isotropic volumes that are made thick, and where the head is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from espcn_core.degradation import SliceProfile, thicken
from espcn_core.errors import DataError, EspcnError
from espcn_core.evaluation.choices import volume_paths, without_ending
from espcn_core.evaluation.records import Image, Mask
from espcn_core.evaluation.regions import otsu
from espcn_core.grid import Grid

SAME = 1.01
"""Spacings whose ratio is not above this are the same: the volume is isotropic."""

_LEAST_SIDE = 24
"""Voxels along every axis: the windows of the metrics are up to 15 wide."""

_DARK = 0.25
"""What is left out is air if its median lies below this share of the head's, counted from the minimum."""


@dataclass(frozen=True, eq=False)
class Truth:
    """A true volume.

    Attributes
    ----------
    name : str
    array : ndarray, shape (I, J, K)
        Physical values.
    grid : Grid
    """

    name: str
    array: Image
    grid: Grid

    @property
    def look(self) -> str:
        """Size and spacing in words."""
        return f"{' x '.join(map(str, self.grid.shape))} voxels of {np.mean(self.grid.spacing):.3g} mm"

    def cut(self, axis: int, factor: int) -> Truth:
        """Without the voxels at the far end of an axis that do not fill a thick one."""
        stop = list(self.grid.shape)
        stop[axis] -= stop[axis] % factor
        kept = self.array[tuple(slice(n) for n in stop)]
        return Truth(self.name, kept, self.grid.crop((0, 0, 0), stop))

    def thick(self, axis: int, factor: int, profile: SliceProfile) -> tuple[Image, Grid]:
        """Slices of a profile along an axis whose size is a whole multiple of the factor."""
        factors = [factor if a == axis else 1 for a in range(3)]
        image = torch.from_numpy(np.ascontiguousarray(self.array))
        return thicken(image, axis, factor, profile).numpy(), self.grid.coarser(factors)


def find_volumes(data: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The volumes at a path that can be measured, and the reason of each that cannot, by name.

    Parameters
    ----------
    data : Path
        A NIfTI file, or a folder that is searched for such files.

    Raises
    ------
    DataError
        If none can be measured, or two have the same name.
    """
    base = data if data.is_dir() else data.parent
    found: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for path in volume_paths(data):
        name = without_ending(path.relative_to(base).as_posix())
        if name in found or name in left_out:
            raise DataError(f"{data} holds two volumes called {name}: rename or remove one of them")
        try:
            read(name, path)
        except EspcnError as error:
            left_out[name] = str(error).replace(str(path), path.name)
        else:
            found[name] = path
    if not found:
        reasons = "; ".join(left_out.values()) or "there is no NIfTI file"
        raise DataError(f"{data} holds no isotropic volume to measure: {reasons}")
    return found, left_out


def read(name: str, path: Path) -> Truth:
    """One volume in physical values.

    Raises
    ------
    DataError
        If it is not isotropic, has more or fewer axes than three, is too small, or holds one value only or
        some that are not finite.
    VolumeError
        If it cannot be read.
    """
    from espcn_core import volumes

    volume = volumes.read(path)
    spacing = volume.grid.spacing
    if max(spacing) > SAME * min(spacing):
        mm = " x ".join(f"{size:.3g}" for size in spacing)
        raise DataError(f"{path} has voxels of {mm} mm, and the truth must be isotropic: leave it out")
    if volume.array.ndim != 3 or min(volume.array.shape) < _LEAST_SIDE:
        size = " x ".join(map(str, volume.array.shape))
        raise DataError(
            f"{path} has {size} voxels, and three axes of at least {_LEAST_SIDE} are needed: leave it out"
        )
    array: Image = volume.array.astype(np.float32)
    array = array * np.float32(volume.slope) + np.float32(volume.inter)
    if not np.isfinite(array).all():
        raise DataError(f"{path} holds values that are NaN or infinite: leave it out, or fill them first")
    if not np.ptp(array):
        raise DataError(f"{path} holds one value only: leave it out")
    return Truth(name, array, volume.grid)


def find_head(truth: Image) -> Mask | None:
    """The largest bright thing in a volume, with all that it encloses; None if there is no air around it.

    As `espcn_core.evaluation.regions.find_head` does for slices: brighter than half of Otsu's threshold,
    without thin bridges, with all holes filled.

    Parameters
    ----------
    truth : ndarray, shape (I, J, K)
    """
    from scipy import ndimage

    low = float(truth.min())
    bright = ndimage.binary_opening(truth > low + 0.5 * (otsu(truth) - low))
    labels, count = ndimage.label(bright)
    if not count:
        return None
    head: Mask = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    for axis in range(3):  # sinuses are open to the air in some slices only
        for part in np.moveaxis(head, axis, 0):
            part[...] = ndimage.binary_fill_holes(part)
    if head.all():
        return None
    inside, outside = (float(np.median(truth[part])) - low for part in (head, ~head))
    return head if outside < _DARK * inside else None

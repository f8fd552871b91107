"""From the number of a slice to aligned pairs of coarse and fine patches.

A slice is an image of shape (1, H, W). Where MONAI tracks metadata it is a `monai.data.MetaTensor` whose
affine goes from (row, column, slice) to millimetres; every transform here, and MONAI's own crops, flips and
quarter turns, keep each pixel where it is in the world.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.meta_obj import get_track_meta
from monai.transforms import MapTransform, Randomizable, SpatialCrop
from torch import Tensor
from torch.nn import functional

from espcn_core.degradation import SliceProfile, degrade, thicken
from espcn_core.figshare import SPACING, FigshareSource
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap

Item = dict[Hashable, Any]

FIELD_OF_VIEW = 512 * SPACING
"""Side of a figshare slice in mm."""

THICKNESS = 6.0
"""Of a figshare slice in mm."""


class LoadSliced(MapTransform):  # type: ignore[misc]
    """Replace the number of a figshare slice by its image, float32, shape (1, H, W), in the stored units.

    Parameters
    ----------
    keys : str or sequence of str
        Where the numbers are.
    source : FigshareSource
        What `espcn_core.figshare.open_source` gives.

    Notes
    -----
    Metadata: ``affine`` (spacing 0.49 mm at 512 x 512; the data set does not say where a slice lies in the
    scanner, so its first pixel is at the origin), ``index``, ``patient`` and ``label``.
    """

    def __init__(self, keys: KeysCollection, source: FigshareSource) -> None:
        super().__init__(keys)
        self.source = source

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        item = dict(data)
        for key in self.key_iterator(item):
            read = self.source.read(int(item[key]))
            rows, columns = read.image.shape
            affine = np.diag([FIELD_OF_VIEW / rows, FIELD_OF_VIEW / columns, THICKNESS, 1.0])
            meta = {"index": read.index, "patient": read.patient, "label": read.label}
            item[key] = _tracked(torch.from_numpy(read.image.astype(np.float32))[None], affine, meta)
        return item


class Degraded(MapTransform):  # type: ignore[misc]
    """Make images coarser, in place or under another name.

    Parameters
    ----------
    keys : str or sequence of str
        Fine images, (C, H, W).
    factor : (r_row, r_col)
        Fine pixels per coarse pixel.
    kind : str or SliceProfile
        A degradation of `espcn_core.degradation`, or the profile of slices that are thick along the columns.
    into : str, optional
        Key of the coarse image; by default it takes the place of the fine one.

    Notes
    -----
    Rows and columns at the far edges that do not fill a coarse pixel are cut off, from the fine image too, so
    that both images cover the same field of view.
    """

    def __init__(
        self,
        keys: KeysCollection,
        factor: tuple[int, int],
        kind: str | SliceProfile,
        into: str | None = None,
    ) -> None:
        super().__init__(keys)
        self.factor = factor
        self.kind = kind
        self.into = into

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        item = dict(data)
        for key in self.key_iterator(item):
            size = [n - n % r for n, r in zip(item[key].shape[-2:], self.factor, strict=True)]
            fine = _cut(item[key], (slice(0, size[0]), slice(0, size[1])))
            plain = fine.as_tensor() if isinstance(fine, MetaTensor) else fine
            if isinstance(self.kind, SliceProfile):
                coarse = thicken(plain, plain.ndim - 1, self.factor[1], self.kind)
            else:
                coarse = degrade(plain, self.factor, self.kind)
            if isinstance(fine, MetaTensor):
                grid = Grid((*size, 1), fine.affine.numpy()).coarser((*self.factor, 1))
                coarse = _tracked(coarse, grid.affine, _described(fine))
            if self.into is not None:
                item[key] = fine
            item[key if self.into is None else self.into] = coarse
        return item


class Shrunk(MapTransform):  # type: ignore[misc]
    """Make images smaller by any factor: antialiased bicubic onto fewer pixels over the same field of view.

    Parameters
    ----------
    keys : str or sequence of str
        Images, (C, H, W).
    factor : float
        At least 1. H and W become the whole numbers below H / factor and W / factor.
    """

    def __init__(self, keys: KeysCollection, factor: float) -> None:
        super().__init__(keys)
        self.factor = factor

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        item = dict(data)
        for key in self.key_iterator(item):
            fine = item[key]
            plain = fine.as_tensor() if isinstance(fine, MetaTensor) else fine
            size = (int(plain.shape[-2] / self.factor), int(plain.shape[-1] / self.factor))
            small = functional.interpolate(plain[None], size, mode="bicubic", antialias=True)[0]
            if isinstance(fine, MetaTensor):
                grid = Grid((*plain.shape[-2:], 1), fine.affine.numpy()).resized((*size, 1))
                small = _tracked(small, grid.affine, _described(fine))
            item[key] = small
        return item


class FitIntensityd(MapTransform):  # type: ignore[misc]
    """Map images to the networks' range by the one map that is fitted to the coarse image, as for upscaling.

    Parameters
    ----------
    keys : str or sequence of str
        Images that are mapped, all in the same units.
    fit_to : str
        Key of the image that the map is fitted to (`espcn_core.intensity.IntensityMap.fit`).

    Notes
    -----
    Metadata: ``low`` and ``high``, the values that became 0 and 1.
    """

    def __init__(self, keys: KeysCollection, fit_to: str) -> None:
        super().__init__(keys)
        self.fit_to = fit_to

    def __call__(self, data: Mapping[Hashable, Any]) -> Item:
        item = dict(data)
        intensity = IntensityMap.fit(np.asarray(item[self.fit_to]))
        for key in self.key_iterator(item):
            image = item[key]
            mapped = torch.from_numpy(intensity.forward(np.asarray(image)))
            if isinstance(image, MetaTensor):
                meta = {**_described(image), "low": intensity.low, "high": intensity.high}
                mapped = _tracked(mapped, image.affine.numpy(), meta)
            item[key] = mapped
        return item


class RandAlignedPatchesd(Randomizable, MapTransform):  # type: ignore[misc]
    """Cut pairs of patches that show the same field of view from a coarse and a fine image.

    Parameters
    ----------
    coarse, fine : str
        Keys of the images, (C, H, W) and (C, H r_row, W r_col).
    factor : (r_row, r_col)
        Fine pixels per coarse pixel.
    size : (rows, columns)
        Of a coarse patch.
    count : int
        Pairs that are cut; the result is a list of as many dictionaries.

    Raises
    ------
    ValueError
        If the coarse image is smaller than the patch.
    """

    def __init__(
        self, coarse: str, fine: str, factor: tuple[int, int], size: tuple[int, int], count: int = 1
    ) -> None:
        super().__init__((coarse, fine))
        self.coarse = coarse
        self.fine = fine
        self.factor = factor
        self.size = size
        self.count = count
        self._starts: list[tuple[int, int]] = []

    def randomize(self, data: Sequence[int]) -> None:
        """Draw the first row and column of every coarse patch in an image of ``data`` rows and columns."""
        rows, columns = data
        high, wide = self.size
        if rows < high or columns < wide:
            raise ValueError(f"a patch of {high} x {wide} pixels does not fit into {rows} x {columns}")
        first_rows = self.R.randint(0, rows - high + 1, self.count)
        first_columns = self.R.randint(0, columns - wide + 1, self.count)
        self._starts = [(int(i), int(j)) for i, j in zip(first_rows, first_columns, strict=True)]

    def __call__(self, data: Mapping[Hashable, Any]) -> list[Item]:
        self.randomize(data[self.coarse].shape[-2:])
        pairs = []
        for number, start in enumerate(self._starts):
            pair = dict(data)
            for key, (r_row, r_col) in ((self.coarse, (1, 1)), (self.fine, self.factor)):
                top, left = start[0] * r_row, start[1] * r_col
                high, wide = self.size[0] * r_row, self.size[1] * r_col
                box = (slice(top, top + high), slice(left, left + wide))
                pair[key] = _cut(data[key], box)
                if isinstance(pair[key], MetaTensor):
                    pair[key].meta["patch_index"] = number
            pairs.append(pair)
        return pairs


def _cut(image: Tensor, box: tuple[slice, slice]) -> Tensor:
    """Rows and columns of an image. MONAI's crop follows its metadata, and takes a tenth of a sample's time
    where there is none."""
    if not isinstance(image, MetaTensor):
        return image[:, *box]
    cut: Tensor = SpatialCrop(roi_slices=box)(image)
    return cut


def _tracked(image: Tensor, affine: Any, meta: dict[str, Any]) -> Tensor:
    """The image with metadata, or alone where MONAI is told not to track it."""
    if not get_track_meta():
        return image
    world = torch.as_tensor(np.array(affine), dtype=torch.float64)
    tracked: Tensor = MetaTensor(image, affine=world, meta=dict(meta))
    return tracked


def like(image: Tensor, values: Tensor) -> Tensor:
    """The values, with the metadata of an image on the same grid."""
    if isinstance(image, MetaTensor):
        return _tracked(values, image.affine.numpy(), _described(image))
    return values


def _described(image: MetaTensor) -> dict[str, Any]:
    """Metadata without what belongs to one grid."""
    grid_bound = {"affine", "original_affine", "spatial_shape", "space"}
    return {name: value for name, value in image.meta.items() if name not in grid_bound}

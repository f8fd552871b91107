"""SimpleITK images in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid
from espcn_core.volumes.volume import native

_SLICE_THICKNESS = "0018|0050"


def from_sitk(image: Any) -> tuple[npt.NDArray[Any], Grid]:
    """The voxels and the grid of a 2-D or 3-D SimpleITK image.

    Returns
    -------
    array : ndarray, shape (I, J, K)
        A copy, in the order of ``image.GetSize()``; K = 1 for a 2-D image.
    grid : Grid

    Raises
    ------
    VolumeError
        If the image has another number of axes, no voxels, more than one number per voxel or complex ones.
    """
    import SimpleITK as sitk  # noqa: N813

    ndim = image.GetDimension()
    if ndim not in (2, 3):
        raise VolumeError(f"the SimpleITK image has {ndim} axes, not two or three; extract its volumes first")
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise VolumeError(
            f"the SimpleITK image has the pixel type {image.GetPixelIDTypeAsString()}, and only one real "
            "number per voxel can be upscaled; split it into its components"
        )
    if image.GetNumberOfPixels() == 0:
        raise VolumeError("the SimpleITK image has no voxels")
    array = native(sitk.GetArrayFromImage(image), "the SimpleITK image").T
    direction = np.eye(3)
    direction[:ndim, :ndim] = np.reshape(image.GetDirection(), (ndim, ndim))
    origin = (*image.GetOrigin(), 0.0)[:3]
    spacing = (*image.GetSpacing(), 1.0)[:3]
    array = array.reshape((*array.shape, 1)[:3], order="F")
    i, j, k = array.shape
    try:
        return array, Grid.from_itk((i, j, k), origin, spacing, direction.ravel().tolist())
    except ValueError as error:
        raise VolumeError(f"the SimpleITK image is not placed in space ({error}); set its geometry") from None


def slice_thickness_of(image: Any) -> float | None:
    """In mm, if the image comes from DICOM files and they say it (tag 0018,0050)."""
    try:
        thickness = float(image.GetMetaData(_SLICE_THICKNESS))
    except (RuntimeError, ValueError):  # ITK has no such key, or it is no number
        return None
    return thickness if 0 < thickness < np.inf else None


def to_sitk(array: npt.NDArray[Any], grid: Grid, like: Any) -> Any:
    """A SimpleITK image of voxels, shape (I, J, K), with the number of axes and the metadata of ``like``."""
    import SimpleITK as sitk  # noqa: N813

    ndim = like.GetDimension()
    image = sitk.GetImageFromArray((array if ndim == 3 else array[:, :, 0]).T, isVector=False)
    geometry = grid.to_itk()
    image.SetOrigin(geometry["origin"][:ndim])
    image.SetSpacing(geometry["spacing"][:ndim])
    image.SetDirection(np.reshape(geometry["direction"], (3, 3))[:ndim, :ndim].ravel().tolist())
    for key in like.GetMetaDataKeys():
        image.SetMetaData(key, like.GetMetaData(key))
    return image

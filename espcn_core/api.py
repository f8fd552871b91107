"""Upscale an image that is in memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from espcn_core.errors import RequestError, VolumeError
from espcn_core.grid import Grid
from espcn_core.models.cards import default_model
from espcn_core.upscaling.plan import Plan, make_plan
from espcn_core.upscaling.upscaler import Progress, Result, run

Image = TypeVar("Image")


def upscale(
    image: Image,
    scale: int = 2,
    *,
    model: str | Path | None = None,
    plane: str = "auto",
    device: str = "auto",
    progress: Progress | None = None,
) -> Image:
    """A finer version of an image, with the same field of view, slice by slice.

    Parameters
    ----------
    image : nibabel image, SimpleITK image, or (array, affine)
        An array has shape (I, J, K, ...) or (I, J); its affine, shape (4, 4), takes a voxel's index to world
        coordinates in mm (RAS+). Real numbers of any type.
    scale : int
        Fine voxels per coarse voxel along both axes of a slice.
    model : str or Path, optional
        Name of shipped weights or a weight file of that scale; by default the shipped one.
    plane : {"auto", "axial", "coronal", "sagittal"}
        The plane of the slices; ``auto`` takes the one whose slices are thickest apart.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the network runs; ``auto`` takes a GPU if there is one.
    progress : callable, optional
        Called with (slices done, slices in all); the run stops if it returns False.

    Returns
    -------
    The same kind as ``image``, with the same data type.

    Raises
    ------
    RequestError
        If the request cannot be fulfilled: no such model, scale, plane or device.
    VolumeError
        If the image cannot be upscaled, for instance because its values are complex.
    CancelledError
        If ``progress`` returned False.

    Warns
    -----
    UserWarning
        What the user should know of the result: the image is unlike those that the model was trained on, or
        some voxels are not finite.

    Examples
    --------
    >>> import nibabel, espcn_core
    >>> fine = espcn_core.upscale(nibabel.load("head.nii.gz"), scale=2)  # doctest: +SKIP
    """
    options: dict[str, Any] = {"model": model, "plane": plane, "device": device, "progress": progress}
    if isinstance(image, tuple):
        array, affine = image
        result, plan = _upscale_pair(np.asarray(array), affine, scale, options)
        fine: Any = result.array[:, :, 0] if np.ndim(array) == 2 else result.array
        _warn(result)
        return fine, plan.target.affine.copy()  # type: ignore[return-value]
    package = type(image).__module__.partition(".")[0]
    if package == "nibabel":
        from espcn_core.volumes.nifti import from_nibabel, to_nibabel

        volume = from_nibabel(image)
        result, plan = upscale_array(volume.array, volume.grid, scale, **options)
        _warn(result)
        return to_nibabel(volume.finer(result.array, plan.factor))  # type: ignore[no-any-return]
    if package == "SimpleITK":
        from espcn_core.volumes.itk import from_sitk, to_sitk

        array, grid = from_sitk(image)
        result, plan = upscale_array(array, grid, scale, **options)
        _warn(result)
        return to_sitk(result.array, plan.target, image)  # type: ignore[no-any-return]
    raise RequestError(
        f"an image is a nibabel image, a SimpleITK image or (array, affine), not {type(image).__name__}"
    )


def upscale_array(
    array: npt.NDArray[Any],
    grid: Grid,
    scale: int,
    *,
    model: str | Path | None = None,
    plane: str = "auto",
    **options: Any,
) -> tuple[Result, Plan]:
    """`upscale` for an array of shape (I, J, K, *rest) on a grid; ``options`` are those of `upscaler.run`."""
    plan = make_plan(grid, scale, plane, str(model or default_model((scale, scale))))
    return run(plan, array, **options), plan


def _upscale_pair(
    array: npt.NDArray[Any], affine: npt.ArrayLike, scale: int, options: dict[str, Any]
) -> tuple[Result, Plan]:
    if array.ndim < 2:
        raise VolumeError(f"an array of shape {array.shape} is no image: it has fewer than two axes")
    volume = array[:, :, None] if array.ndim == 2 else array
    try:
        grid = Grid(volume.shape[:3], np.asarray(affine, dtype=np.float64))
    except ValueError as error:
        raise VolumeError(f"the image cannot be placed in space: {error}") from error
    return upscale_array(volume, grid, scale, **options)


def _warn(result: Result) -> None:
    """Hand the notes of a run to whoever called `upscale`."""
    for note in result.notes:
        warnings.warn(note, stacklevel=3)

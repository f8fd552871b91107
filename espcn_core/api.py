"""Upscale an image that is in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from espcn_core.degradation import SliceProfile
from espcn_core.errors import RequestError, VolumeError
from espcn_core.grid import Grid
from espcn_core.upscaling.plan import Plan, Request, make_plan
from espcn_core.upscaling.request import one_or_three
from espcn_core.upscaling.upscaler import Progress, Result, run

Image = TypeVar("Image")

_THINNEST, _THICKEST = 0.2, 4.0
"""Slice thickness as a part of the distance between the slices: what is outside is a mistake."""


def upscale(
    image: Image,
    scale: int | Sequence[int] | None = None,
    spacing: float | Sequence[float] | str | None = None,
    *,
    slice_thickness: float | None = None,
    consistent: bool = True,
    model: str | Path | None = None,
    plane: str = "auto",
    device: str = "auto",
    precision: str = "fp32",
    progress: Progress | None = None,
) -> Image:
    """A finer version of an image, with the same field of view.

    Parameters
    ----------
    image : nibabel image, SimpleITK image, or (array, affine)
        An array has shape (I, J, K, ...) or (I, J); its affine, shape (4, 4), takes a voxel's index to world
        coordinates in mm (RAS+). Real numbers of any type.
    scale : int or three int, optional
        New voxels per voxel: one number along both axes of a slice, as by default 2 (or that of ``model``);
        three along the axes of the image, as (1, 1, 5) for slices that are 5 times too thick.
    spacing : float, three float, or "isotropic", optional
        Instead of a scale: the new distance between voxels in mm, along all axes or along each;
        ``isotropic`` is the finest one that the image has along any axis. Where that is no whole part of the
        old one, the field of view is kept to half a new voxel, and its centre exactly.
    slice_thickness : float, optional
        Full width at half maximum of the slices in mm, where an axis is made finer on its own. By default
        what the DICOM tag (0018,0050) of a SimpleITK image says; or else the distance between the slices.
        In any case 0.9 or 0.8 of it is taken instead if that explains the slices clearly better.
    consistent : bool
        Whether an axis that is made finer on its own is corrected until the result, made thick again, gives
        the image's own slices.
    model : str or Path, optional
        Name of shipped weights or a weight file, for the passes that have its scale; by default the shipped
        ones.
    plane : {"auto", "axial", "coronal", "sagittal"}
        The plane of the slices where the scale is one number; ``auto`` takes the one whose slices are
        thickest apart.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the network runs; ``auto`` takes a GPU if there is one.
    precision : {"fp32", "bf16", "auto"}
        What the networks compute in. ``bf16`` is about twice as fast on some CPUs and slower on others, which
        ``auto`` finds out, and rounds what is added to interpolation by about 0.05 % of the range.
    progress : callable, optional
        Called with (slices done, slices in all); the run stops if it returns False.

    Returns
    -------
    The same kind as ``image``, with the same data type; ``image`` itself if it already is what was asked for.

    Raises
    ------
    RequestError
        If the request cannot be fulfilled: no such model, scale, plane or device, a spacing coarser than the
        image's, both a scale and a spacing, or a slice thickness that does not go with the image.
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
    >>> head = nibabel.load("head.nii.gz")  # doctest: +SKIP
    >>> fine = espcn_core.upscale(head)  # twice as fine in the slices  # doctest: +SKIP
    >>> cube = espcn_core.upscale(head, spacing="isotropic")  # doctest: +SKIP
    """
    options: dict[str, Any] = {
        "model": model, "plane": plane, "slice_thickness": slice_thickness, "consistent": consistent,
        "device": device, "precision": precision, "progress": progress,
    }  # fmt: skip
    if isinstance(image, tuple):
        array, grid = _from_pair(*image)
        result, plan = upscale_array(array, grid, scale, spacing, **options)
        array = result.array[:, :, 0] if np.ndim(image[0]) == 2 else result.array
        fine: Any = array, plan.target.affine.copy()
    elif (package := type(image).__module__.partition(".")[0]) == "nibabel":
        from espcn_core.volumes.nifti import from_nibabel, to_nibabel

        volume = from_nibabel(image)
        result, plan = upscale_array(volume.array, volume.grid, scale, spacing, **options)
        fine = to_nibabel(volume.on(result.array, plan.target))
    elif package == "SimpleITK":
        from espcn_core.volumes.itk import from_sitk, slice_thickness_of, to_sitk

        array, grid = from_sitk(image)
        found = slice_thickness_of(image)
        result, plan = upscale_array(array, grid, scale, spacing, found_thickness=found, **options)
        fine = to_sitk(result.array, plan.target, image)
    else:
        raise RequestError(
            f"an image is a nibabel image, a SimpleITK image or (array, affine), not {type(image).__name__}"
        )
    for note in result.notes:
        warnings.warn(note, stacklevel=2)
    return fine if plan.steps else image


def upscale_array(
    array: npt.NDArray[Any],
    grid: Grid,
    scale: int | Sequence[int] | None = None,
    spacing: float | Sequence[float] | str | None = None,
    *,
    model: str | Path | None = None,
    plane: str = "auto",
    slice_thickness: float | None = None,
    found_thickness: float | None = None,
    **options: Any,
) -> tuple[Result, Plan]:
    """`upscale` for an array of shape (I, J, K, *rest) on a grid.

    ``found_thickness`` is what came with the image (`slice_profile`); ``options`` are those of
    `upscaler.run`.
    """
    request = Request(
        one_or_three(scale), one_or_three(spacing), plane, None if model is None else str(model)
    )
    plan = make_plan(grid, request)
    profile, note = slice_profile(plan, slice_thickness, found_thickness)
    result = run(plan, array, profile=profile, **options)
    return (replace(result, notes=(*result.notes, note)) if note else result), plan


def slice_profile(
    plan: Plan, asked: float | None, found: float | None = None
) -> tuple[SliceProfile | None, str | None]:
    """The known profile of slices along the axis that a plan makes finer on its own; if several, the first.

    Parameters
    ----------
    plan : Plan
    asked : float, optional
        The slice thickness in mm that the user gave.
    found : float, optional
        That which came with the image, for when the user gave none.

    Returns
    -------
    SliceProfile or None
        None if it is not known, or there is no such axis.
    str or None
        A sentence if ``found`` cannot be true and was left out.

    Raises
    ------
    RequestError
        If ``asked`` is less than a fifth or more than four times the distance between the slices.
    """
    axis = next((step.axis for step in plan.steps if step.axis is not None), None)
    thickness = found if asked is None else asked
    if axis is None or thickness is None:
        return None, None
    apart = plan.source.spacing[axis]
    if _THINNEST <= thickness / apart <= _THICKEST:
        return SliceProfile(thickness=thickness / apart), None
    sentence = (
        f"a slice thickness of {thickness:.4g} mm does not go with slices that are {apart:.4g} mm apart"
    )
    if asked is None:
        return None, f"{sentence}, and is left out"
    raise RequestError(f"{sentence}: give {_THINNEST * apart:.4g} to {_THICKEST * apart:.4g} mm")


def _from_pair(array: npt.ArrayLike, affine: npt.ArrayLike) -> tuple[npt.NDArray[Any], Grid]:
    values = np.asarray(array)
    if values.ndim < 2:
        raise VolumeError(f"an array of shape {values.shape} is no image: it has fewer than two axes")
    volume = values[:, :, None] if values.ndim == 2 else values
    i, j, k = volume.shape[:3]
    try:
        return volume, Grid((i, j, k), np.asarray(affine, dtype=np.float64))
    except ValueError as error:
        raise VolumeError(f"the image cannot be placed in space: {error}") from error

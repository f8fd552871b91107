"""How thick a file's slices are: what the user says, or else its header or the JSON file beside it."""

from __future__ import annotations

from pathlib import Path

from espcn_core import volumes
from espcn_core.api import slice_profile
from espcn_core.degradation import SliceProfile
from espcn_core.upscaling.plan import Plan

_NO_USE = "--slice-thickness is of no use here: no axis is made finer on its own"

_EQUAL = 0.01
"""A slice thickness this near to the spacing, as a part of it, is the spacing."""


def profile_of(
    source: Path,
    plan: Plan,
    asked: float | None,
    said: float | None = None,
    beside: tuple[float | None, str | None] | None = None,
) -> tuple[SliceProfile | None, list[str]]:
    """The profile of the slices if it is known, and what is to be said of it.

    Parameters
    ----------
    source : Path
        The volume's file; a BIDS sidecar beside it may give the thickness.
    plan : Plan
    asked : float, optional
        ``--slice-thickness`` in mm, which wins.
    said : float, optional
        What the file itself says, in mm; it wins over the sidecar.
    beside : (float or None, str or None), optional
        What sidecars of the data set say, in the form of `volumes.read_slice_thickness`.

    Raises
    ------
    RequestError
        If it does not go with the distance of the slices.
    """
    if all(step.axis is None for step in plan.steps):
        return slice_profile(plan, asked)[0], [] if asked is None else [_NO_USE]
    if asked is not None:
        return slice_profile(plan, asked)[0], []
    found, unread = (said, None) if said is not None else beside or volumes.read_slice_thickness(source)
    profile, unlikely = slice_profile(plan, None, found)
    used = None
    if profile is not None and abs(profile.thickness - 1) > _EQUAL:
        where = "the JSON file beside it" if said is None else "its DICOM header"
        used = f"its slices are {found:.4g} mm thick, as {where} says"
    return profile, [note for note in (unread, unlikely, used) if note]

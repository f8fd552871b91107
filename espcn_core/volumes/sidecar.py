"""What the JSON file of a BIDS data set beside a volume says of its slices."""

from __future__ import annotations

import json
from pathlib import Path

_LONGEST = 1 << 24
"""Bytes: more is no sidecar."""


def read_slice_thickness(path: Path) -> tuple[float | None, str | None]:
    """The slice thickness of a volume's file, from the JSON file of the same name.

    Parameters
    ----------
    path : Path
        NAME.nii.gz, NAME.mha or the like; NAME.json is read.

    Returns
    -------
    float or None
        ``SliceThickness`` in mm; None if it is not there or is no number above 0.
    str or None
        A sentence if something is there that cannot be used.
    """
    from espcn_core.volumes.formats import ending_of

    ending = ending_of(path.name) or path.suffix
    sidecar = path.with_name(path.name[: len(path.name) - len(ending)] + ".json")
    if not sidecar.is_file():
        return None, None
    try:
        if sidecar.stat().st_size > _LONGEST:
            raise ValueError
        content = json.loads(sidecar.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None, f"{sidecar.name} is no JSON that can be read, and is left out"
    thickness = content.get("SliceThickness") if isinstance(content, dict) else None
    if thickness is None:
        return None, None
    if isinstance(thickness, bool) or not isinstance(thickness, int | float) or not 0 < thickness < 1e6:
        return None, f"SliceThickness in {sidecar.name} is no length in mm, and is left out"
    return float(thickness), None

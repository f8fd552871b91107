"""A data set without identity, by the Basic Application Level Confidentiality Profile of DICOM PS3.15.

`confidentiality.txt` holds the profile's table E.1-1 (annex E), which names an action for each element:

==========  =================================================================================================
action      what is done
==========  =================================================================================================
X           the element is removed
Z, X/Z      it stays, empty
D and what  it gets a value that means nothing: ANONYMISED, 0, 1 January 1900
ends in it
U           a new UID, the same one for the same UID everywhere
X/Z/U*      a sequence that refers to instances: its items are gone through like the data set itself
==========  =================================================================================================

What the table does not name is kept, as the profile has it, but for private and unknown elements, and names
and texts of any length (ST, LT, UC, UR, UT, UN, PN), which are removed. Sequences that are kept are gone
through.

A new UID is a hash of the old one. So the series of a study that are anonymised in several calls stay
together; and who has the old UID can find the new one.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from espcn_core import __version__
from espcn_core.errors import VolumeError
from espcn_core.volumes.dicom.values import code

_FREE_TEXT = ("ST", "LT", "UC", "UR", "UT", "UN", "PN")
_NOTHING: dict[str, Any] = {
    "AS": "000Y", "DA": "19000101", "TM": "000000", "DT": "19000101000000", "DS": "0", "IS": "0", "FD": 0.0,
    "FL": 0.0, "SL": 0, "SS": 0, "UL": 0, "US": 0, "OB": b"\0\0", "OW": b"\0\0", "UN": b"\0\0", "SQ": [],
    "UR": "urn:anonymised", "PN": "Anonymised^",
}  # fmt: skip


def anonymise(data: Any, name: str) -> None:
    """Take the identity out of a data set, in place, and say so in it.

    Parameters
    ----------
    data : pydicom.Dataset
    name : str
        What messages call it.

    Raises
    ------
    VolumeError
        If it says that its pixels show a name or the like.
    """
    if str(data.get("BurnedInAnnotation", "NO")).strip().upper() == "YES":
        raise VolumeError(
            f"{name} says that text is burned into its pixels, which --anonymise cannot remove; "
            "leave it out, or clean its pixels first"
        )
    _clean(data)
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = f"PS3.15 Basic Profile (2026c) by espcn-core {__version__}"
    data.DeidentificationMethodCodeSequence = [code("113100", "Basic Application Confidentiality Profile")]
    data.LongitudinalTemporalInformationModified = "REMOVED"


def new_uid(*parts: str | bytes) -> str:
    """A UID under 2.25 that is a hash of the parts, so the same for the same parts."""
    digest = hashlib.sha256()
    for part in parts:
        block = part.encode() if isinstance(part, str) else part
        digest.update(len(block).to_bytes(8, "big") + block)
    return f"2.25.{int.from_bytes(digest.digest()[:16], 'big')}"


def _clean(data: Any) -> None:
    from pydicom.datadict import dictionary_has_tag

    for tag in list(data.keys()):
        action = _actions().get(f"{tag:08X}") or _repeating(tag)
        known = dictionary_has_tag(tag)
        if tag.is_private or action == "X" or (action is None and not known):
            del data[tag]
            continue
        try:
            element = data[tag]
            kind = element.VR
        except Exception:  # what cannot be read is not kept
            del data[tag]
            continue
        if action is None and kind in _FREE_TEXT:
            del data[tag]
        elif kind == "SQ" and action in (None, "X/Z/U*"):
            for item in element.value:
                _clean(item)
        elif action == "U" or (kind == "UI" and action is not None):
            several = element.VM > 1
            element.value = [new_uid("anonymised", u) for u in element.value] if several else (
                new_uid("anonymised", str(element.value)) if element.value else ""
            )  # fmt: skip
        elif action in ("Z", "X/Z"):
            element.value = [] if kind == "SQ" else None
        elif action is not None:
            element.value = _NOTHING.get(kind, "ANONYMISED")


def _repeating(tag: int) -> str | None:
    """Curves and overlays, whose group numbers are many."""
    group = f"{tag >> 24:02X}xx"
    return _actions().get(f"{group}xxxx") or _actions().get(f"{group}{tag & 0xFFFF:04X}")


@functools.cache
def _actions() -> dict[str, str]:
    text = Path(__file__).with_name("confidentiality.txt").read_text(encoding="ascii")
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {tag: action for tag, action in lines}

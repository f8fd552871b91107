"""The one family of errors whose message is meant for the user."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EspcnError(Exception):
    """Something that the user can act on; the message is one sentence that names the value and the remedy."""


class RequestError(EspcnError, ValueError):
    """The call itself is wrong: an unknown model, a scale that no model has, a plane that is not there."""


class VolumeError(EspcnError, ValueError):
    """An image that cannot be read, upscaled or written."""


class WeightsError(EspcnError, ValueError):
    """A weight file or its card that cannot be trusted or used."""


class DataError(EspcnError, ValueError):
    """A data set that is missing, broken or not what it should be."""


class DeviceMemoryError(EspcnError):
    """The memory of a graphics card is too small, or in use by other programs."""


class CancelledError(EspcnError):
    """The user stopped the run before it was done."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known ones, or all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(known)}"

"""The one family of errors whose message is meant for the user."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 1000
"""Characters of a message; a hostile file may hold a name of any length."""


class EspcnError(Exception):
    """Something that the user can act on; the message is one sentence that names the value and the remedy.

    It is one plain line whatever it quotes: characters that cannot be printed, such as line breaks and bytes
    of a name that are not UTF-8, are escaped, and the middle of what is very long is left out.
    """

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}"
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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


class ManifestError(EspcnError):
    """The manifest of a cohort cannot be read or written."""


class CancelledError(EspcnError):
    """The user stopped the run before it was done."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known ones, or all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(known)}"


def explain(error: Exception) -> str:
    """A sentence about any error."""
    if isinstance(error, EspcnError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory: close other programs, or use fewer --jobs or another machine"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror[0].lower()}{error.strerror[1:]}"
    return f"unexpected error, {type(error).__name__}: {error} (run with --debug to see where)"

"""What a cohort is made with: all that changes voxels, to be compared with that of another day."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from espcn_core import __version__
from espcn_core.cohort.work import Wanted
from espcn_core.errors import EspcnError
from espcn_core.models.cards import find_weights, read_card


def parameters_of(wanted: Wanted, *, precision: str, engine: str, trust: bool) -> str:
    """What changes voxels, as canonical JSON: keys sorted, without spaces. A model is named by its hash."""
    request = wanted.request
    return canonical(
        {
            "scale": request.scale,
            "spacing": request.spacing,
            "plane": request.plane,
            "model": None if request.model is None else hash_of(request.model),
            "dtype": wanted.dtype,
            "slice_thickness": wanted.slice_thickness,
            "consistent": wanted.consistent,
            "force": wanted.force,
            "anonymise": wanted.anonymise,
            "trust": trust,
            "precision": precision,
            "engine": engine,
            "version": __version__,
        }
    )


def canonical(content: Any) -> str:
    """The one JSON text of some content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def hash_of(model: str) -> str:
    """The SHA-256 of weights, as their card says it; whoever loads them compares.

    Raises
    ------
    EspcnError
        If there are no such weights.
    """
    return read_card(find_weights(model).with_suffix(".json")).sha256


def difference(before: str, now: str) -> str:
    """Which parameters differ, for a sentence; empty if none does."""
    old, new = json.loads(before), json.loads(now)
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return ", ".join(f"{name} {_short(old.get(name))} rather than {_short(new.get(name))}" for name in names)


def changed_model(used: Iterable[str], now: str) -> str | None:
    """The name of shipped weights that are no longer those that some results were made with.

    Parameters
    ----------
    used : iterable of str
        For some results, a JSON object of the names of weights and their hashes.
    now : str
        The parameters of this call; the model that they name is compared there.
    """
    given = json.loads(now)["model"]
    for name, before in {item for text in used for item in json.loads(text).items()}:
        try:
            if before != given and hash_of(name) != before:
                return str(name)
        except EspcnError:
            return str(name)
    return None


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    if value is None:
        return "not stated"
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text

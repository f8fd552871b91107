"""What is looked at in a configuration before a run, each with a sentence of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from espcn_core.errors import RequestError, did_you_mean
from espcn_core.models.registry import build


def checked(name: str, value: Any, kind: Any) -> object:
    """The value, if it has the type of its field, else `RequestError`; a whole number will do for a float."""
    types: dict[str, type | tuple[type, ...]]
    types = {
        "str": str,
        "int": int,
        "float": (int, float),
        "bool": bool,
        "dict[str, Any]": dict,
        "list[Any]": list,
    }
    if isinstance(value, bool) != (kind == "bool") or not isinstance(value, types[kind]):
        words = {
            "str": "text",
            "int": "a whole number",
            "float": "a number",
            "bool": "true or false",
            "dict[str, Any]": "a table",
            "list[Any]": "a list",
        }
        raise RequestError(f"{name} is {value!r}: it must be {words[kind]}")
    if kind == "float":
        number = float(value)  # type: ignore[arg-type]
        if not abs(number) < float("inf"):
            raise RequestError(f"{name} is {value}: it must be finite")
        return number
    return value


def is_number(value: object) -> bool:
    """Whether it is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def one_of(name: str, value: str, known: Any) -> None:
    """Raise `RequestError` if a value is not among those that are known."""
    if value not in known:
        raise RequestError(f"{name} is {value!r}{did_you_mean(value, known)}")


def at_least(settings: object, least: int, *names: str) -> None:
    """Raise `RequestError` if one of some settings is smaller than that."""
    for name in names:
        if getattr(settings, name) < least:
            raise RequestError(f"{name} is {getattr(settings, name)}: it must be at least {least}")


def try_network(model: str, factor: tuple[int, int], arguments: Mapping[str, Any]) -> None:
    """Raise `RequestError` if a network cannot be built, or cannot see an image.

    It takes no memory and leaves no trace in torch's random state.
    """
    try:
        with torch.random.fork_rng(devices=()), torch.inference_mode(), torch.device("meta"):
            build(model, factor, **arguments)(torch.empty(1, 1, 8, 8))
    except RequestError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RequestError(f"arguments is {arguments}: {model} does not take that ({reason})") from None

"""Super-resolution of medical volumes by an efficient sub-pixel convolutional network (ESPCN)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from espcn_core.api import upscale
    from espcn_core.errors import EspcnError
    from espcn_core.grid import Grid

__all__ = ["EspcnError", "Grid", "upscale"]

__version__ = "0.1.0"

_HOMES = {"EspcnError": "espcn_core.errors", "Grid": "espcn_core.grid", "upscale": "espcn_core.api"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: importing torch takes seconds, and help should not wait."""
    if name not in _HOMES:
        raise AttributeError(f"module 'espcn_core' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)

"""Stand-in for ``slicer.i18n``: the texts of the source, as in an application set to English."""

from __future__ import annotations


def translate(context: str, text: str) -> str:
    return text


def tr(text: str) -> str:
    return text

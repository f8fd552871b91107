"""Numbers as text, and tables as HTML that scroll on a phone and sort where there is JavaScript."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Cell:
    """What a table shows in one place.

    Attributes
    ----------
    html : str
        Already escaped.
    key : float or str or None
        What a column is sorted by; None goes last.
    kind : str
        CSS class.
    """

    html: str
    key: float | str | None = None
    kind: str = ""


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A number with a fixed count of decimals, a true minus, no sign if it is zero; a dash for None."""
    if value is None:
        return MISSING
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def significant(value: float | None) -> str:
    """A number with three significant digits, or all that are before the point."""
    if value is None:
        return MISSING
    form = ".0f" if abs(value) >= 100 else "#.3g"
    return f"{value:{form}}".replace("-", MINUS)


def p_value(value: float | None) -> str:
    """A p as it is printed in papers."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def text(value: str, kind: str = "") -> Cell:
    """Words."""
    return Cell(escape(value), value, f"word {kind}".strip())


def measured(
    value: Mapping[str, Any] | None,
    digits: int,
    *,
    sign: bool = False,
    kind: str = "",
    note: str = "",
    ends: int | None = None,
) -> Cell:
    """An aggregate: the mean, and under it the 95 % interval, whose ends may have other ``digits``."""
    if value is None or value["mean"] is None:
        return Cell(f"{MISSING}<small></small>", None, kind)
    html = number(value["mean"], digits, sign=sign) + note
    if value["low"] is not None:
        shown = digits if ends is None else ends
        low, high = (number(value[end], shown, sign=sign) for end in ("low", "high"))
        html += f"<small>{low} to {high}</small>"
    else:
        html += "<small></small>"  # keeps the numbers of a column below each other
    return Cell(html, value["mean"], kind)


def sentence(value: str) -> str:
    """Escaped words with a true minus before numbers."""
    return re.sub(r"(?<!\w)-(?=\d)", MINUS, escape(value))


def table(
    caption: str,
    columns: Sequence[str],
    groups: Sequence[tuple[str, Sequence[Sequence[Cell]]]],
    kind: str = "",
) -> str:
    """A table; each group is sorted by itself.

    Parameters
    ----------
    caption : str
        Plain text, also the name of the region that scrolls.
    columns : sequence of str
        Heads, with units.
    groups : sequence of (title, rows)
        The title may be empty. The first cell of a row is its head.
    kind : {"", "inline", "dense", "dense matrix"}
        With intervals beside the means where there is room, with many columns, and with narrow names as well.
    """
    words = [cell.kind.startswith("word") for cell in groups[0][1][0]]
    heads = "".join(
        f'<th scope="col"{" class=word" if word else ""}>{escape(column)}</th>'
        for column, word in zip(columns, words, strict=True)
    )
    bodies = "".join(_body(title, rows, len(columns)) for title, rows in groups)
    shown = f' class="{kind}"' if kind else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table{shown}>'
        f"<caption><span>{escape(caption)}</span></caption><thead><tr>{heads}</tr></thead>{bodies}</table></div>"
    )


def terms(pairs: Sequence[tuple[str, str]]) -> str:
    """A list of names and what they stand for; the second of each pair is HTML."""
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{html}</dd></div>" for name, html in pairs)
    return f"<dl>{items}</dl>"


def _body(title: str, rows: Sequence[Sequence[Cell]], columns: int) -> str:
    head = (
        f'<tr class="group"><th scope="rowgroup" colspan="{columns}"><span>{escape(title)}</span></th></tr>'
        if title
        else ""
    )
    return f"<tbody>{head}{''.join(_row(row) for row in rows)}</tbody>\n"


def _row(row: Sequence[Cell]) -> str:
    cells = []
    for place, cell in enumerate(row):
        key = "" if cell.key is None else f' data-key="{escape(str(cell.key))}"'
        kind = f' class="{cell.kind}"' if cell.kind else ""
        tag, scope = ("th", ' scope="row"') if place == 0 else ("td", "")
        cells.append(f"<{tag}{scope}{key}{kind}>{cell.html}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"

"""``espcn-core models``: which trained weights there are, and what must be known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="List the trained weights, or show the card of one.")


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the trained weights, or show the card of one."""
    if context.invoked_subcommand is None:
        list_command()


@app.command("list")
def list_command() -> None:
    """List the trained weights: scale, size, PSNR and its gain over bicubic, degradations of the training."""
    import dataclasses

    from rich.console import Console
    from rich.table import Table

    from espcn_core.evaluation.trained import trained
    from espcn_core.models.cards import shipped_cards
    from espcn_core.models.registry import parameter_count
    from espcn_core.models.trained import load_model

    table = Table("name", "scale", "parameters", "dB", "gain", "trained on")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name in shipped_cards():
        network, card = load_model(name)
        rows, columns = card.factor
        table.add_row(
            name,
            str(rows) if rows == columns else f"{rows}x{columns}",
            f"{parameter_count(network):,}",
            _number(card.metrics.get("psnr"), ".2f"),
            _number(card.metrics.get("gain"), "+.2f"),
            trained(dataclasses.asdict(card)).short,
        )
    Console().print(table)


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of the list, or a .safetensors file.")],
) -> None:
    """Show the card of trained weights: what they are, how good and on what, what they were trained on."""
    import dataclasses

    from rich.console import Console

    from espcn_core.models.trained import load_model

    _, card = load_model(name)
    content = dataclasses.asdict(card)
    training, metrics = content.pop("training"), content.pop("metrics")
    tables = [table(metrics.pop(key)) for key, table in _TABLES.items() if isinstance(metrics.get(key), dict)]
    if "trained_slices" in training:
        training["trained_slices"] = training.pop("trained_slices")  # long: last
    console = Console()
    for part in (_grid(content), _grid({"metrics": metrics}), *tables, _grid({"training": training})):
        console.print(part)


def _grid(content: dict[str, Any]) -> Table:
    """Keys and values side by side."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for key, value in _lines(content):
        grid.add_row(Text(key, style="bold"), Text(value))
    return grid


def _regions(regions: dict[str, Any]) -> Table:
    """PSNR and gain by region of the slices."""
    rows = [
        (region, _measured(cell.get("psnr"), ".2f"), _measured(cell.get("gain"), "+.2f"))
        for region, cell in regions.items()
        if isinstance(cell, dict)
    ]
    return _table(("region", "PSNR, dB (95 % interval)", "gain over bicubic, dB"), rows, "")


def _degradations(measured: dict[str, Any]) -> Table:
    """Gain by the way in which coarse slices were made."""
    gains = measured.get("gain")
    rows = [(how, _measured(gain, "+.2f")) for how, gain in _items(gains)]
    return _table(("made coarser by", "gain over bicubic, dB (95 % interval)"), rows, _source(measured))


def _volumes(measured: dict[str, Any]) -> Table:
    """Gain on volumes of other scanners or subjects."""
    rows = [
        (name, str(cell.get("degradation", "-")), _measured(cell.get("gain"), "+.2f"), _source(cell))
        for name, cell in measured.items()
        if isinstance(cell, dict)
    ]
    for cell in measured.values():
        each = cell.get("each") if isinstance(cell, dict) else None
        if isinstance(each, dict):
            rows += [(f"  {volume}", "", _number(gain, "+.2f"), "") for volume, gain in each.items()]
    return _table(("volumes", "made coarser by", "gain over bicubic, dB", "how"), rows, "")


_TABLES: dict[str, Callable[[dict[str, Any]], Table]] = {
    "regions": _regions,
    "degradations": _degradations,
    "volumes": _volumes,
}
"""The parts of `Card.metrics` that are shown as tables of their own."""


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], caption: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, caption=Text(caption) if caption else None, caption_justify="left")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _source(measured: dict[str, Any]) -> str:
    counts = f"{measured.get('slices', '-')} slices of {measured.get('patients', '-')} patients"
    return f"{counts}: {measured.get('command', '-')}"


def _measured(value: object, form: str) -> str:
    """A mean with its 95 % interval; of one patient there is none."""
    cell = value if isinstance(value, dict) else {}
    mean, low, high = (_number(cell.get(key), form) for key in ("mean", "low", "high"))
    return mean if low == "-" else f"{mean} ({low} to {high})"


def _items(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _lines(content: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, str]]:
    """Keys and values, those of an object indented under its key."""
    for key, value in content.items():
        label = "  " * depth + key.replace("_", " ")
        if isinstance(value, dict):
            yield label, "" if value else "-"
            yield from _lines(value, depth + 1)
        elif isinstance(value, (list, tuple)):
            yield label, _joined(key, value)
        else:
            yield label, str(value)


def _joined(key: str, value: list[Any] | tuple[Any, ...]) -> str:
    """The entries of a list; the two ends of a range, with what it is a range of."""
    from espcn_core.models.ranges import SPACING_RANGE, STATISTICS

    if key in (SPACING_RANGE, *STATISTICS):
        meaning = f" ({STATISTICS[key]})" if key in STATISTICS else ""
        return " to ".join(map(str, value)) + meaning
    return (" x " if key == "factor" else ", ").join(map(str, value))


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, (int, float)) else "-"

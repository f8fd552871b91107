"""``espcn-core models``: which trained weights there are, and what must be known of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

app = typer.Typer(help="List the trained weights, or show the card of one.")


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the trained weights, or show the card of one."""
    if context.invoked_subcommand is None:
        list_command()


@app.command("list")
def list_command() -> None:
    """List the trained weights: scale, size, training data and quality."""
    from rich.console import Console
    from rich.table import Table

    from espcn_core.models import parameter_count
    from espcn_core.models.cards import find_weights, load_model, shipped_cards

    table = Table("name", "scale", "parameters", "kB", "dB", "over bicubic", "trained on")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name in shipped_cards():
        network, card = load_model(name)
        rows, columns = card.factor
        table.add_row(
            name,
            str(rows) if rows == columns else f"{rows}x{columns}",
            f"{parameter_count(network):,}",
            f"{find_weights(name).stat().st_size / 1000:.0f}",
            _number(card.metrics.get("psnr"), ".2f"),
            _number(card.metrics.get("gain"), "+.2f"),
            str(card.training.get("data", "")),
        )
    Console().print(table)


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of the list, or a .safetensors file.")],
) -> None:
    """Show the card of trained weights."""
    import dataclasses

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from espcn_core.models.cards import load_model

    _, card = load_model(name)
    table = Table.grid(padding=(0, 2))
    for key, value in _lines(dataclasses.asdict(card)):
        table.add_row(Text(key, style="bold"), Text(value))
    Console().print(table)


def _lines(content: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, str]]:
    """Keys and values, those of an object indented under its key."""
    for key, value in content.items():
        label = "  " * depth + key.replace("_", " ")
        if isinstance(value, dict):
            yield label, "" if value else "-"
            yield from _lines(value, depth + 1)
        elif isinstance(value, (list, tuple)):
            yield label, " x ".join(map(str, value)) if key == "factor" else ", ".join(map(str, value))
        else:
            yield label, str(value)


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, (int, float)) else "-"

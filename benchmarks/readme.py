"""Write the README's numbers from the cards of the shipped weights (`benchmarks.cards` fills those).

    python -m benchmarks.readme [--check]

The tables stand between HTML comments, ``<!-- quality -->`` to ``<!-- /quality -->``. With `--check` nothing
is written, and the exit code is 1 if the README says something else than the cards.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espcn_core.models.cards import Card, shipped_cards

README = Path(__file__).parents[1] / "README.md"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if it would change")
    options = parser.parse_args(arguments)
    old = README.read_text(encoding="utf-8")
    new = filled(old, shipped_cards())
    if new == old:
        print("the README says what the cards say")
    elif options.check:
        sys.exit("the README does not say what the cards say: python -m benchmarks.readme writes it")
    else:
        README.write_text(new, encoding="utf-8")
        print("the README's numbers are new")


def filled(text: str, cards: Mapping[str, Card]) -> str:
    """The text of a README with the tables of these cards between its marks."""
    tables = {"quality": quality, "degradations": degradations, "volumes": volumes, "through": through}
    for name, block in ((name, table(cards)) for name, table in tables.items()):
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            sys.exit(f"the README has no {begin} ... {end} to write the numbers into")
        text = f"{before}{begin}\n{block}\n{end}{after}"
    return text


def quality(cards: Mapping[str, Card]) -> str:
    """PSNR, SSIM and gain of each model on the degradation that its card names."""
    rows = []
    flat = {name: card for name, card in cards.items() if card.factor[0] == card.factor[1]}
    for name, card in flat.items():
        m = card.metrics
        regions = m["regions"]
        rows.append(
            (
                f"`{name}`",
                m["degradation"],
                f"{m['bicubic_psnr']:.2f} / {m['bicubic_ssim']:.4f}",
                f"{m['psnr']:.2f} / {m['ssim']:.4f}",
                f"**{m['gain']:+.2f}** ({_interval(regions['image']['gain'])})",
                *(f"{regions[region]['gain']['mean']:+.2f}" for region in ("head", "tumor")),
            )
        )
    columns = (
        "model",
        "slices",
        "bicubic, dB / SSIM",
        "model, dB / SSIM",
        "gain, dB (95 % interval)",
        "in the head",
        "in the tumor",
    )
    return _with_commands(_table(columns, rows), [card.metrics for card in flat.values()])


def degradations(cards: Mapping[str, Card]) -> str:
    """Gain over bicubic of each model on each degradation."""
    measured = {name: card.metrics.get("degradations") for name, card in cards.items()}
    known = {name: cell for name, cell in measured.items() if cell}
    columns = list(dict.fromkeys(how for cell in known.values() for how in cell["gain"]))
    rows = [
        (
            f"`{name}`",
            *(f"{cell['gain'][how]['mean']:+.2f}" if how in cell["gain"] else "" for how in columns),
        )
        for name, cell in known.items()
    ]
    heads = [how.replace("+rician2", " + noise") for how in columns]
    return _with_commands(_table(("gain, dB", *heads), rows), list(known.values()))


def volumes(cards: Mapping[str, Card]) -> str:
    """Gain over bicubic of each model on each volume that is no slice of the data set."""
    measured = [
        (name, cell) for name, card in cards.items() for cell in card.metrics.get("volumes", {}).values()
    ]
    columns = list(dict.fromkeys(volume for _, cell in measured for volume in cell["each"]))
    rows = [
        (f"`{name}`", *(f"{cell['each'][v]:+.2f}" if v in cell["each"] else "" for v in columns))
        for name, cell in measured
    ]
    return _with_commands(_table(("gain, dB", *columns), rows), [cell for _, cell in measured], "volumes")


def through(cards: Mapping[str, Card]) -> str:
    """Gain over B-spline along thick axes, by volume and factor."""
    cells = {
        card.factor[1]: cell
        for card in cards.values()
        for cell in card.metrics.get("through_plane", {}).values()
    }
    rows = [
        (
            name,
            *(
                f"{cells[r]['gain'][name]:+.2f} ({cells[r]['least'][name]:+.2f})"
                if name in cells[r]["gain"]
                else ""
                for r in sorted(cells)
            ),
        )
        for name in dict.fromkeys(volume for cell in cells.values() for volume in cell["gain"])
    ]
    table = _table(("gain, dB", *(f"x{r}" for r in sorted(cells))), rows)
    commands = dict.fromkeys(cell["command"] for cell in cells.values())
    return "\n".join([table, "", "The same again by", "", "```", *commands, "```"])


def _with_commands(table: str, sources: Sequence[Mapping[str, Any]], units: str = "patients") -> str:
    """A table, how many slices it is of, and the commands that give it again."""
    counts = dict.fromkeys(f"{source['slices']} slices of {source['patients']} {units}" for source in sources)
    commands = dict.fromkeys(source["command"] for source in sources)
    return "\n".join([table, "", f"{', or '.join(counts)}; the same again by", "", "```", *commands, "```"])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in columns[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *rows))


def _interval(value: Mapping[str, float]) -> str:
    return f"{value['low']:+.2f} to {value['high']:+.2f}"


if __name__ == "__main__":
    main()

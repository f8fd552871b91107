"""The card of trained weights: a JSON file beside a safetensors file that says what the weights are."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espcn_core.errors import RequestError, WeightsError, did_you_mean
from espcn_core.files import is_plain_name
from espcn_core.models.ranges import check_ranges

SHIPPED = Path(__file__).parent / "weights"
"""The folder of the weights that come with the package."""

DEFAULT_FAMILY = "espcn-r"
"""The network whose shipped weights are taken where nobody names a model."""

_LONGEST = 1 << 24
"""Bytes: more is no card."""


@dataclass(frozen=True)
class Card:
    """What a reader must know of trained weights before using or quoting them.

    Attributes
    ----------
    name : str
        What the weights are called on the command line.
    architecture : str
        Key of `espcn_core.models.registry.ARCHITECTURES`.
    factor : (r_row, r_col)
        Fine pixels per coarse pixel along each axis of a slice.
    degradation : str
        How the coarse images of the training came from the fine ones (`espcn_core.degradation`).
    arguments : dict
        What the architecture's class takes beyond the factor.
    training : dict
        Data set, its licence, number of patients and slices, held-out fold, spacing (mm), contrast, command;
        what a volume must look like not to be warned of (`espcn_core.models.ranges`).
    metrics : dict
        What was measured, on what, and the command that gives it again. For shipped weights
        `benchmarks.cards` fills it from the reports of ``espcn-core evaluate``, and says how.
    not_for : str
        What the weights must not be used for.
    sha256 : str
        Of the safetensors file, in hexadecimal.
    """

    name: str
    architecture: str
    factor: tuple[int, int]
    degradation: str
    arguments: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    not_for: str = "Diagnosis, or any decision about a patient."
    sha256: str = ""

    def to_json(self) -> str:
        """The text of the card's file."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def shipped_cards() -> dict[str, Card]:
    """The cards of the weights that come with the package, by name."""
    return {path.stem: read_card(path) for path in sorted(SHIPPED.glob("*.json"))}


def default_model(factor: tuple[int, int]) -> str:
    """Name of the shipped weights that are taken for a factor where nobody names a model.

    They are called by family and scale alone: ``espcn-r-x2``, or ``espcn-r-through-x4`` for the factors
    (1, 4) of thick slices. Specialists have longer names.

    Raises
    ------
    RequestError
        If no such weights have that factor.
    """
    defaults = {
        card.factor: name
        for name, card in shipped_cards().items()
        if name == f"{DEFAULT_FAMILY}-{_short(card.factor)}"
    }
    if factor in defaults:
        return defaults[factor]
    raise RequestError(
        f"no model has scale {_times(factor)}: there are models for scale "
        f"{', '.join(map(_times, sorted(defaults)))}, or name a weight file of yours"
    )


def find_weights(model: str | Path) -> Path:
    """Path of the safetensors file of a shipped model's name, or of a file.

    Raises
    ------
    RequestError
        If no shipped model has that name and no file is there.
    """
    shipped = SHIPPED / f"{model}.safetensors"
    if shipped.parent == SHIPPED and shipped.is_file():
        return shipped
    path = Path(model)
    if path.suffix == ".safetensors":
        if path.is_file():
            return path
        raise RequestError(f"there is no weight file {path}")
    names = [path.stem for path in SHIPPED.glob("*.safetensors")]
    raise RequestError(f"no model is called {str(model)!r}{did_you_mean(str(model), names)}")


def read_card(path: Path) -> Card:
    """The card in a JSON file.

    Raises
    ------
    WeightsError
        If the file is missing, is not JSON, lacks or adds a field, or has one of another form.
    """
    try:
        if path.stat().st_size > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(
            f"{path.name} is missing: weights are only used with the card they came with"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path.name} is not a readable card: {error}") from error
    fields = {f.name: f for f in dataclasses.fields(Card)}
    if not isinstance(content, dict) or set(content) != set(fields):
        odd = set(content) ^ set(fields) if isinstance(content, dict) else set(fields)
        raise WeightsError(f"{path.name} is not a card of this version: check {', '.join(sorted(odd))}")
    factor = content["factor"]
    if not (
        isinstance(factor, list) and len(factor) == 2 and all(type(r) is int and 1 <= r <= 16 for r in factor)
    ):
        raise WeightsError(f"{path.name} gives the factor {factor!r}, not two whole numbers from 1 to 16")
    texts = ("name", "architecture", "degradation", "not_for", "sha256")
    objects = ("arguments", "training", "metrics")
    for names, kind in ((texts, str), (objects, dict)):
        for name in names:
            if not isinstance(content[name], kind):
                raise WeightsError(
                    f"{path.name} gives {name} as {type(content[name]).__name__}, not {kind.__name__}"
                )
    if not is_plain_name(content["name"]):
        raise WeightsError(f"{path.name} gives the name {content['name']!r}, which is not a plain file name")
    try:
        check_ranges(content["training"])
    except ValueError as error:
        raise WeightsError(f"{path.name} {error}") from None
    return Card(**{**content, "factor": (factor[0], factor[1])})


def _short(factor: tuple[int, int]) -> str:
    return f"through-x{factor[1]}" if factor[0] == 1 else f"x{_times(factor)}"


def _times(factor: tuple[int, int]) -> str:
    rows, columns = factor
    return str(rows) if rows == columns else f"{rows}x{columns}"

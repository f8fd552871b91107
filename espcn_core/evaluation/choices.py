"""From what is asked for to what is measured, with everything that can be refused refused at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from espcn_core.degradation import KINDS
from espcn_core.errors import DataError, RequestError, WeightsError, did_you_mean
from espcn_core.evaluation.cases import NOISY, Cases, FigshareCases, VolumeCases
from espcn_core.evaluation.methods import BASELINES, Network, find_methods
from espcn_core.models.cards import Card, default_model
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.slices import evenly

ALL = ("bicubic", "area", "gaussian", "kspace")
"""The degradations of the matrix; each of them also with noise, and then `point`."""


@dataclass(frozen=True)
class Measurement:
    """All that decides the numbers.

    Attributes
    ----------
    cases : Cases
    fold : int or None
        Of the figshare data set, if not all slices are measured.
    methods : tuple of str
        What `find_methods` takes.
    scale : int
        Fine pixels per coarse pixel along both axes of a slice.
    degradations : tuple of str
        The first is the one of the tables, the shifts and the examples.
    """

    cases: Cases
    fold: int | None
    methods: tuple[str, ...]
    scale: int
    degradations: tuple[str, ...]


def choose(
    data: Path,
    methods: Sequence[str] = (),
    degradations: Sequence[str] = ("bicubic",),
    *,
    scale: int | None = None,
    shrink: int | None = None,
    fold: int | None = None,
    plane: str = "auto",
    limit: int | None = None,
) -> Measurement:
    """What a request comes to.

    Parameters
    ----------
    data : Path
        A form of the figshare data set (`espcn_core.figshare.open_source`), a NIfTI file, or a folder that is
        searched for such files.
    methods : sequence of str
        Baselines, names of shipped weights, weight files; ``bicubic`` is always among them. Without any, the
        shipped model of the scale, or of 4, and all baselines.
    degradations : sequence of str
        Kinds of `espcn_core.degradation`, alone or with ``+rician2`` behind them; ``all`` for the matrix.
    scale : int, optional
        Only needed for baselines alone.
    shrink : int, optional
        Makes each slice so many times coarser first. By default what was done in the models' training, and
        nothing to volumes.
    fold : int, optional
        Of the figshare data set. By default the one that the models have not been trained on; without models
        all slices.
    plane : str
        Of the slices of volumes.
    limit : int, optional
        About so many slices in all, evenly spread.

    Raises
    ------
    RequestError
        If a name is unknown, methods do not fit each other or the data, or a model was trained on what would
        be measured.
    DataError
        If there is nothing to measure.
    """
    names = list(methods) or [default_model((scale or 4, scale or 4)), *BASELINES]
    if "bicubic" not in names:
        names.append("bicubic")  # what gains are measured against
    found = find_methods(names, Engines("cpu"))
    cards = {name: method.card for name, method in found.items() if isinstance(method, Network)}
    scale = choose_scale(cards, scale)
    chosen = choose_degradations(degradations)
    cases, fold = choose_cases(data, cards, scale=scale, shrink=shrink, fold=fold, plane=plane, limit=limit)
    return Measurement(cases, fold, tuple(names), scale, chosen)


def choose_degradations(asked: Sequence[str]) -> tuple[str, ...]:
    """The degradations of a request, ``all`` written out; the first is the one of the tables.

    Raises
    ------
    RequestError
        If a name is unknown or comes twice.
    """
    names = [
        one
        for name in asked
        for one in ((*ALL, *(kind + NOISY for kind in ALL), "point") if name == "all" else (name,))
    ]
    known = [*KINDS, *(kind + NOISY for kind in KINDS)]
    for name in names:
        if name not in known:
            raise RequestError(f"no degradation is called {name!r}{did_you_mean(name, known)}")
        if names.count(name) > 1:
            raise RequestError(f"{name} is asked for twice in --degradation: name each degradation once")
    return tuple(names)


def choose_scale(cards: Mapping[str, Card], asked: int | None) -> int:
    """The scale that all models have, or the one that is asked for if there are only baselines.

    Raises
    ------
    RequestError
        If models differ from each other or from what is asked for, or there is nothing to go by.
    """
    scales = {name: card.factor for name, card in cards.items()}
    for name, (rows, columns) in scales.items():
        if rows != columns:
            raise RequestError(
                f"{name} has scale {rows}x{columns}: only models with the same for both axes are compared"
            )
    names = list(scales)
    for name in names[1:]:
        if scales[name] != scales[names[0]]:
            raise RequestError(
                f"{names[0]} has scale {scales[names[0]][0]} and {name} {scales[name][0]}: "
                "models of one scale are compared, evaluate the others in a call of their own"
            )
    if not names:
        if asked is None:
            raise RequestError("baselines alone have no scale of their own: give --scale")
        return asked
    scale = scales[names[0]][0]
    if asked not in (None, scale):
        raise RequestError(f"{names[0]} has scale {scale}, not {asked}: leave out --scale, or the model")
    return scale


def choose_shrink(cards: Mapping[str, Card]) -> int:
    """By how much the models' own slices were made coarser before anything else; 1 without models.

    Raises
    ------
    RequestError
        If models differ.
    """
    found = {name: int(card.training.get("config", {}).get("shrink", 1)) for name, card in cards.items()}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{name} {shrink}" for name, shrink in found.items())
        raise RequestError(
            f"the models were trained on slices shrunk by different factors ({listed}): give --shrink"
        )
    return next(iter(found.values()), 1)


def choose_cases(
    data: Path,
    cards: Mapping[str, Card],
    *,
    scale: int,
    shrink: int | None,
    fold: int | None,
    plane: str,
    limit: int | None,
) -> tuple[Cases, int | None]:
    """The slices of the figshare data set, or of NIfTI volumes, whichever is at ``data``, and the fold.

    The arguments, and what is raised, are those of `choose`; the cards are those of the models.
    """
    volumes = list(volume_paths(data))
    if volumes:
        if fold is not None:
            raise RequestError("--fold is one of the figshare data set, and volumes have none: leave it out")
        base = data if data.is_dir() else data.parent
        names = tuple(without_ending(path.relative_to(base).as_posix()) for path in volumes)
        for name in names:
            if names.count(name) > 1:
                raise RequestError(f"{data} holds two volumes called {name}: rename or remove one of them")
        most = None if limit is None else max(1, round(limit / len(volumes)))
        return VolumeCases(tuple(volumes), names, scale, shrink or 1, plane, most), None

    if plane != "auto":
        raise RequestError(f"--plane {plane} is for volumes: leave it out for the figshare data set")
    from espcn_core.figshare import open_source, split, unseen

    source = open_source(data)
    fold = _choose_fold(cards, fold)
    if fold is None:
        indices: Sequence[int] = source.indices
    else:
        halves = split(source, fold)
        for name, card in cards.items():
            if card.training.get("folds_from", halves.by) != halves.by:
                raise DataError(
                    f"the folds that {name} was trained on come from {card.training['folds_from']} and "
                    f"those of {data} from {halves.by}: use the same data set, with or without its cvind.mat"
                )
        trained = frozenset[int]().union(*(_trained(name, card) for name, card in cards.items()))
        indices = unseen(source, halves.validation, trained)
        if not indices:
            raise DataError(f"the models were trained on slices of every patient in fold {fold} of {data}")
    shrink = choose_shrink(cards) if shrink is None else shrink
    return FigshareCases(source, tuple(evenly(indices, limit)), scale, shrink), fold


def _trained(name: str, card: Card) -> frozenset[int]:
    """The slices that a card says its model was trained on; none if it does not say."""
    from espcn_core.figshare import from_runs

    try:
        return from_runs(card.training.get("trained_slices", ""))
    except (AttributeError, ValueError):
        raise WeightsError(f"the card of {name} does not list its trained_slices as in 1-3, 7") from None


def _choose_fold(cards: Mapping[str, Card], asked: int | None) -> int | None:
    """The fold that no model has seen."""
    held_out = {name: card.training.get("held_out_fold") for name, card in cards.items()}
    for name, fold in held_out.items():
        if fold is None and asked is None:
            raise RequestError(
                f"the card of {name} names no held-out fold: give --fold if it was not trained on that fold"
            )
        if None not in (fold, asked) and fold != asked:
            raise RequestError(
                f"{name} was trained on the slices of fold {asked}, all but fold {fold}: leave out --fold"
            )
    named = {name: fold for name, fold in held_out.items() if fold is not None}
    if len(set(named.values())) > 1:
        listed = ", ".join(f"{name} {fold}" for name, fold in named.items())
        raise RequestError(
            f"the models have different held-out folds ({listed}), so that no slice is new to all of them: "
            "evaluate them in calls of their own"
        )
    return asked if asked is not None else next(iter(named.values()), None)


def volume_paths(data: Path) -> Iterator[Path]:
    from espcn_core.volumes import is_volume

    if data.is_dir():
        paths = (path for path in sorted(data.rglob("*")) if not path.name.startswith("."))
        yield from (path for path in paths if is_volume(path) and path.is_file())
    elif is_volume(data) and data.is_file():
        yield data


def without_ending(name: str) -> str:
    from espcn_core.volumes.formats import ending_of

    return name.removesuffix(ending_of(name))

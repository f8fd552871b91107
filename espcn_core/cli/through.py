"""``espcn-core evaluate --through-plane``: thick slices made thin again, against the truth."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from espcn_core.cli.messages import bar
from espcn_core.errors import RequestError
from espcn_core.grid import Grid
from espcn_core.upscaling.request import MOST

if TYPE_CHECKING:
    from espcn_core.evaluation.through.methods import Adapt, Own
    from espcn_core.evaluation.through.records import About


def evaluate_through_plane(
    data: Path,
    out: Path,
    models: Sequence[str],
    factors: Sequence[str],
    profiles: Sequence[str],
    stated: str,
    *,
    trust: bool,
    adapt: int | None,
    jobs: int | None,
) -> None:
    """Measure, write the report, and show the gains.

    Raises
    ------
    RequestError
        If a factor, a profile or a model is none, or is named twice.
    DataError
        If there is no isotropic volume.
    """
    from rich.console import Console

    try:
        from espcn_core.evaluation.through.cases import find_volumes, read
        from espcn_core.evaluation.through.measure import Measurement, make_example, measure
        from espcn_core.evaluation.through.methods import (
            INTERPOLATIONS,
            find_networks,
            networks_of,
            parse_profile,
            parse_stated,
            profile_name,
        )
        from espcn_core.evaluation.through.records import About
        from espcn_core.evaluation.through.write import report
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise RequestError(f"evaluation needs {package}: pip install 'espcn-core[report]'") from None
    from espcn_core import __version__

    numbers = _factors(factors)
    parsed = tuple(dict.fromkeys(parse_profile(name) for name in profiles))
    if not parsed:
        raise RequestError("no slice profile is named: give --profile as in gaussian:1,box:1")
    told = parse_stated(stated)
    own, cards = find_networks(models, numbers)
    adapter = None if adapt is None else _adapter(adapt, own, numbers)
    console = Console()
    volumes, left_out = find_volumes(data)
    for reason in left_out.values():
        console.print(f"Left out: {reason}", markup=False, highlight=False, soft_wrap=True)
    out.mkdir(parents=True, exist_ok=True)  # before the work, in case it cannot be
    wanted = Measurement(volumes, numbers, parsed, own, told, trust, adapter)
    with bar() as progress:
        records = measure(wanted, jobs or os.cpu_count() or 1, progress)
    names = tuple(map(profile_name, parsed))
    about = About(
        data=data.resolve().name,
        volumes={name: read(name, path).look for name, path in volumes.items()},
        left_out=left_out,
        factors=numbers,
        profiles=names,
        stated=profile_name(told),
        methods=(*INTERPOLATIONS, *networks_of(adapt is not None)),
        networks=networks_of(adapt is not None),
        cards=cards,
        command=_command(models, numbers, names, None if told is None else profile_name(told), trust, adapt),
        version=__version__,
        adapted=adapt or 0,
    )
    page, summary = report(about, records, make_example(wanted), out)
    _show(about, summary, console)
    console.print(f"Report: {page}", markup=False, highlight=False, soft_wrap=True)


def _factors(names: Sequence[str]) -> tuple[int, ...]:
    wrong = [name for name in names if not name.isdecimal() or not 2 <= int(name) <= MOST]
    if wrong or not names:
        raise RequestError(
            f"factors are whole numbers from 2 to {MOST}, not {', '.join(wrong) or 'none'}: "
            "for instance --factors 2,4"
        )
    return tuple(sorted({int(name) for name in names}))


def _adapter(steps: int, own: Own, factors: Sequence[int]) -> Adapt:
    """What fine-tunes the weights of each volume; here, for evaluation knows nothing of training."""
    try:
        from espcn_core.training.adapt import adapted_weights
        from espcn_core.training.fine_slices import adaptable
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise RequestError(f"--adapt needs {package}: pip install 'espcn-core[train]'") from None
    from espcn_core.evaluation.through.methods import Networks
    from espcn_core.upscaling.engines import Engines

    networks = Networks(own, Engines("cpu"))
    for factor in factors:
        try:
            adaptable(networks.plan(Grid((24, 24, 24), np.diag([1.0, 1.0, factor, 1.0])), 2, factor))
        except RequestError:
            raise RequestError(f"--adapt cannot do x{factor}, which takes two stages: leave it out") from None
    return partial(adapted_weights, steps=steps)


def _command(
    models: Sequence[str],
    factors: Sequence[int],
    profiles: Sequence[str],
    stated: str | None,
    trust: bool,
    adapt: int | None,
) -> str:
    """The call as others can repeat it: without this machine's folders."""
    words = ["espcn-core", "evaluate", "--data", "PATH", "--through-plane"]
    if models:
        words += ["--models", ",".join(Path(name).name for name in models)]
    words += ["--factors", ",".join(map(str, factors)), "--profile", ",".join(profiles)]
    if stated is not None:
        words += ["--stated", stated]
    if adapt is not None:
        words += ["--adapt", str(adapt)]
    return shlex.join([*words, *(["--trust"] if trust else []), "--out", "DIR"])


def _show(about: About, summary: dict[str, Any], console: Any) -> None:
    """The gains by volume and factor, and the result in one sentence."""
    from rich.table import Table

    reference = summary["reference"]
    others = [method for method in about.methods if method != reference]
    title = f"Gain over {reference} in dB, mean over the three axes, {about.profiles[0]}"
    table = Table(title=title, title_justify="left")
    table.add_column("volume", overflow="fold")
    for column in ("factor", *others):
        table.add_column(column, justify="right", overflow="fold")
    for volume, by_factor in summary["means"].items():
        for factor, cells in by_factor.items():
            gains = [cells[method]["gain"] for method in others]
            table.add_row(volume, f"x{factor}", *("" if gain is None else f"{gain:+.2f}" for gain in gains))
    console.print(table, markup=False)
    for flag in summary["flags"]:
        mark = "holds" if flag["holds"] else "fails"
        console.print(f"{mark}: {flag['sentence']}", markup=False, highlight=False, soft_wrap=True)
    console.print(summary["headline"], markup=False, highlight=False, soft_wrap=True)

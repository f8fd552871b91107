"""``espcn-core evaluate``: measure models and interpolations against the truth, and report it."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from espcn_core.cli.messages import bar
from espcn_core.errors import RequestError

if TYPE_CHECKING:
    from espcn_core.evaluation.records import About

Plane = Literal["auto", "axial", "coronal", "sagittal"]

_TABLE_REGIONS = ("image", "head")

_FACTORS, _PROFILE, _STATED = "2,3,4,6", "gaussian:1", "unknown"


def evaluate(
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="The figshare data set in any form, or a NIfTI file or a folder of them."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the report.")],
    models: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="With commas: models, weight files, nearest, linear, bicubic, lanczos, bspline, zerofill.",
            show_default="the model of the scale, and all of these",
        ),
    ] = "",
    degradation: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="How coarse slices are made: area, bicubic, gaussian, kspace, point, each with +rician2 "
            "behind it for noise; with commas, the first for the tables; or all.",
        ),
    ] = "bicubic",
    scale: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=2,
            max=16,
            help="Fine pixels per coarse pixel.",
            show_default="that of the models",
        ),
    ] = None,
    shrink: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=16,
            help="Make the true slices so many times smaller first.",
            show_default="as the models were trained, 1 for volumes",
        ),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Fold of the figshare data set.",
            show_default="the one that the models have not seen",
        ),
    ] = None,
    plane: Annotated[Plane, typer.Option(help="Slices of volumes; auto: those thickest apart.")] = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes at a time.", show_default="one per core"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Measure about so many slices, evenly spread."),
    ] = None,
    through_plane: Annotated[
        bool,
        typer.Option(
            "--through-plane",
            help="Make isotropic volumes thick along each axis, and measure what makes them thin again.",
        ),
    ] = False,
    factors: Annotated[
        str, typer.Option(metavar="N,N", help="Through plane: how many times as thick.")
    ] = _FACTORS,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Through plane: slice profiles, gaussian or box, with their width at half maximum in slice "
            "distances; the first for the tables, others to see what a wrong guess costs.",
        ),
    ] = _PROFILE,
    stated: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Through plane: the slice profile that the networks are told; unknown if nothing.",
        ),
    ] = _STATED,
    trust: Annotated[
        bool, typer.Option("--trust", help="Through plane: compare the trust map with the error, too.")
    ] = False,
    adapt: Annotated[
        int | None,
        typer.Option(
            metavar="STEPS",
            min=1,
            help="Through plane: also measure the network after so many steps on each thick volume's own "
            "slices, as the command adapt takes them.",
        ),
    ] = None,
) -> None:
    """Measure how near models and interpolations come to the truth, and write a report.

    The report is a page (report.html), every number (records.csv) and all summaries (results.json). The same
    call writes the same numbers, however many --jobs there are.
    """
    from rich.console import Console

    if through_plane:
        from espcn_core.cli.through import evaluate_through_plane

        in_plane = {
            "--degradation": degradation != "bicubic",
            "--plane": plane != "auto",
            "--scale": scale is not None,
            "--shrink": shrink is not None,
            "--fold": fold is not None,
            "--limit": limit is not None,
        }
        for option, given in in_plane.items():
            if given:
                raise RequestError(f"{option} is not for --through-plane: leave one of them out")
        evaluate_through_plane(
            data,
            out,
            _names(models),
            _names(factors),
            _names(profile),
            stated,
            trust=trust,
            adapt=adapt,
            jobs=jobs,
        )
        return
    if trust or adapt is not None or (factors, profile, stated) != (_FACTORS, _PROFILE, _STATED):
        raise RequestError(
            "--factors, --profile, --stated, --trust and --adapt are for --through-plane: give that as well"
        )
    try:
        from espcn_core.evaluation.choices import choose
        from espcn_core.evaluation.measure import describe, make_example, measure
        from espcn_core.evaluation.report import report
        from espcn_core.evaluation.summary import pick_cases
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise RequestError(f"evaluation needs {package}: pip install 'espcn-core[report]'") from None

    wanted = choose(
        data,
        _names(models),
        _names(degradation),
        scale=scale,
        shrink=shrink,
        fold=fold,
        plane=plane,
        limit=limit,
    )
    out.mkdir(parents=True, exist_ok=True)  # before the work, in case it cannot be
    command = _command(
        models,
        degradation=degradation,
        scale=scale,
        shrink=shrink,
        fold=fold,
        plane=None if plane == "auto" else plane,
        limit=limit,
    )

    with bar() as progress:
        records = measure(wanted, jobs or os.cpu_count() or 1, progress)
    named = "figshare brain tumor slices" if wanted.cases.kind == "figshare" else data.resolve().name
    about = describe(wanted, records, data=named, command=command)
    examples = [make_example(wanted, case) for case in pick_cases(about, records).values()]
    page = report(about, records, examples, out)

    console = Console()
    _show(about, json.loads((out / "results.json").read_text(encoding="utf-8"))["summary"], console)
    console.print(f"Report: {page}", markup=False, highlight=False, soft_wrap=True)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _command(models: str, **options: Any) -> str:
    """The call as others can repeat it: without this machine's folders."""
    named = ",".join(Path(name).name if name.endswith(".safetensors") else name for name in _names(models))
    words = ["espcn-core", "evaluate", "--data", "PATH"]
    for name, value in {"models": named or None, **options}.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join([*words, "--out", "DIR"])


def _show(about: About, summary: dict[str, Any], console: Any) -> None:
    """The table of the first degradation, and the result in one sentence."""
    from rich.table import Table

    from espcn_core.evaluation.records import counted

    first = about.degradations[0]
    results = summary["results"][first]
    units = counted(about.patients, about.unit)
    table = Table(title=f"x{about.scale}, {first}, mean over {units}", title_justify="left")
    table.add_column("method")
    regions = [region for region in _TABLE_REGIONS if region in next(iter(results.values()))]
    for region in regions:
        for column in (f"{region} dB", "gain", "SSIM"):
            table.add_column(column, justify="right")
    for method in about.methods:
        cells, row = results[method], [method]
        for region in regions:
            for metric, form in (("psnr", ".2f"), ("psnr_gain", "+.2f"), ("ssim", ".4f")):
                mean = cells[region].get(metric, {}).get("mean")
                row.append("" if mean is None else format(mean, form))
        table.add_row(*row)
    console.print(table, markup=False)
    console.print(summary["headline"], markup=False, highlight=False, soft_wrap=True)

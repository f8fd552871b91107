"""``espcn-core upscale``: make files and folders of volumes finer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from espcn_core.cli.messages import complain
from espcn_core.errors import RequestError

if TYPE_CHECKING:
    from espcn_core.upscaling.torch_engine import Engines

Plane = Literal["auto", "axial", "coronal", "sagittal"]
Existing = Literal["error", "skip", "overwrite"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["same", "uint8", "int16", "uint16", "int32", "float32", "float64"]

_FILES, _RESULT, _RUN = "Files", "Result", "Run"


def upscale(
    context: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="NIfTI files, and folders that are searched for them."),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file for one input file, a folder otherwise.",
            rich_help_panel=_FILES,
        ),
    ],
    suffix: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Added to each name in an output folder: _sr.", rich_help_panel=_FILES
        ),
    ] = "",
    existing: Annotated[
        Existing,
        typer.Option(help="If an output is there already.", rich_help_panel=_FILES),
    ] = "error",
    scale: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Fine voxels per voxel along both axes of a slice.",
            show_default="that of --model, or 2",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Trained weights: a name that espcn-core models lists, or a .safetensors file.",
            show_default="espcn-r of the scale",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    plane: Annotated[
        Plane,
        typer.Option(
            help="The slices to work in; auto: those thickest apart.",
            rich_help_panel=_RESULT,
        ),
    ] = "auto",
    dtype: Annotated[
        Dtype,
        typer.Option(
            help="Type of the voxels; whole numbers are rounded and clipped.", rich_help_panel=_RESULT
        ),
    ] = "same",
    device: Annotated[
        Device, typer.Option(help="Where to compute; auto: a GPU if there is one.", rich_help_panel=_RUN)
    ] = "auto",
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Files at a time.", rich_help_panel=_RUN)] = 1,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing but errors.", rich_help_panel=_RUN)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was done as JSON.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Make volumes finer, slice by slice.

    The field of view, the data type and the header stay as they are.

    A batch goes on past a bad file; --existing skip does the rest another time.

    Exit code: 0 all done, 1 all failed, 2 wrong call, 3 some failed, 130 interrupted.
    """
    from espcn_core.cli.batch import Request, run_batch
    from espcn_core.cli.jobs import clear_leftovers_of, find_jobs, refuse_existing
    from espcn_core.cli.report import Report, summary
    from espcn_core.cli.report import as_json as to_json
    from espcn_core.upscaling.torch_engine import Engines

    found = find_jobs(inputs, output, suffix, resume=existing == "skip")
    clear_leftovers_of(found)
    if existing == "error":
        refuse_existing(found)
    engines = Engines(device)
    model, scale = _choose_model(engines, model, scale)

    request = Request(scale, model, plane, dtype)
    report = Report(len(found), str(engines.device), quiet)
    try:
        with report:
            outcomes = run_batch(
                found,
                request,
                engines,
                report,
                skip=existing == "skip",
                threads=jobs,
                debug=bool(context.find_root().params.get("debug")),
            )
    except KeyboardInterrupt:
        complain("interrupted: the outputs that are there are complete; --existing skip does the rest")
        raise typer.Exit(130) from None
    report.conclude(outcomes)
    if as_json:
        print(to_json(outcomes, str(engines.device)))
    raise typer.Exit(_exit_code(summary(outcomes)))


def _choose_model(engines: Engines, model: str | None, scale: int | None) -> tuple[str, int]:
    """Name and scale of the model to use, which is then loaded."""
    from espcn_core.models.cards import default_model

    if model is None:
        wanted = 2 if scale is None else scale
        model = default_model((wanted, wanted))
    rows, columns = engines.load(model).factor
    if rows != columns:
        raise RequestError(
            f"model {model} has scale {rows}x{columns}: choose one with the same for both axes"
        )
    if scale not in (None, rows):
        raise RequestError(f"model {model} has scale {rows}, not {scale}: leave out --scale or --model")
    return model, rows


def _exit_code(counts: dict[str, int]) -> int:
    """0 if nothing failed, 1 if everything did, 3 if something is there."""
    if not counts["failed"]:
        return 0
    return 3 if counts["done"] or counts["skipped"] else 1

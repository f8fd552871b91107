"""``espcn-core upscale``: make files and folders of volumes finer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from espcn_core.cli.messages import complain
from espcn_core.errors import RequestError

Plane = Literal["auto", "axial", "coronal", "sagittal"]
Existing = Literal["error", "resume", "skip", "overwrite"]
Format = Literal["nifti", "nrrd", "mha", "mgz", "dicom"]
Device = Literal["auto", "cpu", "cuda", "mps"]

Precision = Literal["auto", "fp32", "bf16", "int8"]
Engine = Literal["auto", "torch", "openvino"]
Dtype = Literal["same", "uint8", "int16", "uint16", "int32", "float32", "float64"]

_FILES, _RESULT, _THICK, _RUN = "Files", "Result", "Thick slices", "Run"


def upscale(
    context: typer.Context,
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="Volumes, DICOM series, and folders of them."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file for one input file, a folder otherwise; with --bids the derivative data set.",
            show_default="with --bids INPUT/derivatives/espcn",
            rich_help_panel=_FILES,
        ),
    ] = None,
    bids: Annotated[
        bool,
        typer.Option(
            "--bids",
            help="The input is a BIDS data set: write a derivative one of its anatomical images.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    keep_headers: Annotated[
        bool,
        typer.Option(
            "--keep-headers",
            help="With --bids: sidecars also say all that those of the input do, names and dates too.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    trust: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Also write how far mirrored and turned runs differ, in the units of the input.",
            show_default="no",
            rich_help_panel=_FILES,
        ),
    ] = None,
    suffix: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Added to each name in an output folder: _sr.", rich_help_panel=_FILES
        ),
    ] = "",
    compress: Annotated[
        bool | None,
        typer.Option(
            "--compress/--no-compress",
            help="Names in an output folder end in .nii.gz, or in .nii.",
            show_default="as the inputs",
            rich_help_panel=_FILES,
        ),
    ] = None,
    output_format: Annotated[
        Format | None,
        typer.Option(
            help="What is written into an output folder; dicom: a derived series.",
            show_default="as the inputs",
            rich_help_panel=_FILES,
        ),
    ] = None,
    anonymise: Annotated[
        bool,
        typer.Option(
            "--anonymise",
            help="Derived DICOM without identity: PS3.15 Basic Application Level Confidentiality Profile.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    existing: Annotated[
        Existing,
        typer.Option(
            help="If an output is there already; resume: redo what is missing, changed or failed.",
            rich_help_panel=_FILES,
        ),
    ] = "error",
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Write a file that is as asked for already, as it is.", rich_help_panel=_FILES
        ),
    ] = False,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="N|I,J,K",
            help="Fine voxels per voxel along both axes of a slice, or along each axis of the image: 1,1,5.",
            show_default="that of --model, or 2",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(
            metavar="MM|I,J,K",
            help="New spacing in mm along all axes, or along each axis of the image: 0.9,0.9,1.",
            show_default="by the scale",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    isotropic: Annotated[
        bool,
        typer.Option(
            "--isotropic", help="The finest spacing of the input along all axes.", rich_help_panel=_RESULT
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Trained weights: a name that espcn-core models lists, or a .safetensors file.",
            show_default="espcn-r of each scale",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    plane: Annotated[
        Plane,
        typer.Option(
            help="The slices to work in, for one --scale; auto: those thickest apart.",
            rich_help_panel=_RESULT,
        ),
    ] = "auto",
    dtype: Annotated[
        Dtype,
        typer.Option(
            help="Type of the voxels; whole numbers are rounded and clipped.", rich_help_panel=_RESULT
        ),
    ] = "same",
    slice_thickness: Annotated[
        float | None,
        typer.Option(
            metavar="MM",
            help="Full width at half maximum of the slices, where it is not their spacing.",
            show_default="SliceThickness in NAME.json or DICOM, or judged",
            rich_help_panel=_THICK,
        ),
    ] = None,
    consistent: Annotated[
        bool,
        typer.Option(
            "--consistent/--no-consistent",
            help="Correct the result until, made thick again, it gives the acquired slices.",
            rich_help_panel=_THICK,
        ),
    ] = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be done, and write nothing.", rich_help_panel=_RUN),
    ] = False,
    device: Annotated[
        Device, typer.Option(help="Where to compute; auto: a GPU if there is one.", rich_help_panel=_RUN)
    ] = "auto",
    precision: Annotated[
        Precision,
        typer.Option(
            help="What networks compute in; auto: bf16 where the device computes with it.",
            rich_help_panel=_RUN,
        ),
    ] = "auto",
    engine: Annotated[
        Engine,
        typer.Option(
            help="What runs networks; auto: OpenVINO where it is installed and faster.", rich_help_panel=_RUN
        ),
    ] = "auto",
    jobs: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Files at a time, each in a process of its own.", rich_help_panel=_RUN
        ),
    ] = 1,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Do part I of N alone, as one job of an array; see docs/cluster.md.",
            show_default="all",
            rich_help_panel=_RUN,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|slurm",
            help="Work on the cluster of a Dask scheduler, tcp://HOST:8786, or on --jobs N workers of Slurm.",
            show_default="this machine",
            rich_help_panel=_RUN,
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Add a line of JSON for the start, each file and the summary.",
            show_default="no",
            rich_help_panel=_RUN,
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="Write a page that shows every result beside its input, the worst first.",
            show_default="no",
            rich_help_panel=_RUN,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing but errors.", rich_help_panel=_RUN)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was done as JSON.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Make volumes finer: in the slices, across them, or to any spacing.

    The field of view, the data type and the header stay as they are.

    A batch goes on past a bad file. An output folder keeps a manifest: call the same line again with
    --existing resume to do the rest, and espcn-core status FOLDER to see how far it is.

    Exit code: 0 all done, 1 all failed, 2 wrong call, 3 some failed, 130 interrupted.
    """
    from espcn_core import __version__
    from espcn_core.cli.interruption import INTERRUPTED, ending_in_time
    from espcn_core.cli.report import Listing, Log, Plans, Report
    from espcn_core.cli.requests import bids_jobs_of, check_request, check_slice_thickness, parse_request
    from espcn_core.cli.worker import COMMAND
    from espcn_core.cohort.jobs import check_anonymous, find_jobs, folder_of
    from espcn_core.cohort.page import Call, check_page, words_of, write_page
    from espcn_core.cohort.parts import parse_part
    from espcn_core.cohort.run import Manner, run_cohort
    from espcn_core.cohort.settings import parameters_of
    from espcn_core.cohort.work import Wanted
    from espcn_core.upscaling.engines import Engines

    started = time.monotonic()
    folder: Path | None
    request = parse_request(scale, spacing, isotropic, plane, model)
    check_slice_thickness(slice_thickness)
    if bids:
        others = {
            "--trust": trust, "--suffix": suffix or None, "--compress": compress,
            "--output-format": output_format, "--anonymise": anonymise or None,
        }  # fmt: skip
        given = [name for name, value in others.items() if value is not None]
        found, folder, left_out = bids_jobs_of(inputs, output, given)
        if left_out and not quiet:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
            typer.echo(f"left out in {inputs[0]}: {reasons}", err=True)
    elif keep_headers:
        raise RequestError("--keep-headers goes with --bids, which alone writes sidecars: leave it out")
    elif output is None:
        raise RequestError("--output is missing: name a file for one input file, a folder otherwise")
    else:
        found = find_jobs(
            inputs, output, suffix,
            trust=trust, compress=compress, output_format=output_format,
            resume=existing in ("resume", "skip"),
        )  # fmt: skip
        folder = folder_of(found, output)
    if existing == "resume" and folder is None:
        raise RequestError(
            "--existing resume goes with an output folder, which keeps a manifest: use --existing skip"
        )
    if page is not None:
        check_page(page, found, folder, dry_run=dry_run)
    if anonymise:
        check_anonymous(found)
    mine = None if part is None else parse_part(part)
    if mine is not None:
        if folder is None:
            raise RequestError("--part goes with an output folder, which keeps its manifest: name one")
        if page is not None:
            raise RequestError("--report shows a whole cohort: merge its parts first, and leave --part out")
        found = mine.of(found)
    if scheduler is not None and (mine is not None or folder is None):
        raise RequestError("--scheduler goes with an output folder, and without --part: leave one out")
    engines = Engines(device, precision, engine)
    check_request(request, engines)

    wanted = Wanted(
        request, dtype, slice_thickness, consistent, force, dry_run, anonymise, page is not None, keep_headers
    )
    debug = bool(context.find_root().params.get("debug"))
    manner = Manner(
        folder, existing, suffix, (device, precision, engine), jobs, COMMAND, debug, mine, scheduler,
        (lambda line: None) if quiet else (lambda line: typer.echo(line, err=True)),
    )  # fmt: skip
    listing = Listing() if as_json else None
    written = Log(log) if log is not None else None
    if written is not None:
        written.write("start", version=__version__, files=len(found), jobs=jobs, existing=existing)
    plans = Plans() if dry_run and not as_json else None
    report = Report(found, quiet, [who for who in (listing, written, plans) if who is not None])
    interrupted = "interrupted: the outputs that are there are complete; --existing "
    interrupted += f"{'skip' if folder is None else 'resume'} does the rest"
    try:
        with ending_in_time(interrupted), report:
            counts = run_cohort(found, wanted, manner, report, engines)
    except KeyboardInterrupt:
        complain(interrupted)
        if written is not None:
            written.conclude({}, interrupted=True)
        if listing is not None:
            listing.conclude(engines.place)
        raise typer.Exit(INTERRUPTED) from None
    report.conclude(counts)
    if plans is not None:
        plans.conclude()
    if written is not None:
        written.conclude(counts)
    if listing is not None:
        listing.conclude(engines.place)
    if page is not None and folder is not None:
        trusted = any(job.trust is not None for job in found)
        asked = words_of(parameters_of(wanted, precision=precision, engine=engine, trust=trusted))
        call = Call(list(map(str, inputs)), str(folder), asked, time.monotonic() - started)
        write_page(page, found, folder, call)
    raise typer.Exit(_exit_code(counts))


def _exit_code(counts: Mapping[str, int]) -> int:
    """0 if nothing failed, 1 if everything did, 3 if something is there."""
    if not counts["failed"]:
        return 0
    return 3 if any(counts[state] for state in ("done", "planned", "skipped")) else 1

"""``espcn-core upscale``: make files and folders of volumes finer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from espcn_core.cli.messages import complain

Plane = Literal["auto", "axial", "coronal", "sagittal"]
Existing = Literal["error", "skip", "overwrite"]
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
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file for one input file, a folder otherwise.",
            rich_help_panel=_FILES,
        ),
    ],
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
        typer.Option(help="If an output is there already.", rich_help_panel=_FILES),
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
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Files at a time.", rich_help_panel=_RUN)] = 1,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing but errors.", rich_help_panel=_RUN)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was done as JSON.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Make volumes finer: in the slices, across them, or to any spacing.

    The field of view, the data type and the header stay as they are.

    A batch goes on past a bad file; --existing skip does the rest another time.

    Exit code: 0 all done, 1 all failed, 2 wrong call, 3 some failed, 130 interrupted.
    """
    from espcn_core.cli.batch import Wanted, run_batch
    from espcn_core.cli.jobs import check_anonymous, clear_leftovers_of, find_jobs, refuse_existing
    from espcn_core.cli.report import Report, summary
    from espcn_core.cli.report import as_json as to_json
    from espcn_core.cli.requests import check_request, check_slice_thickness, parse_request
    from espcn_core.upscaling.engines import Engines

    request = parse_request(scale, spacing, isotropic, plane, model)
    check_slice_thickness(slice_thickness)
    found = find_jobs(
        inputs, output, suffix,
        trust=trust, compress=compress, output_format=output_format, resume=existing == "skip",
    )  # fmt: skip
    if anonymise:
        check_anonymous(found)
    if not dry_run:
        clear_leftovers_of(found)
    if existing == "error":
        refuse_existing(found)
    engines = Engines(device, precision, engine)
    check_request(request, engines)

    wanted = Wanted(request, dtype, slice_thickness, consistent, force, dry_run, anonymise)
    report = Report(len(found), quiet)
    try:
        with report:
            outcomes = run_batch(
                found,
                wanted,
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
    if dry_run and not as_json:
        for outcome in outcomes:
            if outcome.plan is not None:
                print(f"{outcome.job.name}: {outcome.plan}")
    if as_json:
        print(to_json(outcomes, engines.place))
    raise typer.Exit(_exit_code(summary(outcomes)))


def _exit_code(counts: dict[str, int]) -> int:
    """0 if nothing failed, 1 if everything did, 3 if something is there."""
    if not counts["failed"]:
        return 0
    return 3 if any(counts[state] for state in ("done", "planned", "skipped")) else 1

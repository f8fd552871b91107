"""What `espcn-core upscale` may be told, by the panels of its help; other commands take some of it too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_FILES, _RESULT, _THICK, _RUN = "Files", "Result", "Thick slices", "Run"

Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT", help="Volumes, DICOM series, and folders of them."),
]

Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="A file for one input file, a folder otherwise; with --bids the derivative data set.",
        show_default="with --bids INPUT/derivatives/espcn",
        rich_help_panel=_FILES,
    ),
]

Bids = Annotated[
    bool,
    typer.Option(
        "--bids",
        help="The input is a BIDS data set: write a derivative one of its anatomical images.",
        rich_help_panel=_FILES,
    ),
]

KeepHeaders = Annotated[
    bool,
    typer.Option(
        "--keep-headers",
        help="With --bids: sidecars also say all that those of the input do, names and dates too.",
        rich_help_panel=_FILES,
    ),
]

Trust = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Also write how far mirrored and turned runs differ, in the units of the input.",
        show_default="no",
        rich_help_panel=_FILES,
    ),
]

Suffix = Annotated[
    str,
    typer.Option(metavar="TEXT", help="Added to each name in an output folder: _sr.", rich_help_panel=_FILES),
]

Compress = Annotated[
    bool | None,
    typer.Option(
        "--compress/--no-compress",
        help="Names in an output folder end in .nii.gz, or in .nii.",
        show_default="as the inputs",
        rich_help_panel=_FILES,
    ),
]

OutputFormat = Annotated[
    Literal["nifti", "nrrd", "mha", "mgz", "dicom"] | None,
    typer.Option(
        help="What is written into an output folder; dicom: a derived series.",
        show_default="as the inputs",
        rich_help_panel=_FILES,
    ),
]

Anonymise = Annotated[
    bool,
    typer.Option(
        "--anonymise",
        help="Derived DICOM without identity: PS3.15 Basic Application Level Confidentiality Profile.",
        rich_help_panel=_FILES,
    ),
]

Existing = Annotated[
    Literal["error", "resume", "skip", "overwrite"],
    typer.Option(
        help="If an output is there already; resume: redo what is missing, changed or failed.",
        rich_help_panel=_FILES,
    ),
]

Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Write a file that is as asked for already, as it is.", rich_help_panel=_FILES
    ),
]

Scale = Annotated[
    str | None,
    typer.Option(
        metavar="N|I,J,K",
        help="Fine voxels per voxel along both axes of a slice, or along each axis of the image: 1,1,5.",
        show_default="that of --model, or 2",
        rich_help_panel=_RESULT,
    ),
]

Spacing = Annotated[
    str | None,
    typer.Option(
        metavar="MM|I,J,K",
        help="New spacing in mm along all axes, or along each axis of the image: 0.9,0.9,1.",
        show_default="by the scale",
        rich_help_panel=_RESULT,
    ),
]

Isotropic = Annotated[
    bool,
    typer.Option(
        "--isotropic", help="The finest spacing of the input along all axes.", rich_help_panel=_RESULT
    ),
]

Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Trained weights: a name that espcn-core models lists, or a .safetensors file.",
        show_default="espcn-r of each scale",
        rich_help_panel=_RESULT,
    ),
]

Plane = Annotated[
    Literal["auto", "axial", "coronal", "sagittal"],
    typer.Option(
        help="The slices to work in, for one --scale; auto: those thickest apart.",
        rich_help_panel=_RESULT,
    ),
]

Dtype = Annotated[
    Literal["same", "uint8", "int16", "uint16", "int32", "float32", "float64"],
    typer.Option(help="Type of the voxels; whole numbers are rounded and clipped.", rich_help_panel=_RESULT),
]

SliceThickness = Annotated[
    float | None,
    typer.Option(
        metavar="MM",
        help="Full width at half maximum of the slices, where it is not their spacing.",
        show_default="SliceThickness in NAME.json or DICOM, or judged",
        rich_help_panel=_THICK,
    ),
]

Consistent = Annotated[
    bool,
    typer.Option(
        "--consistent/--no-consistent",
        help="Correct the result until, made thick again, it gives the acquired slices.",
        rich_help_panel=_THICK,
    ),
]

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what would be done, and write nothing.", rich_help_panel=_RUN),
]

Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option(help="Where to compute; auto: a GPU if there is one.", rich_help_panel=_RUN),
]

Precision = Annotated[
    Literal["auto", "fp32", "bf16", "int8"],
    typer.Option(
        help="What networks compute in; auto: int8 (OpenVINO) or bf16 where the device is fast with it.",
        rich_help_panel=_RUN,
    ),
]

Engine = Annotated[
    Literal["auto", "torch", "openvino"],
    typer.Option(
        help="What runs networks; auto: OpenVINO where it is installed and faster.", rich_help_panel=_RUN
    ),
]

Jobs = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, help="Files at a time, each in a process of its own.", rich_help_panel=_RUN
    ),
]

Part = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Do part I of N alone, as one job of an array; see docs/cluster.md.",
        show_default="all",
        rich_help_panel=_RUN,
    ),
]

Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|slurm",
        help="Work on the cluster of a Dask scheduler, tcp://HOST:8786, or on --jobs N workers of Slurm.",
        show_default="this machine",
        rich_help_panel=_RUN,
    ),
]

Log = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Add a line of JSON for the start, each file and the summary.",
        show_default="no",
        rich_help_panel=_RUN,
    ),
]

Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Write a page that shows every result beside its input, the worst first.",
        show_default="no",
        rich_help_panel=_RUN,
    ),
]

Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.", rich_help_panel=_RUN)]

Json = Annotated[bool, typer.Option("--json", help="Print what was done as JSON.", rich_help_panel=_RUN)]

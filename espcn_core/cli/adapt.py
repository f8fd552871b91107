"""``espcn-core adapt``: fine-tune the weights for thick slices on one scan's own slices."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from espcn_core.cli import options
from espcn_core.errors import RequestError

if TYPE_CHECKING:
    from espcn_core.training.adapt import Adapted

_ENDING = ".safetensors"

_MOST_STEPS = 20_000
"""Where time allows for more, it is no use."""


def adapt(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A NIfTI file with thick slices.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The weights: FILE.safetensors.")
    ],
    minutes: Annotated[float, typer.Option(min=0.01, max=600, help="Bound on the time of the steps.")] = 2.0,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="I,J,K",
            help="Fine voxels per voxel along each axis of the image: 1,1,5.",
            show_default="as --isotropic asks for",
        ),
    ] = None,
    spacing: options.Spacing = None,
    isotropic: options.Isotropic = False,
    slice_thickness: options.SliceThickness = None,
    device: options.Device = "auto",
) -> None:
    """Fine-tune the weights for thick slices on one scan's own slices.

    The slices are fine along two axes. Made thick along one of these, they show how this scan's details lie
    behind thick slices. Every eighth is held out and measured.

    Ctrl-C ends it early and keeps what there is.
    """
    from rich.console import Console

    from espcn_core import volumes
    from espcn_core.cli.requests import check_slice_thickness, parse_request
    from espcn_core.cli.train import interruptible, steps_bar
    from espcn_core.cohort.thickness import profile_of
    from espcn_core.upscaling.plan import make_plan

    try:
        from espcn_core.models.trained import save_model
        from espcn_core.training.adapt import adapt as run
        from espcn_core.training.fine_slices import adaptable
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise RequestError(f"adapting needs {package}: pip install 'espcn-core[train]'") from None

    nothing = scale is None and spacing is None
    request = parse_request(scale, spacing, isotropic or nothing, "auto", None)
    check_slice_thickness(slice_thickness)
    _check_output(output)
    volume = volumes.read(source)
    plan = make_plan(volume.grid, request)
    adaptable(plan)
    profile, notes = profile_of(source, plan, slice_thickness, volume.slice_thickness)
    console = Console(stderr=True, markup=False)  # square brackets in a path are no markup
    console.print(f"{source}: {plan}", soft_wrap=True, highlight=False)
    for note in notes:
        console.print(f"{source}: {note}", soft_wrap=True, highlight=False)
    output.parent.mkdir(parents=True, exist_ok=True)  # before the work, in case it cannot be
    with steps_bar(console) as watch, interruptible() as stop:
        try:
            found = run(
                volume.array, volume.grid, plan, profile,
                steps=_MOST_STEPS, minutes=minutes, device=device, watch=watch, stop=stop,
            )  # fmt: skip
        except RequestError as error:
            raise RequestError(f"{source}: {error}") from None
    # The card keeps its own name: that of the file may be the patient's.
    save_model(found.network, found.card, output.parent, output.stem)
    print(_said(found))
    options: dict[str, Any] = {"--scale": scale, "--spacing": spacing, "--slice-thickness": slice_thickness}
    print(_command(source, output, isotropic or nothing, options))


def _check_output(output: Path) -> None:
    if output.suffix != _ENDING:
        raise RequestError(
            f"--output {output} is no name of weights: end it in {_ENDING}, as in "
            f"{output.with_suffix(_ENDING) if output.name else 'adapted' + _ENDING}"
        )
    for path in (output, output.with_suffix(".json")):
        if path.exists():
            raise RequestError(f"{path} exists: remove it, or name another --output")


def _said(found: Adapted) -> str:
    """What came of it, in a sentence."""
    from espcn_core.evaluation.records import counted

    start = found.card.training["start"]
    much = f"{counted(found.held_out, 'held-out slice')}, after {found.steps} steps in {found.seconds:.0f} s"
    if not found.gain:
        return f"no gain on {much}: the weights are those of {start}, as they were"
    return f"{found.gain:+.2f} dB over {start} on {much}; across the slices expect less"


def _command(source: Path, output: Path, isotropic: bool, options: dict[str, Any]) -> str:
    """The call that takes the weights."""
    words = ["espcn-core", "upscale", str(source), *(["--isotropic"] if isotropic else [])]
    for name, value in options.items():
        if value is not None:
            words += [name, f"{value:g}" if isinstance(value, float) else value]
    return f"use it: {shlex.join([*words, '--model', str(output)])} --output OUT"

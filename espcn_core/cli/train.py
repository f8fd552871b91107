"""``espcn-core train``: train a network on the figshare slices."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from espcn_core.errors import RequestError

if TYPE_CHECKING:
    from espcn_core.training.config import TrainingConfig
    from espcn_core.training.engine import Status
    from espcn_core.training.ranks import Ranks


def train(
    out: Annotated[
        Path, typer.Option(help="Folder of the run: checkpoint, log, best weights and their card.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="The data set: a folder, a zip file or a packed .h5 file.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Network; espcn-r if not set.")] = None,
    scale: Annotated[int | None, typer.Option(help="Fine pixels per coarse pixel; 4 if not set.")] = None,
    degradation: Annotated[
        str | None,
        typer.Option(help="How coarse slices are made: area, bicubic, gaussian, kspace; bicubic if not set."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of the run; 100 if not set.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Bound on the time of the run.")] = None,
    fold: Annotated[int | None, typer.Option(help="Fold of patients held out; 5 if not set.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and patches; 0 if not set.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps; auto if not set.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with any setting; the options here win over it.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
) -> None:
    """Train a network on the figshare slices.

    Ctrl-C finishes the step and saves; --resume goes on from there to the same result. Several processes
    share a run by torchrun --nproc-per-node N -m espcn_core train.
    """
    chosen = {
        "data": str(data.resolve()) if data is not None else None,
        "model": model,
        "scale": scale,
        "degradation": degradation,
        "epochs": epochs,
        "minutes": minutes,
        "fold": fold,
        "seed": seed,
        "device": device,
    }
    _run(out, config, resume, {name: value for name, value in chosen.items() if value is not None})


def _run(out: Path, file: Path | None, resume: bool, chosen: dict[str, Any]) -> None:
    from rich.console import Console

    try:
        from espcn_core.training.ranks import joined
        from espcn_core.training.run import train as run
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise RequestError(f"training needs {package}: pip install 'espcn-core[train]'") from None

    with joined() as ranks:
        # square brackets in a path are no markup
        console = Console(stderr=True, markup=False, quiet=not ranks.leads)
        settings, checkpoint = ranks.of_first(lambda: _settings(out, file, resume, chosen, ranks))
        with steps_bar(console) as watch, interruptible() as stop:
            result = run(
                settings,
                out,
                checkpoint,
                command=_command(file, chosen),
                say=console.print,
                watch=watch,
                stop=stop,
                ranks=ranks,
            )
    if not result.finished:
        program = "espcn-core" if ranks.size == 1 else "torchrun, started as before, -m espcn_core"
        again = f"{program} train --resume --out {shlex.quote(str(out))}"
        console.print(f"stopped; go on with: {again}", soft_wrap=True)
        raise typer.Exit(130)
    if result.score is not None and result.baseline is not None:
        gain = result.score.psnr - result.baseline.psnr
        console.print(
            f"{result.weights}: {result.score.psnr:.2f} dB, SSIM {result.score.ssim:.4f} on "
            f"{result.score.slices} held-out slices, {gain:+.2f} dB over bicubic",
            soft_wrap=True,
        )


def _settings(
    out: Path, file: Path | None, resume: bool, chosen: dict[str, Any], ranks: Ranks
) -> tuple[TrainingConfig, dict[str, Any] | None]:
    """Configuration of the run, and its checkpoint where it goes on."""
    from espcn_core.training.config import read_config
    from espcn_core.training.ranks import restarted
    from espcn_core.training.run import begin, restartable, resumable
    from espcn_core.training.state import CHECKPOINT

    if resume:
        fixed = [f"--{name}" for name in chosen if name not in ("data", "device")]
        if fixed or file is not None:
            named = fixed[0] if fixed else "--config"
            raise RequestError(f"{named} cannot be given with --resume: a run goes on as it began")
        settings, checkpoint = resumable(out, **chosen)
        ranks.share(settings.batch)
        return settings, checkpoint
    settings = read_config(file, **chosen)
    ranks.share(settings.batch)
    if restarted() and (out / CHECKPOINT).exists():
        return settings, restartable(settings, out)
    begin(settings, out)
    return settings, None


def _command(file: Path | None, chosen: dict[str, Any]) -> str:
    """The call as others can repeat it: without this machine's folders."""
    options = {} if file is None else {"config": file.name if file.is_absolute() else file}
    options |= {name: value for name, value in chosen.items() if name != "data"}
    options |= {"data": "PATH", "out": "RUN"}
    words = (word for name, value in options.items() for word in (f"--{name}", str(value)))
    return shlex.join(["espcn-core", "train", *words])


@contextmanager
def steps_bar(console: Any) -> Iterator[Any]:
    """A bar with steps, loss, gain and time left; gives the function that moves it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("train", total=None, text="reading the data")

        def watch(status: Status) -> None:
            gain = "" if status.gain is None else f"  {status.gain:+.2f} dB"
            text = f"loss {status.loss:.5f}{gain}  {_clock(status.seconds_left)} left"
            bar.update(task, completed=status.step, total=status.total, text=text)

        yield watch


@contextmanager
def interruptible() -> Iterator[Any]:
    """The first Ctrl-C asks the run to stop after its step; a second one interrupts at once."""
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"

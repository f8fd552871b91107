"""The command line. A command imports what it needs when it is called, so that help comes at once."""

from __future__ import annotations

import signal
import sys
import traceback
from typing import Annotated

import typer

from espcn_core import __version__
from espcn_core.cli import adapt, data, evaluate, export, models, status, train, upscale
from espcn_core.cli.messages import complain
from espcn_core.cli.process import prepare
from espcn_core.errors import CancelledError, RequestError, WeightsError, explain

FAILED, WRONG_CALL, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="espcn-core",
    help="Turn medical volumes into finer ones, slice by slice, by a trained network.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(upscale.upscale)
app.command()(status.status)
app.add_typer(models.app, name="models")
app.command()(train.train)
app.command()(adapt.adapt)
app.command()(evaluate.evaluate)
app.command()(export.export)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong call, 3 partly failed, 130 interrupted."""
    # A cluster stops a job by SIGTERM; for the commands it is a Ctrl-C.
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    prepare()
    arguments = sys.argv[1:]
    debug = _to_front(arguments, "--debug")
    try:
        app(arguments)
    except Exception as error:  # the outermost edge: whatever it is, the user gets a sentence
        if debug:
            traceback.print_exception(error)
        complain(explain(error))
        if isinstance(error, CancelledError):
            sys.exit(INTERRUPTED)
        sys.exit(WRONG_CALL if isinstance(error, (RequestError, WeightsError)) else FAILED)
    finally:
        signal.signal(signal.SIGTERM, before)  # where a program calls this, its own children are to die of it


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"espcn-core {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")
    ] = False,
) -> None:
    """Options of all commands; `main` acts on ``--debug``."""


def _to_front(arguments: list[str], option: str) -> bool:
    """Move an option of the whole program before the command's name; whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if option not in arguments[:end]:
        return False
    arguments.remove(option)
    arguments.insert(0, option)
    return True

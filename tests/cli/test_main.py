"""The program as a whole: help, version, exit codes and errors."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time

import pytest

from espcn_core import __version__
from espcn_core.cli import options
from espcn_core.errors import CancelledError, DataError, RequestError, WeightsError

PROGRAM = "import sys; from espcn_core.cli import main; sys.argv = {}; main()"


def seconds(code: str) -> float:
    """Median time that a fresh Python takes for some code."""

    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(3))


def test_help_takes_less_than_a_third_of_importing_torch():
    assert seconds(PROGRAM.format(["espcn-core", "--help"])) < seconds("import torch") / 3


@pytest.mark.parametrize(
    "arguments", [["--help"], ["upscale", "--help"], ["train", "--help"], ["models", "--help"]]
)
def test_help_imports_nothing_heavy(arguments):
    heavy = "torch", "numpy", "nibabel", "monai", "ignite", "h5py", "SimpleITK"
    code = (
        "import sys\nfrom espcn_core.cli import main\n"
        f"sys.argv = {['espcn-core', *arguments]}\n"
        f"try: main()\nfinally: print('heavy:', *(set(sys.modules) & set({heavy})))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: espcn-core" in run.stdout
    assert run.stdout.endswith("heavy:\n")


def test_python_m_is_the_program_too():
    run = subprocess.run(
        [sys.executable, "-m", "espcn_core", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"espcn-core {__version__}\n"


def test_help_names_the_commands(cli):
    answer = cli("--help")
    assert answer.code == 0
    for word in ("upscale", "train", "models", "data", "--install-completion", "--debug"):
        assert word in answer.out


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["upscale"], ["upscale", "a.nii", "-o", "b.nii", "--plane", "x"]]
)
def test_a_call_that_typer_refuses_is_exit_code_2(cli, arguments):
    answer = cli(*arguments)
    assert answer.code == 2
    assert "Usage:" in answer.err
    assert answer.out == ""


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (RequestError("no such scale"), 2, "no such scale"),
        (WeightsError("m.safetensors is damaged"), 2, "m.safetensors is damaged"),
        (DataError("58.mat is broken"), 1, "58.mat is broken"),
        (CancelledError("stopped"), 130, "stopped"),
        (PermissionError(13, "Permission denied", "out"), 1, "out: permission denied"),
        (MemoryError(), 1, "there is not enough memory: close other programs"),
        (
            ZeroDivisionError("what\nnow"),
            1,
            "unexpected error, ZeroDivisionError: what now (run with --debug",
        ),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(cli, monkeypatch, tmp_path, error, code, says):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("espcn_core.cohort.jobs.find_jobs", fail)
    answer = cli("upscale", "a.nii", "-o", "b.nii")
    assert answer.code == code
    assert answer.err.startswith(f"espcn-core: {says}")
    assert answer.err.count("\n") == 1
    assert answer.out == ""
    for arguments in (
        ["--debug", "upscale", "a.nii", "-o", "b.nii"],
        ["upscale", "a.nii", "-o", "b.nii", "--debug"],
    ):
        answer = cli(*arguments)
        assert answer.code == code
        assert "Traceback" in answer.err
        assert answer.err.splitlines()[-1].startswith(f"espcn-core: {says}")


def test_debug_behind_two_dashes_is_a_file_name(cli):
    assert "--debug does not exist" in cli("upscale", "-o", "b.nii", "--", "--debug").err


def test_the_choices_are_those_of_the_parts_below():
    """The command line repeats them, so as not to import the parts for its help."""
    from typing import get_args

    from espcn_core.upscaling.plan import PLANES
    from espcn_core.upscaling.torch_engine import DEVICES

    choices = {name: get_args(get_args(getattr(options, name))[0]) for name in ("Plane", "Device")}
    assert choices == {"Plane": ("auto", *PLANES), "Device": DEVICES}


def test_a_shell_can_complete():
    words = {"COMP_WORDS": "espcn-core up", "COMP_CWORD": "1", "_ESPCN_CORE_COMPLETE": "complete_bash"}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(["espcn-core"])],
        env=os.environ | words,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["upscale"]


def test_the_caller_has_its_own_sigterm_back(cli):
    before = signal.getsignal(signal.SIGTERM)
    cli("--version")
    assert signal.getsignal(signal.SIGTERM) is before

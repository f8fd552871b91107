"""``espcn-core train``: a run, Ctrl-C and --resume, and what is refused before any work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from espcn_core.cli import app
from espcn_core.cli.train import _clock, _command, interruptible
from espcn_core.training.config import read_config
from espcn_core.training.engine import Loop

RECIPE = """
name = "tiny"
scale = 4
shrink = 2
epochs = 2
steps_per_epoch = 10
batch = 8
patch = 16
learning_rate = 1e-2
warmup = 4
precision = "float32"
device = "cpu"

[arguments]
width = 8
depth = 1
"""


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Networks this small gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def run(cli, recipe, figshare_dir):
    """Calls ``espcn-core train`` for a tiny network."""

    def call(out, *options):
        return cli("train", "--config", recipe, "--data", figshare_dir, "--out", out, *options)

    return call


@pytest.fixture
def interrupt(monkeypatch):
    """Sends signals, at once one after the other, in the step of that number."""
    original = Loop.step

    def at(number, *signals):
        def step(loop, batch):
            if loop.state.step == number - 1:
                for sent in signals:
                    signal.raise_signal(sent)
            return original(loop, batch)

        monkeypatch.setattr(Loop, "step", step)

    return at


def one_line(text):
    """What was printed, without line breaks, which depend on the width of the terminal."""
    return " ".join(text.split())


# A run


def test_a_run_from_start_to_end(run, tmp_path):
    out = tmp_path / "run"
    answer = run(out, "--seed", 3)
    said = one_line(answer.err)
    assert (answer.code, answer.out) == (0, "")
    assert "tiny on cpu in float32: 9 slices to train, 3 of fold 5 held out" in said
    assert "epoch 2, step 20: loss" in said
    weights = out / "tiny.safetensors"
    assert f"{weights}: " in said
    assert said.rpartition(": ")[2].endswith(" dB over bicubic")
    assert "on 3 held-out slices" in said
    card = json.loads(weights.with_suffix(".json").read_text())
    command = "espcn-core train --config tiny.toml --seed 3 --data PATH --out RUN"
    assert card["training"]["command"] == command
    assert read_config(out / "config.toml").seed == 3
    assert weights.exists()


def test_options_win_over_the_file(run, tmp_path, interrupt):
    interrupt(1, signal.SIGINT)
    options = ("--scale", 2, "--degradation", "area", "--epochs", 5, "--minutes", 9, "--fold", 4)
    assert run(tmp_path / "run", *options, "--model", "espcn-r", "--device", "auto").code == 130
    config = read_config(tmp_path / "run" / "config.toml")
    assert (config.scale, config.degradation, config.epochs, config.minutes) == (2, "area", 5, 9.0)
    assert (config.fold, config.device, config.batch, config.name) == (4, "auto", 8, "tiny")


def test_a_path_with_square_brackets_is_shown_as_it_is(run, tmp_path, interrupt):
    interrupt(1, signal.SIGINT)
    out = tmp_path / "run [red]"
    assert f"espcn-core train --resume --out '{out}'" in run(out).err


def test_a_folder_that_holds_a_run_is_refused(run, tmp_path, interrupt):
    interrupt(1, signal.SIGINT)
    assert run(tmp_path / "run").code == 130
    answer = run(tmp_path / "run")
    assert answer.code == 2
    assert one_line(answer.err) == (
        f"espcn-core: {tmp_path / 'run'} holds a run already: "
        "go on with it by --resume, or name another --out"
    )


# Ctrl-C and --resume


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [4, 10])
def test_an_interrupted_run_says_how_to_go_on_and_does(cli, run, tmp_path, interrupt, sent, step):
    before = signal.getsignal(signal.SIGINT)
    out, whole = tmp_path / "run", tmp_path / "whole"
    interrupt(step, sent)
    answer = run(out)
    assert answer.code == 130
    assert answer.err.splitlines()[-1] == f"stopped; go on with: espcn-core train --resume --out {out}"
    assert torch.load(out / "checkpoint.pt")["step"] == step
    assert signal.getsignal(signal.SIGINT) is before

    interrupt(-1)
    assert cli("train", "--resume", "--out", out).code == 0
    assert run(whole).code == 0
    for name in ("tiny.safetensors", "tiny.json", "log.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_second_interrupt_does_not_wait(run, tmp_path, interrupt):
    before = signal.getsignal(signal.SIGINT)
    interrupt(4, signal.SIGINT, signal.SIGINT)
    answer = run(tmp_path / "run")
    assert answer.code == 130
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    assert "Traceback" not in answer.err
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_a_process_of_its_own(cli, recipe, figshare_dir, tmp_path):
    """The signal comes from outside of the interpreter, while it computes a step."""
    out = tmp_path / "run"
    code = (
        "import os, signal, sys\n"
        "from espcn_core.training.engine import Loop\n"
        "from espcn_core.cli import main\n"
        "original = Loop.step\n"
        "def step(loop, batch):\n"
        "    if loop.state.step == 13:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return original(loop, batch)\n"
        "Loop.step = step\n"
        f"sys.argv = ['espcn-core', 'train', '--config', {str(recipe)!r}, '--out', {str(out)!r},\n"
        f"            '--data', {str(figshare_dir)!r}]\n"
        "main()\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ended.returncode == 130
    assert "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-1] == f"stopped; go on with: espcn-core train --resume --out {out}"
    answer = cli("train", "--resume", "--out", out)
    assert answer.code == 0
    assert "epoch 2, step 20: loss" in one_line(answer.err)


def test_a_resumed_run_takes_its_data_and_device_from_anywhere(cli, run, tmp_path, interrupt, monkeypatch):
    interrupt(3, signal.SIGINT)
    run(tmp_path / "run")
    interrupt(-1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    answer = cli("train", "--resume", "--out", "run", "--data", "empty", "--device", "cpu")
    assert answer.code == 1
    assert f"{tmp_path / 'empty'} holds no slice of the data set" in answer.err


@pytest.mark.parametrize(
    "options", [("--epochs", 3), ("--scale", 4), ("--minutes", 5), ("--seed", 1), ("--config", "some.toml")]
)
def test_what_a_run_computes_is_fixed_when_it_goes_on(cli, tmp_path, options):
    answer = cli("train", "--resume", "--out", tmp_path, *options)
    assert answer.code == 2
    assert answer.err == (
        f"espcn-core: {options[0]} cannot be given with --resume: a run goes on as it began\n"
    )


def test_a_folder_without_a_checkpoint_is_refused(cli, tmp_path):
    answer = cli("train", "--resume", "--out", tmp_path)
    assert answer.code == 1
    assert answer.err == (
        f"espcn-core: {tmp_path} holds no checkpoint to resume from: start the run without --resume\n"
    )


def test_a_damaged_checkpoint_is_one_sentence(cli, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"\0" * 100)
    answer = cli("train", "--resume", "--out", tmp_path)
    assert answer.code == 1
    assert answer.err.count("\n") == 1
    assert "is damaged" in answer.err


# What is refused before any work


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scale", 1], "scale is 1: it must be from 2 to 16"),
        (["--model", "espcn-rr"], "model is 'espcn-rr'; did you mean espcn-r"),
        (["--model", "espcn"], "espcn cannot be built with {'width': 8, 'depth': 1}"),
        (["--degradation", "cubic"], "degradation is 'cubic'; did you mean bicubic"),
        (["--fold", 7], "fold is 7: it must be from 1 to 5"),
        (["--minutes", -1], "minutes is -1.0: it must be at least 0"),
        (["--epochs", "many"], "--epochs"),
        (["--device", "tpu"], "no device is called 'tpu'"),
    ],
)
def test_a_wrong_option_is_a_wrong_call(run, tmp_path, options, message):
    answer = run(tmp_path / "run", *options)
    assert answer.code == 2
    assert message in one_line(answer.err)
    assert "Traceback" not in answer.err


def test_an_unknown_key_in_the_file_names_the_nearest(run, recipe, tmp_path):
    recipe.write_text(RECIPE.replace("warmup", "warm_up"))
    answer = run(tmp_path / "run")
    assert answer.code == 2
    assert answer.err == (f"espcn-core: {recipe}: no setting is called 'warm_up'; did you mean warmup?\n")
    assert not (tmp_path / "run").exists()


def test_a_missing_file_missing_data_and_a_missing_folder(cli, recipe, tmp_path):
    missing = tmp_path / "none"
    answer = cli("train", "--config", missing, "--data", "x", "--out", tmp_path / "run")
    assert (answer.code, answer.err) == (
        2,
        f"espcn-core: {missing} is not there: give the path of a TOML file\n",
    )
    answer = cli("train", "--config", recipe, "--out", tmp_path / "run")
    assert (answer.code, answer.err) == (
        2,
        "espcn-core: no data set is named: give its path with --data\n",
    )
    answer = cli("train", "--config", recipe, "--data", missing, "--out", tmp_path / "run")
    assert answer.code == 1
    assert f"{missing} is not there" in one_line(answer.err)
    assert cli("train", "--data", missing).code == 2  # --out is missing


def test_a_diverging_run_is_one_sentence_at_the_end(run, recipe, tmp_path):
    recipe.write_text(RECIPE.replace("1e-2", "1e30").replace("warmup = 4", "warmup = 0"))
    answer = run(tmp_path / "run")
    assert answer.code == 1
    assert answer.err.splitlines()[-1].endswith("after 10 steps: make learning_rate smaller")
    assert answer.err.count("make learning_rate smaller") == 1


def test_a_missing_package_is_named_with_the_command_that_installs_it(tmp_path):
    code = (
        "import sys; sys.modules['ignite'] = None\n"
        "from espcn_core.cli import main\n"
        f"sys.argv = ['espcn-core', 'train', '--data', 'x', '--out', {str(tmp_path / 'run')!r}]\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == "espcn-core: training needs ignite: pip install 'espcn-core[train]'\n"
    assert not (tmp_path / "run").exists()


def test_a_package_that_muon_needs_is_named_where_muon_is_asked_for(run, recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    assert run(tmp_path / "adam").code == 0
    recipe.write_text('optimizer = "muon"\n' + RECIPE)
    answer = run(tmp_path / "muon")
    assert answer.code == 2
    sentence = "espcn-core: training needs pytorch_optimizer: pip install 'espcn-core[train]'"
    assert answer.err.splitlines()[-1] == sentence
    monkeypatch.undo()
    assert run(tmp_path / "muon").code == 0  # once it is there, the same call does


# Small parts


def test_help_names_the_options():
    text = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200"}).output
    for option in ("--data", "--model", "--scale", "--degradation", "--out", "--epochs", "--minutes"):
        assert option in text
    for option in ("--resume", "--seed", "--device", "--config", "--fold"):
        assert option in text


def test_the_card_names_no_folder_of_this_machine(tmp_path):
    chosen = {"data": str(tmp_path), "model": "espcn", "scale": 4}
    options = "--model espcn --scale 4 --data PATH --out RUN"
    assert _command(None, chosen) == f"espcn-core train {options}"
    assert _command(tmp_path / "my own.toml", chosen) == f"espcn-core train --config 'my own.toml' {options}"


def test_a_recipe_is_named_as_it_was_given():
    call = _command(Path("recipes/espcn-r-x4.toml"), {"data": "/home/me/data.h5"})
    assert call == "espcn-core train --config recipes/espcn-r-x4.toml --data PATH --out RUN"


def test_the_first_interrupt_asks_and_the_second_one_breaks_off():
    with interruptible() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0, "0:00:00"), (59.6, "0:01:00"), (3725, "1:02:05")]
)
def test_time_left(seconds, text):
    assert _clock(seconds) == text

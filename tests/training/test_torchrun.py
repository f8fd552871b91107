"""Whole runs by torchrun: two processes train as one does, and go on after a signal and after a kill."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from espcn_core.cli.train import _settings
from espcn_core.errors import RequestError
from espcn_core.training.ranks import ALONE, Ranks
from espcn_core.training.run import begin

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tests send signals")

ROOT = Path(__file__).parents[2]
EPOCHS, STEPS = 10, 48
PATIENCE = 90  # seconds, of which torchrun takes a few


class Torchrun:
    """``espcn-core train`` in two processes."""

    def __init__(self, *options: object) -> None:
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        module = ["-m", "espcn_core", "train", *map(str, options)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", *launcher, *module],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self) -> tuple[int, str]:
        try:
            said, _ = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            for process in (*psutil.Process(self.process.pid).children(), self.process):
                process.kill()
            raise
        return self.process.returncode, said

    def rank(self, number: int) -> psutil.Process:
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if child.environ().get("RANK") == str(number))

    def wait_for(self, rows: int, log: Path) -> None:
        """Until so many epochs are in the log."""
        end = time.monotonic() + PATIENCE
        while len(read(log)) < rows:
            assert time.monotonic() < end, "no progress"
            assert self.process.poll() is None, self.end()
            time.sleep(0.01)


def read(log: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(log.read_text().splitlines())) if log.exists() else []


def step(out: Path) -> int:
    done: int = torch.load(out / "checkpoint.pt", weights_only=True)["step"]
    return done


@pytest.fixture(scope="module")
def config(make_config):
    return make_config(epochs=EPOCHS, steps_per_epoch=STEPS)


@pytest.fixture(scope="module")
def recipe(config, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(config.to_toml())
    return path


@pytest.fixture(scope="module")
def two(recipe, tmp_path_factory):
    """Folder and words of a run of two processes from start to end."""
    out = tmp_path_factory.mktemp("two") / "run"
    code, said = Torchrun("--config", recipe, "--out", out).end()
    assert code == 0, said
    return out, said


def test_two_processes_train_as_one_does(two, config, start, tmp_path):
    one = start(config, tmp_path)
    rows, of_one = read(two[0] / "log.csv"), read(tmp_path / "log.csv")
    assert len(rows) == len(of_one) == EPOCHS
    for name in ("loss", "psnr", "ssim", "learning_rate"):
        assert float(rows[0][name]) == pytest.approx(float(of_one[0][name]), rel=1e-4)
    assert float(rows[-1]["psnr"]) == pytest.approx(float(of_one[-1]["psnr"]), abs=0.05)
    assert float(rows[-1]["gain"]) > 0.5
    assert {path.name for path in two[0].iterdir()} == {path.name for path in one.out.iterdir()}
    assert len(list((two[0] / "tensorboard").iterdir())) == 1


def test_one_process_speaks_for_both(two):
    for words in ("2 processes share each batch of 8", "epoch 3, step 144", "tiny.safetensors: "):
        assert two[1].count(words) == 1
    assert "Warning" not in two[1]


def test_a_run_goes_on_after_a_signal_and_after_a_kill_to_the_same_numbers(two, recipe, tmp_path):
    out = tmp_path / "run"
    run = Torchrun("--config", recipe, "--out", out)
    run.wait_for(1, out / "log.csv")
    run.rank(1).send_signal(signal.SIGTERM)  # as a cluster may, to any of them
    code, said = run.end()
    assert code != 0
    assert said.count("stopped; go on with: torchrun, started as before, -m espcn_core train --resume") == 1
    stopped = step(out)
    assert STEPS <= stopped < EPOCHS * STEPS

    run = Torchrun("--resume", "--out", out)
    run.wait_for(stopped // STEPS + 2, out / "log.csv")
    run.rank(1).kill()
    killed = time.monotonic()
    code, said = run.end()
    assert time.monotonic() - killed < 40  # torchrun itself waits up to 30 s for the others
    assert code != 0
    assert "exitcode  : -9" in said
    assert stopped < step(out) < EPOCHS * STEPS
    assert step(out) % STEPS == 0

    code, said = Torchrun("--resume", "--out", out).end()
    assert code == 0, said
    for name in ("log.csv", "tiny.safetensors", "tiny.json"):
        assert (out / name).read_bytes() == (two[0] / name).read_bytes(), name


# What is decided before the run


def test_torchrun_starts_again_from_the_checkpoint_of_the_same_settings(
    straight, start, make_config, recipe, tmp_path, monkeypatch
):
    config = make_config(epochs=1)
    start(config, tmp_path, 5)
    file = tmp_path / "recipe.toml"
    file.write_text(config.to_toml())
    with pytest.raises(RequestError, match="holds a run already"):
        _settings(tmp_path, file, False, {}, ALONE)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    settings, checkpoint = _settings(tmp_path, file, False, {}, ALONE)
    assert settings == config
    assert checkpoint["step"] == 5
    with pytest.raises(RequestError, match="holds a run with other settings: name another --out"):
        _settings(tmp_path, file, False, {"seed": 1}, ALONE)


def test_torchrun_starts_anew_what_has_no_checkpoint_yet(make_config, tmp_path, monkeypatch):
    config = make_config()
    begin(config, tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert _settings(tmp_path, tmp_path / "config.toml", False, {}, ALONE) == (config, None)


def test_a_batch_that_cannot_be_shared_leaves_no_folder(recipe, tmp_path):
    with pytest.raises(RequestError, match="batch is 8, which 3 processes cannot share evenly"):
        _settings(tmp_path / "run", recipe, False, {}, Ranks(0, 3))
    assert not (tmp_path / "run").exists()

"""A network, patches and slices small enough for a run to take about a second."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from espcn_core.evaluation.pool import one_thread
from espcn_core.figshare import open_source
from espcn_core.training.config import TrainingConfig
from espcn_core.training.run import Result, begin, resumable, train


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def source(figshare_dir):
    with open_source(figshare_dir) as opened:
        yield opened


@pytest.fixture(scope="session")
def make_config(figshare_dir) -> Callable[..., TrainingConfig]:
    """The configuration of a tiny run, with some values replaced."""

    def make(**changes: Any) -> TrainingConfig:
        values = {
            "name": "tiny",
            "arguments": {"width": 8, "depth": 1},
            "scale": 4,
            "shrink": 2,
            "data": str(figshare_dir),
            "epochs": 4,
            "steps_per_epoch": 12,
            "batch": 8,
            "patch": 16,
            "patches_per_slice": 4,
            "learning_rate": 1e-2,
            "warmup": 4,
            "ema": 0.9,
            "precision": "float32",
            "device": "cpu",
        }
        return TrainingConfig(**{**values, **changes})

    return make


@dataclass(frozen=True)
class Run:
    """A run that has ended or was stopped."""

    config: TrainingConfig
    out: Path
    result: Result
    said: list[str]

    @property
    def checkpoint(self) -> dict[str, Any]:
        return torch.load(self.out / "checkpoint.pt", weights_only=True)

    @property
    def files(self) -> dict[str, bytes]:
        """Content of the files in the folder that do not tell the time."""
        paths = (path for path in self.out.iterdir() if path.is_file() and path.name != "checkpoint.pt")
        return {path.name: path.read_bytes() for path in paths}


def _go(config, out, checkpoint, stop_after, options) -> Run:
    said: list[str] = []
    asked = itertools.count(1)

    def stop() -> bool:
        return stop_after is not None and next(asked) >= stop_after

    return Run(config, out, train(config, out, checkpoint, say=said.append, stop=stop, **options), said)


@pytest.fixture(scope="session")
def start() -> Callable[..., Run]:
    """Begins a run in a folder, and stops it after some steps if asked for."""

    def call(config: TrainingConfig, out: Path, stop_after: int | None = None, **options: Any) -> Run:
        begin(config, out)
        return _go(config, out, None, stop_after, options)

    return call


@pytest.fixture(scope="session")
def resume() -> Callable[..., Run]:
    """Goes on with the run in a folder, and stops it after some more steps if asked for."""

    def call(out: Path, stop_after: int | None = None, **overrides: Any) -> Run:
        config, checkpoint = resumable(out, **overrides)
        return _go(config, out, checkpoint, stop_after, {})

    return call


@pytest.fixture(scope="session")
def straight(make_config, start, tmp_path_factory) -> Run:
    """A run from start to end, not to be changed."""
    with one_thread():
        return start(make_config(), tmp_path_factory.mktemp("straight"), command="the command")

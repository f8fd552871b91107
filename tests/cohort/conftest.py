from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from espcn_core.cohort.jobs import Job
from espcn_core.cohort.work import Wanted
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model
from espcn_core.upscaling.plan import Request

AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])


class Watcher:
    """Remembers what it is told; a subclass interferes."""

    def __init__(self):
        self.plans, self.finished, self.written_of = {}, [], set()

    def begin(self, job, plan, place):
        self.plans[job] = plan

    def upscaled(self, job, done, total):
        pass

    def written(self, job, done, total):
        self.written_of.add(job)

    def finish(self, outcome):
        self.finished.append(outcome)

    @property
    def states(self) -> dict[str, str]:
        """By the names of the inputs."""
        return {outcome.job.source.name: outcome.state for outcome in self.finished}


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """Two files of untrained weights of scale 2."""
    folder = tmp_path_factory.mktemp("weights")
    arguments = {"width": 8, "depth": 1}
    for seed in (1, 2):
        torch.manual_seed(seed)
        network = build("espcn-r", (2, 2), **arguments)
        torch.nn.init.normal_(network.sub_pixels.weight, std=0.05)
        save_model(network, Card(f"small-{seed}", "espcn-r", (2, 2), "bicubic", arguments), folder)
    return folder


@pytest.fixture
def wanted(weights):
    return Wanted(Request(scale=2, model=str(weights / "small-1.safetensors")))


@pytest.fixture
def save():
    """Writes a NIfTI file of random values and returns its path."""

    def save(path: Path, shape=(12, 10, 4), seed=5) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(seed).integers(0, 1000, shape).astype(np.int16)
        nib.save(nib.Nifti1Image(values, AFFINE), path)
        return path

    return save


@pytest.fixture
def jobs(tmp_path, save) -> list[Job]:
    """Five files with values of their own."""
    names = [f"{n}.nii.gz" for n in range(5)]
    return [Job(save(tmp_path / "in" / name, seed=int(name[0])), tmp_path / "out" / name) for name in names]


@pytest.fixture
def program(tmp_path):
    """Gives the command of a worker process in which some code runs first."""

    def program(code: str = "") -> tuple[str, ...]:
        path = tmp_path / "worker.py"
        path.write_text(f"from espcn_core.cohort import work, worker\n{code}\nworker.serve()\n")
        return sys.executable, str(path)

    return program

"""What all tests share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest

# A shared machine is no reason to fail, and a run that cannot be repeated is no help.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")

# What is measured of this machine is not to be kept, nor what its user has kept to be found.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="espcn-core-tests-")


@pytest.fixture(autouse=True)
def torch_is_faster(monkeypatch):
    """By default the engine does not depend on the machine that runs the tests."""
    monkeypatch.setattr("espcn_core.upscaling.engines.is_openvino_faster", lambda *asked: False)


@pytest.fixture(autouse=True)
def process_as_it_is(monkeypatch):
    """The command line, where a test calls it, sets nothing for the process of the tests."""
    monkeypatch.setattr("espcn_core.cli.prepare", lambda: None)


@pytest.fixture(scope="session")
def figshare_dir() -> Path:
    """Twelve real slices of six stand-in patients and their folds, as the public data set lays them out."""
    return Path(__file__).parent / "data" / "figshare"

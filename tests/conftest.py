"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

# A shared machine is no reason to fail, and a run that cannot be repeated is no help.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")


@pytest.fixture(scope="session")
def figshare_dir() -> Path:
    """Twelve real slices of six stand-in patients and their folds, as the public data set lays them out."""
    return Path(__file__).parent / "data" / "figshare"

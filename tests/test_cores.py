"""As many threads as the process may use, and no more."""

from __future__ import annotations

import os

import pytest

from espcn_core import cores
from espcn_core.cores import usable_cores

FIRST = "cgroup/cpu/cpu.cfs_{}_us"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Eight processors, and control groups as files say."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "_OWN_CGROUP", tmp_path / "own")

    def write(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return write


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"own": "0::/\n", "cgroup/cpu.max": "max 100000\n"}, 8),
        ({"own": "0::/\n", "cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"own": "0::/\n", "cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"own": "0::/\n", "cgroup/cpu.max": "10000 100000\n"}, 1),
        ({"own": "0::/\n", "cgroup/cpu.max": "9900000 100000\n"}, 8),
        ({"own": "0::/slurm/job\n", "cgroup/slurm/cpu.max": "300000 100000\n"}, 3),
        ({"own": "0::/a/b\n", "cgroup/a/cpu.max": "500000 100000", "cgroup/a/b/cpu.max": "400000 100000"}, 4),
        ({FIRST.format("quota"): "300000", FIRST.format("period"): "100000", "own": "4:cpu:/x\n"}, 3),
        ({FIRST.format("quota"): "-1", FIRST.format("period"): "100000"}, 8),
        ({"own": "0::/\n", "cgroup/cpu.max": "nonsense"}, 8),
    ],
)  # fmt: skip
def test_a_control_group_may_allow_fewer_than_there_are(machine, files, expected):
    machine(files)
    assert usable_cores() == expected


def test_without_affinity_it_is_all_of_them(machine, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert usable_cores() == 5

"""What processes share: with real ones over gloo, and alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espcn_core.errors import RequestError
from espcn_core.training import ranks as module
from espcn_core.training.ranks import ALONE, Ranks, joined, restarted

WORKER = Path(__file__).with_name("rank_worker.py")
CPU = torch.device("cpu")
LAUNCHED = {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}


def launch(count, *options, **more):
    """The worker in some processes, as torchrun would start them; gives them when they have ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sizes = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    fixed = {**os.environ, **LAUNCHED, **{name: str(value) for name, value in sizes.items()}, **more}
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), *options],
            env={**fixed, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        return [(*worker.communicate(timeout=60), worker.returncode) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()


@pytest.fixture(scope="module")
def three():
    """Within a job of Slurm, which counts one process for each of its two machines."""
    slurm = {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "2"}
    slurm |= {"SLURM_JOB_NODELIST": "a,b", "SLURM_JOB_NUM_NODES": "2"}
    answers = launch(3, **slurm)
    assert [code for *_, code in answers] == [0, 0, 0], answers
    return [json.loads(out) for out, *_ in answers]


def test_each_process_has_its_number(three):
    assert [(one["rank"], one["size"]) for one in three] == [(0, 3), (1, 3), (2, 3)]


def test_all_get_the_mean_the_sums_and_the_answer(three):
    for one in three:
        assert one["mean"] == [3.0, 1.0]
        assert one["sums"] == [3.0, 1.5]
        assert (one["one"], one["none"]) == (True, False)


def test_all_get_what_the_first_makes_and_its_error(three):
    for one in three:
        assert one["of_first"] == ["made by", 0]
        assert one["error"] == "the first one says no"


def test_gradients_are_added_in_one_order_wherever_they_lie(three):
    """In float32, 2**24 + 1 - 2**24 is 0 in the order of the processes, and 1 in another one."""
    assert [one["gradients"] for one in three] == [[[0.0], [0.0]]] * 3


def test_a_lost_process_is_one_sentence():
    first, second = launch(2, "--lose")
    assert second[2] == 5
    assert first[2] not in (0, 5)  # torch may end it in its own way once the sentence is said
    assert (
        "EspcnError: process 0 has lost another process of the run, which failed or was killed: "
        "go on from the last checkpoint with --resume"
    ) in first[1].splitlines()


# What each gets of a batch


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 12])
def test_shares_are_equal_and_make_up_the_batch(size):
    shares = [Ranks(rank, size).share(12) for rank in range(size)]
    assert [pair for share in shares for pair in share] == list(range(12))
    assert {len(share) for share in shares} == {12 // size}


@pytest.mark.parametrize(("batch", "size", "fewer"), [(8, 3, 2), (4, 8, 4), (5, 2, 1)])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(batch, size, fewer):
    message = f"batch is {batch}, which {size} processes cannot share evenly: start {fewer}, or set batch"
    with pytest.raises(RequestError, match=message):
        Ranks(0, size).share(batch)


def test_parts_are_all_of_it():
    parts = [Ranks(rank, 3).part("abcdefg") for rank in range(3)]
    assert parts == ["adg", "be", "cf"]
    assert Ranks(2, 3).part("ab") == ""


# Alone


def test_alone_nothing_is_changed():
    network, value = torch.nn.Linear(2, 2), torch.ones(3)
    assert ALONE.leads
    assert ALONE.wrap(network) is network
    assert ALONE.mean(value) is value
    assert ALONE.sums(1.5, 2) == [1.5, 2]
    assert (ALONE.any(True), ALONE.any(False)) == (True, False)
    assert ALONE.of_first(lambda: 7) == 7
    assert ALONE.on(torch.device("mps")) is ALONE


@pytest.mark.parametrize(
    "environment",
    [{}, {"WORLD_SIZE": "4", "RANK": "1"}, {**LAUNCHED, "WORLD_SIZE": "1"}],
    ids=["nothing", "of another launcher", "torchrun with one process"],
)
def test_a_process_that_has_no_company_is_alone(monkeypatch, environment):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with joined() as ranks:
        assert ranks is ALONE
        assert not torch.distributed.is_initialized()


# Devices


def test_more_processes_than_graphics_cards_are_refused(monkeypatch):
    for name, value in {**LAUNCHED, "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(RequestError, match="4 processes are too many for a machine with 2 graphics cards"):
        joined().__enter__()


def test_gradients_go_by_nccl_on_cuda_and_not_at_all_on_mps(monkeypatch):
    monkeypatch.setattr(module.dist, "new_group", lambda backend: f"a group of {backend}")
    two = Ranks(1, 2)
    assert two.on(CPU) is two
    assert two.on(torch.device("cuda")) == Ranks(1, 2, "a group of nccl")
    with pytest.raises(RequestError, match="device is mps, where 2 processes cannot train: choose cpu"):
        two.on(torch.device("mps"))


@pytest.mark.parametrize(("count", "again"), [(None, False), ("0", False), ("2", True)])
def test_torchrun_says_whether_it_starts_again(monkeypatch, count, again):
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    if count is not None:
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
    assert restarted() is again

"""The devices that are found, and their names."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest


@pytest.fixture
def hardware(monkeypatch):
    """Lets torch see other hardware than there is."""
    import torch

    def there(cuda=None, mps=False, threads=8):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda is not None)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    return there


def test_without_a_card_there_is_the_CPU(hardware):
    from ESPCNSlicerLib.devices import find_devices

    hardware(threads=1)
    assert find_devices() == [("cpu", "CPU, 1 thread")]


def test_the_fastest_comes_first_and_all_have_names(hardware):
    from ESPCNSlicerLib.devices import find_devices

    card = types.SimpleNamespace(name="GeForce RTX 4090", total_memory=24 * 2**30)
    hardware(card, mps=True)
    assert find_devices() == [
        ("cuda", "GeForce RTX 4090, 24 GB"),
        ("mps", "Apple GPU"),
        ("cpu", "CPU, 8 threads"),
    ]


def test_what_is_found_can_be_chosen(hardware):
    from ESPCNSlicerLib.devices import find_devices

    from espcn_core.upscaling.torch_engine import choose_device

    for key, _ in find_devices():
        assert choose_device(key).type == key


def test_free_memory_is_said_where_it_can_be(monkeypatch):
    from ESPCNSlicerLib.devices import free_memory

    monkeypatch.setitem(
        sys.modules,
        "psutil",
        types.SimpleNamespace(virtual_memory=lambda: types.SimpleNamespace(available=7)),
    )
    assert free_memory() == 7
    monkeypatch.setitem(sys.modules, "psutil", None)
    if sys.platform == "linux":
        assert 2**20 < free_memory() < 2**50
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("ESPCNSlicerLib.devices.Path", lambda _: Path("nothing/of/that/name"))
    assert free_memory() is None

"""The computation itself: memory, devices, notes; without scene and panel."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def work(shipped):
    """Makes the `Work` of a random volume."""
    from ESPCNSlicerLib.plans import make_plan
    from ESPCNSlicerLib.work import Work

    from espcn_core.grid import Grid

    def make(array=None, dtype=None, device="cpu", compare=False, **asked):
        if array is None:
            array = np.random.default_rng(3).gamma(2, 200, (8, 7, 3)).astype(np.float32)
        plan = make_plan(Grid(array.shape[:3], np.diag([1.0, 1.0, 2.0, 1.0])), **(asked or {"scale": 2}))
        return Work(plan, array, np.dtype(dtype or array.dtype), device, compare)

    return make


def test_what_is_made_is_what_the_library_makes(work):
    from ESPCNSlicerLib.work import compute

    from espcn_core import upscale

    task = work()
    made = compute(task)
    expected, _ = upscale((task.array, task.plan.source.affine), scale=2, device="cpu", precision="auto")
    np.testing.assert_array_equal(made.array, expected)
    assert made.device == "cpu"
    assert made.interpolated is None
    assert made.notes == ()
    assert 0 < made.seconds < 60


def test_the_interpolation_is_cubic_on_the_same_grid_and_in_the_same_type(work):
    from ESPCNSlicerLib.work import compute

    i, j, _ = np.meshgrid(np.arange(10), np.arange(9), np.arange(3), indexing="ij")
    task = work((100 + 7 * i + 3 * j).astype(np.int16), compare=True)
    made = compute(task)
    assert made.interpolated.shape == made.array.shape == (20, 18, 3)
    assert made.interpolated.dtype == np.int16
    x, y = np.meshgrid((np.arange(20) - 0.5) / 2, (np.arange(18) - 0.5) / 2, indexing="ij")
    inside = (slice(6, 14), slice(6, 12))
    ramp = (100 + 7 * x + 3 * y)[inside]
    assert np.abs(made.interpolated[inside] - ramp[..., None]).max() <= 0.5 + 1e-3


def test_the_type_is_the_one_asked_for(work):
    from ESPCNSlicerLib.work import compute

    made = compute(work(np.full((8, 8, 2), 7, np.int16), np.float32, compare=True))
    assert made.array.dtype == made.interpolated.dtype == np.float32


def test_what_the_user_should_know_is_said_and_kept(work, monkeypatch):
    from ESPCNSlicerLib.work import compute

    from espcn_core.degradation import SliceProfile

    judged = SliceProfile(thickness=0.8)
    monkeypatch.setattr("espcn_core.upscaling.finish.likeliest_profile", lambda *_: judged)
    task, said = work(spacing="isotropic"), []
    task.array[2, 2, 2] = np.nan
    made = compute(task, say=said.append)
    assert "1 voxels are NaN or infinite and stay so" in said
    assert any("state their thickness" in sentence for sentence in said)
    assert list(made.notes) == said


def test_progress_that_returns_False_stops_it(work):
    from ESPCNSlicerLib.work import compute

    from espcn_core.errors import CancelledError

    seen = []
    with pytest.raises(CancelledError):
        compute(work(), lambda *counts: seen.append(counts) or False)
    assert len(seen) == 1


def test_whole_numbers_cannot_hold_what_is_not_finite(work):
    from ESPCNSlicerLib.work import compute

    from espcn_core.errors import VolumeError

    task = work(np.full((8, 8, 2), np.inf, np.float32), np.int16)
    with pytest.raises(VolumeError, match="NaN or infinite, which int16 cannot hold"):
        compute(task)


PARTS = ("espcn_core.upscaling.upscaler.run", "espcn_core.upscaling.finish.finish")


@pytest.mark.parametrize("part", PARTS, ids=["networks", "interpolation"])
def test_missing_memory_is_a_sentence(part, work, monkeypatch):
    from ESPCNSlicerLib.work import compute

    from espcn_core.errors import EspcnError

    def fail(*arguments, **keywords):
        np.empty(2**55)  # numpy's own kind of MemoryError

    monkeypatch.setattr(part, fail)
    with pytest.raises(EspcnError, match="not enough memory for the result: choose a coarser target"):
        compute(work(compare=True))


@pytest.fixture
def cuda(monkeypatch):
    """Lets the library believe in a graphics card, whose runs do what `fails` says; returns its log."""
    import torch
    from ESPCNSlicerLib import work as module

    from espcn_core.upscaling import torch_engine

    log, errors = [], []
    choose, run = torch_engine.choose_device, module._run

    def chosen(name):
        return torch.device("cuda") if name in ("auto", "cuda") else choose(name)

    def ran(task, device, progress):
        log.append(device)
        if device == "cuda":
            if progress is not None:
                progress(1, 3)
            raise errors[0]
        return run(task, device, progress)

    monkeypatch.setattr(torch_engine, "choose_device", chosen)
    monkeypatch.setattr(module, "_run", ran)

    def fails(error):
        errors.append(error)
        return log

    return fails


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_card_without_memory_hands_over_to_the_CPU_and_says_so(device, work, cuda):
    from ESPCNSlicerLib.work import compute

    from espcn_core.errors import DeviceMemoryError

    log, said, seen = cuda(DeviceMemoryError("too small")), [], []
    made = compute(work(device=device), lambda *counts: seen.append(counts), said.append)
    assert log == ["cuda", "cpu"]
    assert said == ["the memory of cuda is too small or in use: the CPU does it"]
    assert made.notes == tuple(said)
    assert made.device == "cpu"
    assert seen == [(1, 3), (3, 3)]
    np.testing.assert_array_equal(made.array, compute(work(device="cpu")).array)


def test_another_error_of_a_card_is_not_hidden(work, cuda):
    from ESPCNSlicerLib.work import compute

    log = cuda(RuntimeError("misaligned address"))
    with pytest.raises(RuntimeError, match="misaligned address"):
        compute(work(device="cuda"))
    assert log == ["cuda"]


def test_a_CPU_without_memory_has_nobody_to_hand_over_to(work, monkeypatch):
    from ESPCNSlicerLib import work as module

    from espcn_core.errors import DeviceMemoryError

    calls = []

    def run(task, device, progress):
        calls.append(device)
        raise DeviceMemoryError("too small")

    monkeypatch.setattr(module, "_run", run)
    with pytest.raises(DeviceMemoryError, match="too small"):
        module.compute(work())
    assert calls == ["cpu"]


@pytest.mark.parametrize("error", [None, ValueError("bad"), MemoryError()], ids=["fine", "error", "memory"])
def test_the_memory_of_the_card_is_given_back_whatever_happens(error, work, monkeypatch):
    from ESPCNSlicerLib.work import compute

    from espcn_core.errors import EspcnError
    from espcn_core.upscaling import upscaler

    freed, run = [], upscaler.run

    def ran(*arguments, **keywords):
        if error is not None:
            raise error
        return run(*arguments, **keywords)

    monkeypatch.setattr(upscaler, "run", ran)
    monkeypatch.setattr("espcn_core.upscaling.torch_engine.free_memory", freed.append)
    if error is None:
        compute(work())
    else:
        with pytest.raises((EspcnError, ValueError)):
            compute(work())
    assert [device.type for device in freed] == ["cpu"]


def test_a_device_that_is_not_there_is_said(work):
    import torch
    from ESPCNSlicerLib.work import compute

    from espcn_core.errors import RequestError

    if torch.backends.mps.is_available():
        pytest.skip("this machine has an Apple GPU")
    with pytest.raises(RequestError, match="there is no mps device here"):
        compute(work(device="mps"))

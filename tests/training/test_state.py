from __future__ import annotations

import pickle

import pytest
import torch

from espcn_core.errors import DataError
from espcn_core.training.state import CHECKPOINT, RunState, read_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def fresh(make_config):
    def make(**changes):
        return RunState.fresh(make_config(**changes), CPU, torch.float32)

    return make


def trained(state, steps=3):
    """The state after some steps on noise."""
    for _ in range(steps):
        state.schedule(None)
        state.network(torch.rand(1, 1, 8, 8)).square().mean().backward()
        state.optimizer.step()
        state.step += 1
    with torch.no_grad():
        for parameter in state.ema.ema_model.parameters():
            parameter += 0.25
    state.seconds, state.best_psnr = 12.5, 31.25
    state.loss_sum += 0.375
    state.history.append({"epoch": 1, "psnr": 31.25})
    return state


def tensors(state):
    network, mean = state.network.state_dict(), state.ema.ema_model.state_dict()
    moments = [value for part in state.optimizer.state_dict()["state"].values() for value in part.values()]
    return [*network.values(), *mean.values(), *moments]


def test_the_first_weights_depend_on_the_seed_alone(fresh):
    torch.manual_seed(99)
    first = fresh(seed=3).network.state_dict()
    torch.rand(17)
    again, other = fresh(seed=3).network.state_dict(), fresh(seed=4).network.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_mean_starts_at_the_weights(fresh):
    state = fresh()
    mean = state.ema.ema_model.state_dict()
    assert all(torch.equal(value, mean[name]) for name, value in state.network.state_dict().items())
    assert state.ema.momentum == pytest.approx(0.1)
    assert state.schedule.total == 4 * 12


def test_a_checkpoint_brings_everything_back(fresh, tmp_path):
    state = trained(fresh())
    state.schedule.plan(40)
    torch.manual_seed(7)
    state.save(tmp_path, config={}, split={})
    drawn = torch.rand(5)

    other = fresh(seed=1)
    other.load(read_checkpoint(tmp_path))
    assert torch.equal(torch.rand(5), drawn)
    assert all(torch.equal(a, b) for a, b in zip(tensors(state), tensors(other), strict=True))
    assert other.schedule.state_dict() == state.schedule.state_dict()
    for name in ("step", "seconds", "history", "best_psnr", "loss_sum"):
        assert getattr(other, name) == getattr(state, name)
    assert other.optimizer.param_groups[0]["lr"] == state.optimizer.param_groups[0]["lr"]


def test_what_else_is_saved_is_there(fresh, tmp_path):
    fresh().save(tmp_path, config={"scale": 4}, split={"patients": {7: "P1"}}, command="c")
    content = read_checkpoint(tmp_path)
    assert (content["config"], content["command"]) == ({"scale": 4}, "c")
    assert content["split"] == {"patients": {7: "P1"}}


def test_a_checkpoint_that_cannot_be_written_leaves_the_former_one(fresh, tmp_path, monkeypatch):
    state = fresh()
    state.save(tmp_path, config={}, split={})
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trained(state).save(tmp_path, config={}, split={})
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path} holds no checkpoint to resume from"):
        read_checkpoint(tmp_path)
    (tmp_path / CHECKPOINT).mkdir()
    with pytest.raises(DataError, match="holds no checkpoint"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
def test_a_cut_checkpoint_is_named(fresh, tmp_path, part):
    fresh().save(tmp_path, config={}, split={})
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(DataError, match=f"{path} is damaged: start the run again") as caught:
        read_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


class Foreign:
    def __reduce__(self):
        return (exec, ("raise AssertionError('code of a checkpoint was run')",))


FOREIGN = {"text": b"not a checkpoint\n" * 50, "pickle": pickle.dumps(Foreign(), protocol=2)}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_named_and_not_run(tmp_path, content):
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [{"network": {}}, [1, 2], torch.zeros(3)])
def test_a_file_of_torch_that_is_no_checkpoint_is_named(tmp_path, content):
    torch.save(content, tmp_path / CHECKPOINT)
    with pytest.raises(DataError, match="is not the checkpoint of a run"):
        read_checkpoint(tmp_path)

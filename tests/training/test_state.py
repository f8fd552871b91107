from __future__ import annotations

import pickle

import pytest
import torch

from espcn_core.errors import DataError, RequestError
from espcn_core.models.cards import Card
from espcn_core.models.fingerprint import length
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model
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
        state.optimizer.zero_grad()
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


@pytest.fixture
def weights(tmp_path):
    """A file of weights that no fresh network has, for x4 and as wide as the tiny network."""

    def make(model="espcn-r", **arguments):
        network = build(model, (4, 4), **arguments)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.uniform_(2, 3)
        card = Card("trained", model, (4, 4), "bicubic", arguments)
        return str(save_model(network, card, tmp_path)), network.state_dict()

    return make


def test_a_run_starts_from_trained_weights(fresh, weights):
    path, trained = weights(width=8, depth=1)
    state = fresh(scale=4, start=path)
    for part in (state.network, state.ema.ema_model):
        assert all(torch.equal(value, trained[name]) for name, value in part.state_dict().items())


def test_layers_that_do_not_fit_start_anew(fresh, weights):
    """From x4 into x2: the body is taken over, the sub-pixels are as they would be without a start."""
    path, trained = weights(width=8, depth=1)
    new, plain = fresh(scale=2, start=path).network.state_dict(), fresh(scale=2).network.state_dict()
    body = {name for name in new if name.startswith("body.")}
    assert {f"body.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")} == body
    for name, value in new.items():
        assert torch.equal(value, (trained if name in body else plain)[name]), name


def test_a_deeper_network_takes_over_what_is_there(fresh, weights):
    path, trained = weights(width=8, depth=1, activation="prelu")
    arguments = {"width": 8, "depth": 2}
    changes = {"scale": 4, "arguments": arguments}
    new, plain = fresh(start=path, **changes).network.state_dict(), fresh(**changes).network.state_dict()
    for name, value in new.items():
        assert torch.equal(value, trained.get(name, plain[name])), name
    assert not torch.equal(new["body.2.weight"], plain["body.2.weight"])
    assert torch.equal(new["body.4.weight"], plain["body.4.weight"])


def test_an_adaptive_network_is_fitted_to_its_run_once(fresh):
    arguments = {"width": 8, "depth": 1, "adaptive": True}
    state = fresh(arguments=arguments)
    seen = 3 + 2 * torch.randn(50, length(False), generator=torch.Generator().manual_seed(1))
    state.standardise(seen)
    state.standardise(seen + 5)  # as where it starts from trained weights
    for network in (state.network, state.ema.ema_model):
        torch.testing.assert_close(network.adaptation.centre, seen.mean(0))
        torch.testing.assert_close(network.adaptation.spread, seen.std(0) + 1e-3)
    fresh().standardise(seen)  # nothing to fit


def test_shipped_weights_are_a_start_and_unknown_ones_are_named(fresh):
    fresh(start="espcn-r-x3", scale=2, arguments={})
    with pytest.raises(RequestError, match="espcn-r-x40"):
        fresh(start="espcn-r-x40")
    with pytest.raises(RequestError, match="start is 'espcn-x4': none of its convolutions has the shape"):
        fresh(start="espcn-x4", scale=2)


def test_a_mirrored_network_is_a_start_for_mirrored_ones_alone(fresh, weights):
    """They keep their weights in another form; of what adapts a network some parts would fit."""
    arguments = {"width": 8, "depth": 1, "adaptive": True}
    path, trained = weights(**arguments, mirrored=True)
    new = fresh(start=path, arguments={**arguments, "mirrored": True}).network
    assert all(torch.equal(value, trained[name]) for name, value in new.state_dict().items())
    with pytest.raises(RequestError, match="none of its convolutions"):
        fresh(start=path, arguments=arguments)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_checkpoint_brings_everything_back(fresh, tmp_path, optimizer, mirrored):
    arguments = {"width": 8, "depth": 1, "mirrored": mirrored}
    state = trained(fresh(optimizer=optimizer, arguments=arguments))
    state.schedule.plan(40)
    torch.manual_seed(7)
    state.save(tmp_path, config={}, split={})
    drawn = torch.rand(5)

    other = fresh(seed=1, optimizer=optimizer, arguments=arguments)
    other.load(read_checkpoint(tmp_path))
    assert torch.equal(torch.rand(5), drawn)
    assert all(torch.equal(a, b) for a, b in zip(tensors(state), tensors(other), strict=True))
    assert other.schedule.state_dict() == state.schedule.state_dict()
    for name in ("step", "seconds", "history", "best_psnr", "loss_sum"):
        assert getattr(other, name) == getattr(state, name)
    for ours, theirs in zip(other.optimizer.param_groups, state.optimizer.param_groups, strict=True):
        assert {**ours, "params": None} == {**theirs, "params": None}
    torch.manual_seed(3)
    trained(state)
    torch.manual_seed(3)
    trained(other)
    assert all(torch.equal(a, b) for a, b in zip(tensors(state), tensors(other), strict=True))


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

from __future__ import annotations

import csv
import dataclasses

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from espcn_core.figshare import from_runs, split
from espcn_core.models.cards import read_card
from espcn_core.models.trained import load_model
from espcn_core.training.keeper import LOG, Keeper
from espcn_core.training.state import RunState, read_checkpoint
from espcn_core.training.validation import Score

BASELINE = Score(30.0, 0.8, 3)
CONTRAST = {"mean": [0.1, 0.4], "sharpness": [0.5, 1.25], "noise": [0.0, 0.03]}


@pytest.fixture
def make_keeper(make_config, source, tmp_path):
    """A keeper in an empty folder; its sentences are in ``keeper.said``."""

    def make(state=None, **changes):
        config = make_config(**changes)
        state = state or RunState.fresh(config, torch.device("cpu"), torch.float32)
        said = []
        sides, patients = split(source, config.fold), source.patients()
        more = (CONTRAST, BASELINE, "the command", said.append)
        keeper = Keeper(config, tmp_path, state, sides, patients, *more)
        keeper.said = said
        return keeper

    return make


def epoch(keeper, psnr, weight):
    """An epoch after which all weights of the running mean have one value."""
    keeper.state.step += 12
    with torch.no_grad():
        for parameter in keeper.state.ema.ema_model.parameters():
            parameter.fill_(weight)
    keeper.epoch_done(Score(psnr, psnr / 100, 3), loss=1 / psnr)


def kept(keeper):
    """The one value of the weights that are kept, and their card."""
    network, card = load_model(keeper.weights)
    (value,) = {float(v) for p in network.parameters() for v in p.detach().flatten()}
    return value, card


def events(folder):
    """Steps and values of the PSNR in all event files."""
    read = EventAccumulator(str(folder / "tensorboard")).Reload()
    return [(event.step, round(event.value, 3)) for event in read.Scalars("psnr")]


def test_the_best_weights_are_kept(make_keeper):
    keeper = make_keeper()
    for number, psnr in enumerate((31.0, 33.0, 32.0, 33.0)):
        epoch(keeper, psnr, number)
        assert kept(keeper)[0] == [0, 1, 1, 1][number]
    assert keeper.state.best_psnr == 33
    assert kept(keeper)[1].metrics["psnr"] == 33
    keeper.close()


def test_a_resumed_run_does_not_replace_better_weights(make_keeper):
    keeper = make_keeper()
    epoch(keeper, 33.0, 1)
    keeper.close()
    again = make_keeper(seed=5)
    again.state.load(read_checkpoint(again.out))
    epoch(again, 32.0, 2)
    assert kept(again)[0] == 1
    again.close()


def test_the_log_has_a_row_for_each_epoch(make_keeper, tmp_path):
    keeper = make_keeper()
    keeper.state.optimizer.param_groups[0]["lr"] = 0.25
    epoch(keeper, 32.0, 0)
    epoch(keeper, 33.5, 0)
    with (tmp_path / LOG).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["12", "24"]
    wanted = {"epoch": 2, "loss": 1 / 33.5, "learning_rate": 0.25, "psnr": 33.5, "ssim": 0.335, "gain": 3.5}
    assert {name: float(rows[1][name]) for name in wanted} == wanted
    assert keeper.said[1] == "epoch 2, step 24: loss 0.02985, 33.50 dB (+3.50 over bicubic), SSIM 0.3350"
    keeper.close()


def test_files_are_written_whole_or_not_at_all(make_keeper, tmp_path, monkeypatch):
    keeper = make_keeper()
    epoch(keeper, 32.0, 0)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert set(before) == {"log.csv", "tiny.safetensors", "tiny.json", "checkpoint.pt"}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for write in (lambda: epoch(keeper, 33.0, 1), keeper.checkpoint):
        with pytest.raises(OSError, match="No space left"):
            write()
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before


def test_the_board_has_every_epoch_once_after_a_run_that_was_killed(make_keeper, tmp_path):
    keeper = make_keeper()
    epoch(keeper, 31.0, 0)
    checkpoint = read_checkpoint(tmp_path)
    epoch(keeper, 32.0, 0)
    keeper._board.close()  # killed here: the second epoch is on the board, but its checkpoint is lost
    assert events(tmp_path) == [(12, 31), (24, 32)]

    state = RunState.fresh(keeper.config, torch.device("cpu"), torch.float32)
    state.load(checkpoint)
    again = make_keeper(state)
    epoch(again, 32.5, 0)
    again.close()
    assert events(tmp_path) == [(12, 31), (24, 32.5)]


def test_the_card_says_what_the_weights_are(make_keeper, source):
    keeper = make_keeper(model="espcn-r", scale=3, shrink=2, degradation="area", data="/home/me/data")
    epoch(keeper, 32.123456, 0.5)
    keeper.close()
    card = read_card(keeper.weights.with_suffix(".json"))
    sides, patients = split(source, 5), source.patients()
    assert (card.name, card.architecture, card.factor, card.degradation) == (
        "tiny",
        "espcn-r",
        (3, 3),
        "area",
    )
    assert card.arguments == {"width": 8, "depth": 1}
    training = card.training
    assert training["slices"] == len(sides.train) == 9
    assert from_runs(training["trained_slices"]) == set(sides.train)
    assert training["patients"] == len({patients[i] for i in sides.train}) == 5
    assert (training["held_out_fold"], training["folds_from"]) == (5, "cvind")
    assert (training["spacing_mm"], training["coarse_spacing_mm"]) == pytest.approx((0.98, 2.94))
    assert training["licence"] == "CC BY 4.0"
    assert training["doi"] == "10.6084/m9.figshare.1512427"
    assert training["command"] == "the command"
    assert training["steps"] == 12
    settings = dataclasses.asdict(keeper.config)
    assert training["config"] == {k: v for k, v in settings.items() if k not in ("data", "device")}
    assert "/home/me" not in card.to_json()
    metrics = card.metrics
    assert metrics["psnr"] == 32.1235
    assert metrics["gain"] == 2.1235
    assert (metrics["bicubic_psnr"], metrics["bicubic_ssim"]) == (30, 0.8)
    assert (metrics["slices"], metrics["fold"]) == (3, 5)
    assert "peak: range of the true slice" in metrics["how"]
    assert card.not_for


@pytest.mark.parametrize(
    ("changes", "spacing"),
    [
        ({"scale": 4, "shrink": 1}, [1.96, 1.96]),
        ({"scale": 3, "shrink": 2}, [2.94, 2.94]),
        ({"scale": 2, "shrink": 2, "shrinks": [1, 2.5, 1.5]}, [0.98, 2.45]),
    ],
)
def test_the_card_says_on_what_range_the_network_was_trained(make_keeper, changes, spacing):
    keeper = make_keeper(**changes)
    epoch(keeper, 32.0, 0.5)
    keeper.close()
    training = kept(keeper)[1].training
    assert training["spacing_range_mm"] == spacing
    assert training["contrast_range"] == CONTRAST
    assert training["config"]["shrinks"] == changes.get("shrinks", [])


def test_the_card_says_what_the_steps_were_made_of(make_keeper):
    mixture = {"bicubic": 5, "area": 0.5}
    like_the_start = {"width": 48, "depth": 1, "mirrored": True}
    keeper = make_keeper(
        arguments=like_the_start,
        mixture=mixture,
        noise=0.03,
        contrast=0.25,
        optimizer="muon",
        start="espcn-r-x4",
        degradation="kspace",
    )
    epoch(keeper, 32.0, 0.5)
    keeper.close()
    card = kept(keeper)[1]
    assert card.degradation == "kspace"
    settings = card.training["config"]
    assert settings["mixture"] == mixture
    assert (settings["noise"], settings["contrast"]) == (0.03, 0.25)
    assert (settings["optimizer"], settings["start"]) == ("muon", "espcn-r-x4")


def test_the_card_does_not_say_in_which_folder_the_first_weights_were(make_keeper, tmp_path):
    state = RunState.fresh(make_keeper().config, torch.device("cpu"), torch.float32)
    keeper = make_keeper(state, start=str(tmp_path / "first.safetensors"))
    epoch(keeper, 32.0, 0.5)
    keeper.close()
    card = kept(keeper)[1]
    assert card.training["config"]["start"] == "first.safetensors"
    assert str(tmp_path) not in card.to_json()
    stored = read_checkpoint(tmp_path)["config"]["start"]
    assert stored == str(tmp_path / "first.safetensors")


def test_the_split_is_in_the_checkpoint(make_keeper, source, tmp_path):
    keeper = make_keeper(fold=4)
    keeper.close()
    stored = read_checkpoint(tmp_path)["split"]
    sides = split(source, 4)
    assert (tuple(stored["train"]), tuple(stored["validation"])) == (sides.train, sides.validation)
    assert (stored["fold"], stored["by"]) == (4, "cvind")
    assert stored["patients"] == source.patients()

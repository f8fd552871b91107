"""Whole runs: a resumed run is the straight run, the sides stay apart, and the network learns."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil

import pytest
import torch

from espcn_core.errors import DataError, EspcnError, RequestError
from espcn_core.figshare import Split, open_source, split
from espcn_core.models.cards import read_card
from espcn_core.models.eight_bits import holds_eight_bits
from espcn_core.models.trained import load_model
from espcn_core.training import run as run_module
from espcn_core.training.config import read_config
from espcn_core.training.data import validation_pairs, without_metadata
from espcn_core.training.engine import Loop
from espcn_core.training.run import COMMAND, begin, resumable, train
from espcn_core.training.state import RunState
from espcn_core.training.validation import bicubic, measure, padded

EPOCH = 12  # steps, in these runs

VARIED = {"mixture": {"bicubic": 2, "kspace": 1, "point": 1}, "noise": 0.05, "contrast": 0.5}
MIXED = {**VARIED, "optimizer": "muon", "shrinks": [1.5, 2], "loss": "mse", "epochs": 2}


def assert_same(a, b, where="checkpoint"):
    """Bit for bit, whatever is nested in what; only the time that a run took may differ."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a.keys() - {"seconds"}:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, where
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def assert_same_run(a, b):
    assert a.files == b.files
    assert_same(a.checkpoint, b.checkpoint)
    assert a.result.score == b.result.score


# A resumed run is the straight run


@pytest.mark.parametrize(
    "stops",
    [[1], [5], [EPOCH], [EPOCH + 1], [3 * EPOCH - 1], [2 * EPOCH], [7, 3, EPOCH]],
    ids=lambda stops: "+".join(map(str, stops)),
)
def test_resume_equals_straight_run(start, resume, straight, tmp_path, stops):
    run = start(straight.config, tmp_path, stops[0], command="the command")
    for steps in stops[1:]:
        assert not run.result.finished
        run = resume(tmp_path, steps)
    assert not run.result.finished
    assert run.checkpoint["step"] == sum(stops)
    run = resume(tmp_path)
    assert run.result.finished
    assert_same_run(run, straight)


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16", "clip": 0.1},
        {"model": "espcn", "arguments": {}, "loss": "charbonnier", "epochs": 2},
        {"minutes": 0.1, "epochs": 40},
        MIXED,
        {**MIXED, "arguments": {"width": 8, "depth": 1, "adaptive": True}, "precision": "bfloat16"},
        {"eight_bits": True, "epochs": 2},
    ],
    ids=[
        "bfloat16 and clip",
        "espcn and charbonnier",
        "bound on the time",
        "muon and a mixture",
        "an adaptive network",
        "weights of eight bits",
    ],
)
def test_resume_equals_straight_run_with(start, resume, make_config, tmp_path, monkeypatch, changes):
    if "minutes" in changes:  # the time then decides how long the run is: let every step take the same
        monkeypatch.setattr(Loop, "_seconds", lambda loop: 0.0625 * loop.state.step)
    config = make_config(**changes)
    whole = start(config, tmp_path / "whole")
    start(config, tmp_path / "parts", EPOCH + 6)
    assert_same_run(resume(tmp_path / "parts"), whole)
    assert whole.checkpoint["step"] == (60 * config.minutes / 0.0625 or config.epochs * EPOCH)


def test_a_run_from_trained_weights_goes_on_without_them(start, resume, make_config, straight, tmp_path):
    first = tmp_path / "first"
    shutil.copytree(straight.out, first)
    weights = first / "tiny.safetensors"
    config = make_config(start=str(weights), epochs=2, warmup=0, learning_rate=1e-6)
    whole = start(config, tmp_path / "whole")
    assert whole.result.score.psnr == pytest.approx(straight.result.score.psnr, abs=0.02)
    start(config, tmp_path / "parts", EPOCH + 6)
    shutil.rmtree(first)
    assert_same_run(resume(tmp_path / "parts"), whole)


class Killed(BaseException):
    """Nothing can be saved any more."""


@pytest.mark.parametrize("at", [EPOCH + 8, 3 * EPOCH])
def test_a_killed_run_goes_on_from_its_last_epoch(start, resume, straight, tmp_path, at):
    def watch(status):
        if status.step >= at:
            raise Killed

    with pytest.raises(Killed):
        start(straight.config, tmp_path, command="the command", watch=watch)
    (tmp_path / ".log.csv.01234567.espcn-part").touch()
    assert_same_run(resume(tmp_path), straight)


def test_a_run_that_is_at_its_end_stays_as_it_is(start, resume, straight, tmp_path):
    shutil.copytree(straight.out, tmp_path, dirs_exist_ok=True)
    assert_same_run(resume(tmp_path), straight)


def test_two_runs_with_one_seed_are_equal_and_with_another_are_not(start, straight, tmp_path):
    config = dataclasses.replace(straight.config, epochs=1)
    first = start(config, tmp_path / "first")
    torch.rand(3)
    assert_same_run(start(config, tmp_path / "second"), first)
    other = start(dataclasses.replace(config, seed=1), tmp_path / "other")
    assert other.files["tiny.safetensors"] != first.files["tiny.safetensors"]


# What a run leaves


def test_the_network_learns(start, make_config, tmp_path):
    arguments = {"width": 16, "depth": 1}
    changes = {"arguments": arguments, "optimizer": "muon", "epochs": 8, "steps_per_epoch": 18}
    run = start(make_config(learning_rate=5e-3, **changes), tmp_path)
    rows = list(csv.DictReader(run.files["log.csv"].decode().splitlines()))
    assert len(rows) == 8
    losses, gains = ([float(row[name]) for row in rows] for name in ("loss", "gain"))
    assert losses[-1] < losses[0]  # of the same slices, each four times in two epochs, but other patches
    assert gains[-1] > 0.5
    assert run.result.score.psnr - run.result.baseline.psnr > 0.5


def test_weights_are_of_eight_bits_where_that_is_asked_for(start, make_config, tmp_path):
    changes = {"epochs": 1, "arguments": {"width": 8, "depth": 2, "adaptive": True}}
    runs = [start(make_config(**changes, eight_bits=asked), tmp_path / str(asked)) for asked in (True, False)]
    networks = [load_model(run.result.weights)[0] for run in runs]
    assert [holds_eight_bits(network) for network in networks] == [True, False]
    rounded, exact = (run.result.score.psnr for run in runs)
    assert rounded != exact  # it is that of the weights that are kept
    assert rounded == pytest.approx(exact, abs=0.05)
    assert read_card(runs[0].result.weights.with_suffix(".json")).metrics["psnr"] == round(rounded, 4)


def test_an_adaptive_network_is_fitted_to_its_slices_and_learns_from_them(start, make_config, tmp_path):
    config = make_config(epochs=1, arguments={"width": 8, "depth": 1, "adaptive": True}, **VARIED)
    adaptation = load_model(start(config, tmp_path).result.weights)[0].adaptation
    first = RunState.fresh(config, torch.device("cpu"), torch.float32).network.adaptation
    assert adaptation.centre.all()
    assert not torch.equal(adaptation.spread, first.spread)
    for name, parameter in adaptation.named_parameters():
        moved = (parameter - dict(first.named_parameters())[name]).detach().abs().max()
        assert float(moved) > 1e-3, name  # more than the rounding of a mean


def test_a_finished_run_leaves_these_files_and_no_others(straight):
    assert {path.name for path in straight.out.iterdir()} == {
        "checkpoint.pt",
        "config.toml",
        "log.csv",
        "tensorboard",
        "tiny.json",
        "tiny.safetensors",
    }
    assert read_config(straight.out / "config.toml") == straight.config
    assert straight.result.weights == straight.out / "tiny.safetensors"


def test_the_result_is_of_the_kept_weights_on_all_held_out_slices(start, source, make_config, tmp_path):
    config = make_config(epochs=1, validation_slices=1)
    run = start(config, tmp_path)
    network, card = load_model(run.result.weights)
    with without_metadata():
        pairs = list(validation_pairs(source, split(source, 5).validation, config))
    cpu = torch.device("cpu")
    assert run.result.score == measure(padded(network, config.factor), pairs, cpu)
    assert run.result.baseline == measure(bicubic(config.factor), pairs, cpu)
    assert run.result.score.slices == card.metrics["slices"] == 3
    assert card.metrics["psnr"] == round(run.result.score.psnr, 4)
    assert any("on 1 held-out slices" in sentence for sentence in run.said)


def test_what_is_said(straight):
    assert straight.said[0] == "tiny on cpu in float32: 9 slices to train, 3 of fold 5 held out"
    assert straight.said[1].startswith("bicubic: ")
    assert [sentence[:8] for sentence in straight.said[2:6]] == [f"epoch {n}," for n in range(1, 5)]
    assert straight.said[6] == "measuring the best weights on all 3 held-out slices"


def test_slices_that_are_left_out_are_counted(start, make_config, tmp_path):
    run = start(make_config(patch=40), tmp_path, 1)  # of 32 coarse pixels there are two
    assert "2 slices are smaller than a patch and left out" in run.said


def test_slices_that_are_left_out_are_counted_in_each_size(start, make_config, tmp_path):
    # of the 9, 2 have 256 pixels a side, which makes 32, 42 and 64 coarse ones
    run = start(make_config(patch=40, shrinks=[2, 1.5, 1]), tmp_path, 1)
    assert "2 slices are smaller than a patch and left out" in run.said
    run = start(make_config(patch=48, shrinks=[2, 1.5, 1]), tmp_path / "larger", 1)
    assert "4 slices are smaller than a patch and left out" in run.said


def test_the_card_has_the_ranges_of_the_run(straight, start, make_config, tmp_path):
    plain = read_card(straight.out / "tiny.json").training
    assert plain["spacing_range_mm"] == [3.92, 3.92]
    mixed = read_card(start(make_config(**MIXED), tmp_path).out / "tiny.json").training
    assert mixed["spacing_range_mm"] == [2.94, 3.92]
    for name, (low, high) in plain["contrast_range"].items():
        assert low <= high
        seen = mixed["contrast_range"][name]
        assert seen[1] - seen[0] > high - low


def test_a_run_that_was_stopped_before_the_first_validation_has_no_weights_yet(start, make_config, tmp_path):
    run = start(make_config(), tmp_path, 3)
    assert (run.result.finished, run.result.weights, run.result.score) == (False, None, None)
    assert not (tmp_path / "tiny.safetensors").exists()


def test_the_card_names_the_command_of_the_start_after_a_resume_too(start, resume, make_config, tmp_path):
    start(make_config(epochs=2), tmp_path, EPOCH + 1, command="espcn-core train --model espcn-r")
    resume(tmp_path)
    assert read_card(tmp_path / "tiny.json").training["command"] == "espcn-core train --model espcn-r"


def test_a_checkpoint_without_a_command_gets_the_one_of_the_run_folder(start, resume, make_config, tmp_path):
    run = start(make_config(epochs=2), tmp_path, EPOCH + 1)
    torch.save({k: v for k, v in run.checkpoint.items() if k != "command"}, tmp_path / "checkpoint.pt")
    resume(tmp_path)
    assert read_card(tmp_path / "tiny.json").training["command"] == COMMAND


# Patients stay on their side


def test_the_sides_of_a_run_are_kept_with_their_patients(straight, source):
    stored, sides, patients = straight.checkpoint["split"], split(source, 5), source.patients()
    assert (tuple(stored["train"]), tuple(stored["validation"])) == (sides.train, sides.validation)
    assert stored["by"] == "cvind"
    assert not {patients[i] for i in stored["train"]} & {patients[i] for i in stored["validation"]}
    card = json.loads(straight.files["tiny.json"])
    assert (card["training"]["slices"], card["training"]["patients"]) == (9, 5)


def test_without_cvind_patients_are_dealt_out(start, figshare_dir, make_config, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(figshare_dir, data, ignore=shutil.ignore_patterns("cvind.mat"))
    run = start(make_config(data=str(data), fold=1), tmp_path / "run", 1)
    stored = run.checkpoint["split"]
    assert stored["by"] == "PID"
    people = [{stored["patients"][i] for i in stored[side]} for side in ("train", "validation")]
    assert not people[0] & people[1]


def test_a_split_with_a_patient_on_both_sides_is_refused(start, make_config, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "split", lambda *_: Split((57, 143), (58, 2001), 5, "cvind"))
    with pytest.raises(DataError, match=r"patient P00005 is on both sides of fold 5: check cvind\.mat"):
        start(make_config(), tmp_path)


def test_scans_of_one_patient_are_one_patient(start, source, make_config, tmp_path, monkeypatch):
    class Lettered:
        def __init__(self, opened):
            self.opened = opened

        def __getattr__(self, name):
            return getattr(self.opened, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.opened.close()

        def patients(self):
            return {**self.opened.patients(), 57: "P00005A", 58: "P00005B"}

    monkeypatch.setattr(run_module, "open_source", lambda path: Lettered(open_source(path)))
    monkeypatch.setattr(run_module, "split", lambda *_: Split((57, 143), (58, 2001), 5, "cvind"))
    with pytest.raises(DataError, match="patient P00005 is on both sides"):
        start(make_config(), tmp_path)


def test_a_checkpoint_whose_split_is_broken_is_refused(start, make_config, tmp_path):
    content = start(make_config(), tmp_path, 1).checkpoint
    content["split"]["validation"] = (*content["split"]["validation"], content["split"]["train"][0])
    with pytest.raises(DataError, match="is on both sides"):
        train(make_config(), tmp_path, content)


@pytest.mark.parametrize("change", ["a slice is missing", "a patient is another"])
def test_a_run_does_not_go_on_with_other_data(start, resume, figshare_dir, make_config, tmp_path, change):
    out, data = tmp_path / "run", tmp_path / "data"
    start(make_config(), out, 1)
    shutil.copytree(figshare_dir, data)
    (data / "2001.mat").unlink()
    if change == "a patient is another":
        shutil.copy(data / "57.mat", data / "2001.mat")
    with pytest.raises(DataError, match=f"{data} is not the data set that the run began with"):
        resume(out, data=str(data))


def test_a_run_goes_on_with_its_data_in_another_place(start, resume, straight, figshare_dir, tmp_path):
    data, out = tmp_path / "moved", tmp_path / "run"
    start(straight.config, out, 5, command="the command")
    shutil.copytree(figshare_dir, data)
    run = resume(out, data=str(data))
    assert run.files == straight.files
    assert run.checkpoint["config"]["data"] == str(data)


# What cannot be trained


def test_a_learning_rate_that_is_far_too_large_is_one_sentence(start, make_config, tmp_path):
    with pytest.raises(EspcnError, match=r"after 12 steps: make learning_rate smaller$"):
        start(make_config(learning_rate=1e30, warmup=0), tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_patch_larger_than_all_slices_is_refused(start, make_config, tmp_path):
    with pytest.raises(DataError, match="no slice has 65 x 65 coarse pixels"):
        start(make_config(patch=65), tmp_path)


def test_data_that_is_not_there_is_named(start, make_config, tmp_path):
    with pytest.raises(DataError, match="nowhere is not there"):
        start(make_config(data=str(tmp_path / "nowhere")), tmp_path / "run")


def test_begin_makes_the_folder_of_a_new_run(make_config, tmp_path):
    out = tmp_path / "deep" / "run"
    begin(make_config(), out)
    begin(make_config(seed=2), out)  # nothing has been done there yet
    assert read_config(out / "config.toml").seed == 2


def test_begin_refuses_what_is_there_or_missing(make_config, straight, tmp_path):
    with pytest.raises(RequestError, match="holds a run already: go on with it by --resume"):
        begin(make_config(), straight.out)
    with pytest.raises(RequestError, match="no data set is named: give its path with --data"):
        begin(make_config(data=""), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="file is a file: name a folder with --out"):
        begin(make_config(), tmp_path / "file")


def test_what_cannot_be_resumed(straight, tmp_path):
    with pytest.raises(DataError, match="holds no checkpoint"):
        resumable(tmp_path)
    config, checkpoint = resumable(straight.out, device="auto", data="elsewhere")
    assert config == dataclasses.replace(straight.config, device="auto", data="elsewhere")
    assert checkpoint["step"] == 4 * EPOCH

"""``espcn-core adapt``, on real files. The networks that it begins with are untrained."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from espcn_core.models.cards import read_card
from espcn_core.training import adapt as module
from espcn_core.training.engine import Loop
from espcn_core.training.validation import Score

pytestmark = pytest.mark.usefixtures("shipped_through")

QUICK = "--minutes", 0.01


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Networks this small gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module._FIXED, "learning_rate", 1e-2)
        yield
    torch.set_num_threads(before)


@pytest.fixture
def scan(tmp_path):
    """A patient's file: blobs in slices 5 mm apart, (40, 36, 10)."""
    noise = ndimage.gaussian_filter(np.random.default_rng(8).normal(size=(40, 36, 10)), (2, 2, 0.5))
    values = (50 + 300 * np.digitize(noise / noise.std(), [-0.5, 0.5])).astype(np.int16)
    path = tmp_path / "Jane Doe.nii.gz"
    nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 5.0, 1.0])), path)
    return path


def test_the_command_that_it_ends_with_takes_the_weights(cli, scan, tmp_path):
    output = tmp_path / "new" / "own.safetensors"
    answer = cli("adapt", scan, "-o", output, *QUICK)
    assert answer.code == 0, answer.err
    assert "40 x 36 x 50 at 1 mm isotropic: slice axis x5 by espcn-r-through-x5" in answer.err
    said, command = answer.out.splitlines()
    gain, steps = re.match(
        r"\+(\S+) dB over espcn-r-through-x5 on 1 held-out slice, after (\d+)", said
    ).groups()
    card = read_card(output.with_suffix(".json"))
    assert float(gain) == pytest.approx(card.metrics["gain_over_start"], abs=0.006)
    assert int(steps) == card.training["steps"] > 30
    start, _, words = command.partition(": ")
    assert start == "use it"
    words = shlex.split(words)
    assert words == [
        *("espcn-core", "upscale", str(scan), "--isotropic", "--model", str(output), "--output", "OUT")
    ]
    words[-1] = str(tmp_path / "fine.nii.gz")
    upscaled = cli(*words[1:])
    assert upscaled.code == 0, upscaled.err
    assert f"slice axis x5 by {output} in sagittal and coronal" in upscaled.err
    assert nib.load(words[-1]).shape == (40, 36, 50)


def test_neither_weights_nor_card_name_the_patient(cli, scan, tmp_path):
    output = tmp_path / "Jane Doe.safetensors"
    assert cli("adapt", scan, "-o", output, *QUICK).code == 0
    for path in (output, output.with_suffix(".json")):
        assert b"Jane" not in path.read_bytes()
        assert str(tmp_path).encode() not in path.read_bytes()
    assert read_card(output.with_suffix(".json")).name == "espcn-r-through-x5-adapted"


@pytest.mark.parametrize(
    ("options", "sidecar", "profile", "again"),
    [
        (
            ["--slice-thickness", 4],
            '{"SliceThickness": 6}',
            "gaussian:0.8",
            "--isotropic --slice-thickness 4",
        ),
        (["--spacing", "1,1,2.5"], '{"SliceThickness": 6}', "gaussian:1.2", "--spacing 1,1,2.5"),
        (["--scale", "1,1,3"], '{"SliceThickness": 5}', "gaussian:1", "--scale 1,1,3"),
    ],
)
def test_slices_are_as_thick_as_it_is_said(cli, scan, tmp_path, options, sidecar, profile, again):
    (tmp_path / "Jane Doe.json").write_text(sidecar)
    output = tmp_path / "own.safetensors"
    answer = cli("adapt", scan, "-o", output, *QUICK, *options)
    assert answer.code == 0, answer.err
    assert read_card(output.with_suffix(".json")).training["profile"] == profile
    assert ("6 mm thick, as the JSON file" in answer.err) == (profile == "gaussian:1.2")
    assert f" {again} --model " in answer.out


def test_a_ctrl_c_ends_it_early_and_keeps_what_there_is(cli, scan, tmp_path, monkeypatch):
    original = Loop.step

    def step(loop, batch):
        if loop.state.step == 11:
            signal.raise_signal(signal.SIGINT)
        return original(loop, batch)

    monkeypatch.setattr(Loop, "step", step)
    output = tmp_path / "own.safetensors"
    answer = cli("adapt", scan, "-o", output, "--minutes", 5)
    assert answer.code == 0, answer.err
    assert "after 12 steps" in answer.out
    assert json.loads(output.with_suffix(".json").read_text())["training"]["steps"] == 12


def test_without_a_gain_it_says_so(cli, scan, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "measure", lambda *_: Score(30.0, 0.9, 1))
    answer = cli("adapt", scan, "-o", tmp_path / "own.safetensors", *QUICK)
    assert answer.code == 0, answer.err
    assert answer.out.startswith("no gain on 1 held-out slice, after ")
    assert "the weights are those of espcn-r-through-x5, as they were" in answer.out


@pytest.mark.parametrize(
    ("output", "options", "sentence"),
    [
        ("own.nii.gz", [], "own.nii.gz is no name of weights: end it in .safetensors"),
        ("there.safetensors", [], "there.safetensors exists: remove it, or name another --output"),
        ("card.safetensors", [], "card.json exists: remove it"),
        ("own.safetensors", ["--scale", "2"], "no axis is made finer on its own"),
        ("own.safetensors", ["--scale", "1,1,3", "--isotropic"], "ask for different things"),
        ("own.safetensors", ["--slice-thickness", "0"], "--slice-thickness 0 is no length"),
        ("own.safetensors", ["--slice-thickness", "50"], "does not go with slices that are 5 mm apart"),
    ],
)
def test_a_wrong_call_gets_one_sentence_and_no_file(cli, scan, tmp_path, output, options, sentence):
    (tmp_path / "there.safetensors").touch()
    (tmp_path / "card.json").touch()
    before = sorted(tmp_path.iterdir())
    answer = cli("adapt", scan, "-o", tmp_path / output, *options)
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_scan_with_too_little_names_itself(cli, save, tmp_path):
    source = save(tmp_path / "small.nii", (30, 30, 4))
    answer = cli("adapt", source, "-o", tmp_path / "own.safetensors")
    assert answer.code == 2
    assert answer.err.splitlines()[-1] == (
        f"espcn-core: {source}: 4 slices of 30 x 30 pixels are more than air, and weights are adapted by "
        "8 or more of 24 x 24: use those that ship"
    )
    assert not (tmp_path / "own.safetensors").exists()


def test_what_is_not_installed_is_named(cli, scan, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ignite", None)
    for name in [name for name in sys.modules if name.startswith(("ignite.", "espcn_core.training"))]:
        monkeypatch.delitem(sys.modules, name)
    answer = cli("adapt", scan, "-o", tmp_path / "own.safetensors")
    assert answer.code == 2
    assert "adapting needs ignite: pip install 'espcn-core[train]'" in answer.err

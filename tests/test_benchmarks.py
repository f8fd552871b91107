"""The commands that print the project's numbers run, and what they print is right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model

ROOT = Path(__file__).parents[1]


def command(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_quality_of_a_network_without_residual_is_that_of_bicubic(figshare_dir, tmp_path):
    training = {"held_out_fold": 5, "config": {"shrink": 2}}
    card = Card("none", "espcn-r", (2, 2), "bicubic", {"width": 8, "depth": 1}, training)
    weights = save_model(build("espcn-r", (2, 2), width=8, depth=1), card, tmp_path)
    printed = command("benchmarks.quality", "--data", figshare_dir, "--model", weights)
    bicubic, model = re.findall(r"([\d.]+) dB  SSIM", printed)
    assert bicubic == model
    assert 20 < float(bicubic) < 60
    assert printed.splitlines()[-1] == "+0.00 dB"


def test_the_rate_of_training_is_measured_for_a_recipe(figshare_dir, tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        'name = "tiny"\nbatch = 4\npatch = 8\nprecision = "float32"\ndevice = "cpu"\noptimizer = "muon"\n'
        "noise = 0.1\ncontrast = 0.5\nshrinks = [2, 3]\n"
        "[arguments]\nwidth = 8\ndepth = 1\n[mixture]\narea = 1\nbicubic = 1\n"
    )
    options = ("--data", figshare_dir, "--config", recipe, "--seconds", 0.5)
    lines = command("benchmarks.training_rate", *options).splitlines()
    assert "batches of 4 x 8 x 8, 10 blocks of 0.025 s each" in lines[0]
    alone, real = (float(re.search(r"([\d.]+) steps/s", line)[1]) for line in lines[1:3])
    assert min(alone, real) > 1
    assert 0 < float(re.fullmatch(r"ratio ([\d.]+)", lines[3])[1]) < 5


def test_the_page_of_a_cohort_is_small():
    lines = command("benchmarks.report_page", "--count", 50).splitlines()
    assert float(re.fullmatch(r"50 volumes: ([\d.]+) kB each", lines[0])[1]) < 8
    assert re.fullmatch(r"written in [\d.]+ s with \d+ MB more in memory", lines[1])


def test_the_demo_shows_the_gain_and_draws_the_picture(tmp_path):
    printed = command("benchmarks.demo", "--out", tmp_path)
    last = printed.splitlines()[-3:]
    assert float(re.fullmatch(r"\+(\d\.\d\d) dB", last[-1])[1]) > 2.5
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = re.search(r"```\n(bicubic .*?)\n```", readme, re.DOTALL)[1].splitlines()
    for ours, theirs in zip(told, last, strict=True):
        number = r"\d+\.\d+"
        assert re.sub(number, "", ours) == re.sub(number, "", theirs)
        pair = (np.array(re.findall(number, line), float) for line in (ours, theirs))
        np.testing.assert_allclose(*pair, atol=0.011)  # another machine may round otherwise
    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    truth, ours = nib.load(ROOT / "resources" / "sample_t1ce.nii.gz"), nib.load(tmp_path / "ours.nii.gz")
    assert ours.shape == truth.shape
    np.testing.assert_allclose(ours.affine, truth.affine, atol=1e-5)


def test_compression_is_measured_against_nibabels():
    printed = command("benchmarks.compression", "--rounds", 1, ROOT / "resources" / "sample_t1ce.nii.gz")
    sizes = dict(re.findall(r"^(\S+).* ([\d.]+)$", printed, re.MULTILINE))
    assert sizes["nibabel,"] == "1.000"
    assert 0.9 < float(sizes["espcn-core"]) < 1.05


def test_half_the_bits_change_next_to_nothing(figshare_dir):
    lines = command("benchmarks.precision", "--data", figshare_dir, "--limit", 1).splitlines()
    rows = [line for line in lines if line.startswith(("torch", "openvino"))]
    assert len(rows) in (6, 23)  # without OpenVINO, and with it
    for row in rows:
        changes = [float(change) for change in re.findall(r"([+-]\d\.\d{3}) \(\d", row)]
        assert len(changes) == 1
        assert abs(changes[0]) < (0.2 if "int8" in row else 0.03)


def test_an_export_loses_nothing_of_a_network_that_is_not_adaptive(figshare_dir, tmp_path):
    torch.manual_seed(1)
    network = build("espcn-r", (2, 2), width=8, depth=1)
    torch.nn.init.normal_(network.sub_pixels.weight, std=0.05)
    card = Card("own", "espcn-r", (2, 2), "bicubic", {"width": 8, "depth": 1}, {"held_out_fold": 5})
    weights = save_model(network, card, tmp_path)
    printed = command("benchmarks.export", "--data", figshare_dir, "--models", weights, "--limit", 1)
    title, *rows = printed.splitlines()
    assert title.startswith("own, gain over bicubic, dB:")
    assert [row.split()[0] for row in rows][:4] == ["bicubic", "area", "gaussian", "kspace"]
    for row in rows:
        _, ours, usual, lost, most = row.split()
        assert ours == usual != "+0.00"
        assert float(lost) == float(most) == 0

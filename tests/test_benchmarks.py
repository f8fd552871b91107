"""The commands that print the project's numbers run, and what they print is right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from espcn_core.models import build
from espcn_core.models.cards import Card, read_card, save_model

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
    printed = command("benchmarks.quality", "--data", figshare_dir, "--model", weights, "--card")
    bicubic, model = re.findall(r"([\d.]+) dB  SSIM", printed)
    assert bicubic == model
    assert 20 < float(bicubic) < 60
    assert printed.splitlines()[-1] == "+0.00 dB"
    metrics = read_card(weights.with_suffix(".json")).metrics
    assert (metrics["psnr"], metrics["gain"]) == (float(model), 0)


def test_the_demo_shows_the_gain_and_draws_the_picture(tmp_path):
    printed = command("benchmarks.demo", "--out", tmp_path)
    assert float(re.fullmatch(r"\+(\d\.\d\d) dB", printed.splitlines()[-1])[1]) > 2.5
    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    truth, ours = nib.load(ROOT / "resources" / "sample_t1ce.nii.gz"), nib.load(tmp_path / "ours.nii.gz")
    assert ours.shape == truth.shape
    np.testing.assert_allclose(ours.affine, truth.affine, atol=1e-5)

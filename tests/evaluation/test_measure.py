from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import pytest
import torch
from torch.nn import functional

from espcn_core.degradation import degrade
from espcn_core.evaluation.choices import choose
from espcn_core.evaluation.measure import describe, make_example, measure
from espcn_core.evaluation.methods import BASELINES
from espcn_core.evaluation.metrics import psnr, ssim
from espcn_core.evaluation.regions import find_regions
from espcn_core.figshare import open_source
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model

WHOLE = "hfen", "checkerboard", "truth_checkerboard", "drift", "consistency"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Weights whose residual is zero: the same as bicubic."""
    training = {"held_out_fold": 4}
    card = Card("untrained", "espcn-r", (4, 4), "bicubic", {"width": 8, "depth": 1}, training)
    return str(save_model(build("espcn-r", (4, 4), width=8, depth=1), card, tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def wanted(figshare_dir, untrained):
    methods = [untrained, "nearest", "bicubic", "zerofill"]
    return choose(figshare_dir, methods, ["bicubic", "kspace+rician2", "area"], limit=3)


@pytest.fixture(scope="module")
def records(wanted):
    return measure(wanted)


def find(records, **values):
    """The one record with these values."""
    (one,) = [r for r in records if all(getattr(r, name) == value for name, value in values.items())]
    return one


def test_there_is_a_record_for_everything(wanted, records):
    keys = [(r.case, r.degradation, r.method, r.region) for r in records]
    methods = ("untrained", "nearest", "bicubic", "zerofill")
    cases = [str(index) for index in wanted.cases.indices]
    assert keys == [
        (case, degradation, method, region)
        for case in cases
        for degradation in wanted.degradations
        for method in methods
        for region in ("image", "head", "tumor", "ring")
    ]
    assert {r.patient for r in records} == {"P00013", "P00068"}


def test_the_numbers_are_those_of_the_formulas(figshare_dir, records):
    with open_source(figshare_dir) as source:
        piece = source.read(143)
    truth = torch.from_numpy(piece.image.astype(np.float32))
    coarse = degrade(truth, (4, 4), "bicubic")[None, None]
    test = functional.interpolate(coarse, (512, 512), mode="bicubic", align_corners=False)[0, 0]
    peak = float(truth.max() - truth.min())
    here = {"case": "143", "degradation": "bicubic", "method": "bicubic"}
    image = find(records, **here, region="image")
    assert image.pixels == 512 * 512
    assert image.psnr == pytest.approx(psnr(test, truth, peak), abs=1e-6)
    assert image.ssim == pytest.approx(ssim(test[None, None], truth[None, None], peak), abs=1e-6)
    for region, mask in find_regions(piece.image.astype(np.float32), piece.mask).items():
        record = find(records, **here, region=region)
        square = (test.numpy() - truth.numpy())[mask].astype(np.float64) ** 2
        assert record.pixels == mask.sum()
        assert record.mse == pytest.approx(square.mean(), rel=1e-6)
        assert record.rmse == pytest.approx(math.sqrt(square.mean()), rel=1e-6)
        assert record.psnr == pytest.approx(10 * math.log10(peak**2 / square.mean()), abs=1e-6)
        assert 0 < record.ssim <= 1
        for name in WHOLE:
            assert math.isnan(getattr(record, name)) == (region != "image")


def test_a_network_without_residual_is_measured_as_bicubic(records):
    """Also with noise: all methods see the same."""
    for record in records:
        if record.method == "untrained":
            here = {name: getattr(record, name) for name in ("case", "degradation", "region")}
            other = find(records, **here, method="bicubic")
            for name in ("psnr", "ssim", "rmse", *WHOLE):
                value = getattr(record, name)
                assert getattr(other, name) == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True)


def test_what_psnr_hides(records):
    for case in {r.case for r in records}:
        exact = find(records, case=case, degradation="area", method="nearest", region="image")
        assert exact.consistency > 100, "the mean of equal pixels is what they were made of"
        assert exact.drift == pytest.approx(0, abs=1e-6)
        clean, noisy = (
            find(records, case=case, degradation=name, method="zerofill", region="image")
            for name in ("bicubic", "kspace+rician2")
        )
        assert noisy.psnr < clean.psnr
        assert noisy.truth_checkerboard == clean.truth_checkerboard
        assert noisy.consistency > 50
        assert 0 < clean.hfen < 1
        blocks = find(records, case=case, degradation="bicubic", method="nearest", region="image")
        assert blocks.checkerboard > clean.checkerboard


def test_what_is_kept_between_methods_changes_nothing(figshare_dir, monkeypatch):
    few = choose(figshare_dir, ["linear", "bicubic"], ["area"], scale=4, shrink=2, limit=1)
    kept = measure(few)
    monkeypatch.setattr("espcn_core.evaluation.measure._KEPT", 0)
    for ours, again in zip(kept, measure(few), strict=True):
        assert (ours.ssim, ours.psnr) == (again.ssim, again.psnr)


def test_volumes_say_what_their_slices_are(tmp_path):
    values = np.random.default_rng(0).uniform(0, 300, (32, 34, 2)).astype(np.float32)
    for name, mm in (("a", 1.0), ("b", 0.5)):
        nib.save(nib.Nifti1Image(values, np.diag([mm, mm, 5, 1])), tmp_path / f"{name}.nii")
    few = choose(tmp_path, ["bicubic"], scale=2)
    about = describe(few, measure(few), data="heads", command="")
    assert about.volumes == {"a": "axial, 1 x 1 mm", "b": "axial, 0.5 x 0.5 mm"}
    assert about.extent == "4 slices of 2 volumes"


def test_what_was_measured_on_what(wanted, records):
    about = describe(wanted, records, data="figshare", command="espcn-core evaluate")
    assert (about.kind, about.fold, about.slices, about.patients) == ("figshare", 4, 3, 2)
    assert (about.extent, about.volumes) == ("3 slices of 2 patients", {})
    assert (about.scale, about.shrink, about.methods[0]) == (4, 1, "untrained")
    assert list(about.cards) == ["untrained"]
    assert about.cards["untrained"]["training"] == {"held_out_fold": 4}
    assert set(about.shifts) == set(about.methods)
    assert np.abs(list(about.shifts.values())).max() < 0.001


def test_an_example_shows_what_was_measured(wanted, records):
    example = make_example(wanted, "955")
    assert (example.patient, example.truth.shape, example.coarse.shape) == ("P00068", (256, 256), (64, 64))
    for method, image in example.images.items():
        for region, mask in example.regions.items():
            record = find(records, case="955", degradation="bicubic", method=method, region=region)
            square = (image[mask].astype(np.float64) - example.truth[mask]) ** 2
            assert square.mean() == pytest.approx(record.mse, rel=1e-5)


def test_units_do_not_matter(tmp_path):
    """A volume times 7 plus 100 has the same numbers, also with noise; and the same files tell its slices."""
    values = np.random.default_rng(0).integers(0, 300, (9, 8, 3)).repeat(4, 0).repeat(4, 1)
    numbers = []
    for slope, inter in ((1, 0), (7, 100)):
        image = nib.Nifti1Image(values.astype(np.int16), np.diag([1.0, 1.0, 5.0, 1.0]))
        image.header.set_slope_inter(slope, inter)
        nib.save(image, tmp_path / "a.nii.gz")
        few = choose(tmp_path, ["bicubic", "linear"], ["gaussian", "point+rician2"], scale=2)
        numbers.append([(r.psnr, r.ssim, r.hfen, r.checkerboard, r.drift) for r in measure(few)])
        assert len(numbers[-1]) == 12, "three slices, two methods, two degradations, no head"
    np.testing.assert_allclose(*numbers, rtol=1e-3, atol=1e-5)


def test_a_method_on_another_grid_is_seen(figshare_dir, monkeypatch):
    bicubic = BASELINES["bicubic"]
    monkeypatch.setitem(
        BASELINES, "linear", lambda coarse, factor: np.roll(bicubic(coarse, factor), 1, axis=0)
    )
    few = choose(figshare_dir, ["linear", "bicubic"], scale=4, limit=2)
    shifts = describe(few, [], data="figshare", command="").shifts
    np.testing.assert_allclose(shifts["linear"], (-1, 0), atol=0.02)
    np.testing.assert_allclose(shifts["bicubic"], (0, 0), atol=0.001)

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from espcn_core.evaluation.summary import pick_cases, rounded, summarise


@pytest.fixture(scope="module")
def summary(about, records):
    return summarise(about, records)


def by_patient(records, **where):
    """Mean of the means of the patients, the long way."""
    values = {}
    for record in records:
        if all(getattr(record, name) == value for name, value in where.items()):
            values.setdefault(record.patient, []).append(record.psnr)
    return np.mean([np.mean(of_one) for of_one in values.values()])


def test_every_mean_is_that_of_the_records(about, records, summary):
    for degradation in about.degradations:
        for method in about.methods:
            for region in ("image", "tumor"):
                expected = by_patient(records, degradation=degradation, method=method, region=region)
                found = summary["results"][degradation][method][region]["psnr"]["mean"]
                assert found == pytest.approx(expected, rel=1e-5)


def test_the_gain_is_what_was_put_in(summary):
    gain = summary["results"]["bicubic"]["espcn-r-x4"]["image"]["psnr_gain"]
    assert gain["mean"] == pytest.approx(3, abs=0.2)
    assert gain["low"] < gain["mean"] < gain["high"]
    assert gain["high"] - gain["low"] < 1  # paired: the spread of the patients is not in it
    assert "psnr_gain" not in summary["results"]["bicubic"]["bicubic"]["image"]


def test_slices_and_patients_are_counted_by_region(summary):
    cells = summary["results"]["bicubic"]["espcn-r-x4"]
    assert (cells["image"]["slices"], cells["image"]["psnr"]["patients"]) == (27, 9)
    assert (cells["tumor"]["slices"], cells["tumor"]["psnr"]["patients"]) == (24, 8)


def test_only_the_whole_image_has_artefacts(summary):
    cells = summary["results"]["bicubic"]["espcn-r-x4"]
    assert {"hfen", "checkerboard", "truth_checkerboard", "drift", "consistency"} <= set(cells["image"])
    assert "hfen" not in cells["head"]


def test_the_matrix_has_models_first_and_not_bicubic(about, summary):
    rows = list(summary["matrix"]["image"])
    assert rows == ["espcn-r-x4", "espcn-x4", "nearest", "bspline"]
    for degradation in about.degradations:
        gain = summary["results"][degradation]["espcn-x4"]["head"]["psnr_gain"]
        assert summary["matrix"]["head"]["espcn-x4"][degradation] == gain


def test_each_pair_is_tested_once(summary):
    family = summary["tests"]["methods"]["image"]
    pairs = [frozenset((row["first"], row["second"])) for row in family]
    assert len(pairs) == len(set(pairs)) == 7  # 4 others of the first model, 3 of the second
    assert all(row["wilcoxon_holm"] >= row["wilcoxon"] for row in family)
    against = next(row for row in family if row["second"] == "bicubic")
    assert against["wilcoxon"] == pytest.approx(2 / 2**9, rel=1e-5)
    assert against["rank_biserial"] == 1


def test_tumor_and_head_are_compared_on_the_same_patients(summary):
    tests = summary["tests"]["tumor_against_head"]
    assert [row["method"] for row in tests["psnr"]] == list(summary["results"]["bicubic"])
    assert all(row["difference"]["patients"] == 8 for row in tests["psnr"])
    assert [row["method"] for row in tests["gain"]] == ["espcn-r-x4", "espcn-x4"]
    assert tests["psnr"][0]["difference"]["mean"] == pytest.approx(-1, abs=0.2)


def test_the_headline_has_the_numbers(summary):
    image = summary["results"]["bicubic"]
    gain = image["espcn-r-x4"]["image"]["psnr_gain"]
    assert summary["headline"].startswith("On 27 slices of 9 patients at x4")
    assert f"espcn-r-x4 gains {gain['mean']:.2f} dB" in summary["headline"]
    assert f"{image['bicubic']['image']['psnr']['mean']:.2f} dB." in summary["headline"]


def test_volumes_are_listed_by_name(volumes):
    about, records = volumes
    summary = summarise(about, records)
    assert summary["headline"].startswith("On 27 slices of 9 volumes at x4")
    assert list(summary["volumes"]) == sorted(about.volumes)
    for name, cells in summary["volumes"].items():
        own = [r for r in records if (r.patient, r.region) == (name, "head")]
        psnr = {m: np.mean([r.psnr for r in own if r.method == m]) for m in about.methods}
        for method, value in psnr.items():
            assert cells[method]["head"]["psnr"] == pytest.approx(value, rel=1e-5)
        gain = cells["espcn-r-x4"]["head"]["psnr_gain"]
        assert gain == pytest.approx(psnr["espcn-r-x4"] - psnr["bicubic"], rel=1e-4)
        assert "psnr_gain" not in cells["bicubic"]["head"]
        assert f"{name} {cells['espcn-r-x4']['image']['psnr_gain']:+.2f}" in summary["headline"]
    mean = np.mean([cells["espcn-r-x4"]["image"]["psnr_gain"] for cells in summary["volumes"].values()])
    gain = summary["results"]["bicubic"]["espcn-r-x4"]["image"]["psnr_gain"]["mean"]
    assert mean == pytest.approx(gain, rel=1e-4)


def test_many_volumes_are_left_to_the_table(volumes):
    about, records = volumes
    many = [
        dataclasses.replace(r, patient=f"{r.patient}-{n}", case=f"{r.case}-{n}")
        for n in (1, 2)
        for r in records
    ]
    summary = summarise(about, many)
    assert len(summary["volumes"]) == 18
    assert "By volume" not in summary["headline"]
    one = [r for r in records if r.patient == "P00001"]
    assert "By volume" not in summarise(about, one)["headline"]


def test_a_volume_that_is_exact_has_no_gain(volumes):
    about, records = volumes
    exact = [
        dataclasses.replace(r, psnr=math.inf) if (r.patient, r.method) == ("P00001", "espcn-r-x4") else r
        for r in records
    ]
    summary = summarise(about, exact)
    assert summary["volumes"]["P00001"]["espcn-r-x4"]["image"]["psnr_gain"] is None
    assert "P00001 exact, " in summary["headline"]
    assert json.dumps(summary, allow_nan=False)


def test_it_is_json_and_always_the_same(about, records, summary):
    text = json.dumps(summary, allow_nan=False, sort_keys=True)
    assert json.dumps(summarise(about, records[::-1]), allow_nan=False, sort_keys=True) == text


def test_without_models_tumors_and_other_degradations(plain):
    summary = summarise(*plain)
    assert summary["main"] == "nearest"
    assert "nearest loses" in summary["headline"]
    assert summary["tests"]["tumor_against_head"] == {}
    assert list(summary["matrix"]["image"]) == ["nearest", "bspline"]


def test_one_patient(about, records):
    one = [record for record in records if record.patient == "P00003"]
    summary = summarise(dataclasses.replace(about, patients=1, slices=3), one)
    gain = summary["results"]["bicubic"]["espcn-r-x4"]["image"]["psnr_gain"]
    assert gain["patients"] == 1
    assert (gain["sd"], gain["low"], gain["high"]) == (None, None, None)
    assert "interval" not in summary["headline"]
    assert json.dumps(summary, allow_nan=False)


def test_exact_slices_are_counted_and_left_out(about, records):
    exact = [
        dataclasses.replace(r, psnr=math.inf, mse=0.0) if r.case == "1" and r.method == "nearest" else r
        for r in records
    ]
    cell = summarise(about, exact)["results"]["bicubic"]["nearest"]["image"]
    assert (cell["slices"], cell["exact"]) == (27, 1)
    assert math.isfinite(cell["psnr"]["mean"])


def test_a_method_that_is_exact_everywhere_has_no_psnr(about, records):
    exact = [dataclasses.replace(r, psnr=math.inf) if r.method == "nearest" else r for r in records]
    summary = summarise(about, exact)
    cell = summary["results"]["bicubic"]["nearest"]["image"]
    assert cell["exact"] == 27
    assert "psnr" not in cell
    row = next(row for row in summary["tests"]["methods"]["image"] if row["second"] == "nearest")
    assert (row["slices"], row["wilcoxon_holm"]) == (0, None)


def test_best_median_and_worst_patient(about, records):
    picks = pick_cases(about, records)
    patients = {record.case: record.patient for record in records}
    gains = {
        patient: by_patient(
            records, degradation="bicubic", method="espcn-r-x4", region="image", patient=patient
        )
        - by_patient(records, degradation="bicubic", method="bicubic", region="image", patient=patient)
        for patient in sorted(set(patients.values()))
    }
    ranked = sorted(gains, key=gains.get)
    assert [patients[picks[label]] for label in ("worst", "median", "best")] == [ranked[i] for i in (0, 4, 8)]


@pytest.mark.parametrize(("patients", "labels"), [(1, ["median"]), (2, ["best", "worst"])])
def test_few_patients_have_few_pictures(about, records, patients, labels):
    few = [record for record in records if int(record.patient[1:]) < patients]
    assert list(pick_cases(about, few)) == labels


def test_a_slice_with_a_tumor_is_shown(about, records):
    """Of a patient's three slices only the last has a tumor."""
    few = [r for r in records if r.patient == "P00001" and (r.region in ("image", "head") or r.case == "53")]
    assert pick_cases(about, few) == {"median": "53"}


def test_rounded():
    assert rounded({"a": [1 / 3, math.nan], "b": (math.inf, 7, "x", None, True)}) == {
        "a": [0.333333, None],
        "b": [None, 7, "x", None, True],
    }

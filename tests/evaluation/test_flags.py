from __future__ import annotations

import dataclasses

import pytest

from espcn_core.evaluation.summary import summarise


def flag(about, records, name, method="espcn-r-x4"):
    flags = summarise(about, records)["flags"]
    return next(one for one in flags if (one["name"], one["method"]) == (name, method))


def changed(records, **new):
    """The records of the first model on the whole image, changed by functions of the record."""
    return [
        dataclasses.replace(r, **{name: value(r) for name, value in new.items()})
        if (r.method, r.region) == ("espcn-r-x4", "image")
        else r
        for r in records
    ]


@pytest.fixture(scope="module")
def few(about, records):
    """One degradation is enough here, and faster."""
    return dataclasses.replace(about, degradations=("bicubic",)), [
        record for record in records if record.degradation == "bicubic"
    ]


def test_all_hold_where_nothing_is_wrong(few):
    flags = summarise(*few)["flags"]
    assert {one["method"] for one in flags} == {"espcn-r-x4", "espcn-x4"}
    names = {one["name"] for one in flags if one["holds"]}
    assert names >= {"unseen", "order", "everywhere", "checkerboard", "drift", "shift"}


@pytest.mark.parametrize(("more", "holds"), [(0.5, True), (-0.5, False)])
def test_the_tumor_gains_as_much_as_the_head(few, more, holds):
    about, records = few
    records = [
        dataclasses.replace(r, psnr=r.psnr + more) if (r.method, r.region) == ("espcn-r-x4", "tumor") else r
        for r in records
    ]
    found = flag(about, records, "tumor")
    assert found["holds"] is holds
    assert ("larger" if holds else "smaller") in found["sentence"]


def test_a_rank_that_air_carries_is_seen(few):
    about, records = few
    lifted = changed(
        records, psnr=lambda r: r.psnr - 2.5
    )  # below espcn-x4 in the image, above it in the head
    found = flag(about, lifted, "order")
    assert not found["holds"]
    assert "espcn-x4" in found["sentence"]


def test_a_degradation_where_the_model_loses_is_named(about, records):
    found = flag(about, records, "everywhere")
    assert not found["holds"]
    assert "1 of 4: point (-3." in found["sentence"]
    assert "area" not in found["sentence"]


def test_a_checkerboard_is_seen(few):
    about, records = few
    assert not flag(about, changed(records, checkerboard=lambda r: 2e-3), "checkerboard")["holds"]


def test_drift_up_and_down_does_not_cancel(few):
    about, records = few
    drifting = changed(records, drift=lambda r: 2e-3 * (-1) ** int(r.case))
    assert not flag(about, drifting, "drift")["holds"]


def test_a_shift_is_seen(few):
    about, records = few
    shifted = dataclasses.replace(about, shifts={"espcn-r-x4": (0.0, -0.3)})
    assert not flag(shifted, records, "shift")["holds"]


@pytest.mark.parametrize("fold", [3, None])
def test_patients_of_the_training_are_seen(few, fold):
    about, records = few
    assert not flag(dataclasses.replace(about, fold=fold), records, "unseen")["holds"]


def test_what_cannot_be_checked_is_left_out(plain):
    assert summarise(*plain)["flags"] == []

from __future__ import annotations

import dataclasses
import re

import pytest

from espcn_core.evaluation.flags import check
from espcn_core.evaluation.summary import aggregates, summarise
from espcn_core.evaluation.table import make_table


def flag(about, records, name, method="espcn-r-x4"):
    return next(one for one in flags(about, records) if (one["name"], one["method"]) == (name, method))


def flags(about, records):
    """As in a summary, without its tests, which take longer than all the rest."""
    table = make_table(about, records)
    return check(about, table, aggregates(table))


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
    found = flags(*few)
    assert {one["method"] for one in found} == {"espcn-r-x4", "espcn-x4", None}
    names = {one["name"] for one in found if one["holds"]}
    assert names >= {"unseen", "order", "everywhere", "checkerboard", "drift", "shift", "aligned"}
    assert sum(one["name"] == "order" for one in found) == 1, "it is one of all methods"


@pytest.mark.parametrize(("more", "holds"), [(0.5, True), (-0.5, False)])
def test_the_tumor_gains_as_much_as_the_head(few, more, holds):
    about, records = few
    records = [
        dataclasses.replace(r, psnr=r.psnr + more) if (r.method, r.region) == ("espcn-r-x4", "tumor") else r
        for r in records
    ]
    summary = summarise(about, records)
    found = next(one for one in summary["flags"] if one["name"] == "tumor")
    assert found["holds"] is holds
    assert ("larger" if holds else "smaller") in found["sentence"]
    difference = next(
        row["difference"]
        for row in summary["tests"]["tumor_against_head"]["gain"]
        if row["method"] == "espcn-r-x4"
    )
    shown = [f"{difference[end]:+.2f}" for end in ("mean", "low", "high")]
    assert "difference {} dB (95 % interval {} to {})".format(*shown) in found["sentence"]
    tumor, head = map(float, re.findall(r"([-+]\d\.\d+) dB in the", found["sentence"]))
    assert tumor - head == pytest.approx(difference["mean"], abs=0.011)


def test_what_the_patients_do_not_decide_is_said(few):
    """Half of the patients gain in the tumor what the others lose."""
    about, records = few
    head = {(r.case, r.method): r.psnr for r in records if r.region == "head"}
    more = {"espcn-r-x4": 0.5}
    equal = [
        dataclasses.replace(
            r, psnr=head[r.case, r.method] + more.get(r.method, 0) * (-1) ** int(r.patient[1:])
        )
        if r.region == "tumor"
        else r
        for r in records
    ]
    assert "do not decide it" in flag(about, equal, "tumor")["sentence"]
    assert "do not decide it" not in flag(about, lowered(records, "tumor", 3), "tumor")["sentence"]


def lowered(records, region, by):
    return [
        dataclasses.replace(r, psnr=r.psnr - by) if (r.method, r.region) == ("espcn-r-x4", region) else r
        for r in records
    ]


def test_an_order_that_air_makes_is_seen(few):
    """Below espcn-x4 in the image, above it in the head."""
    about, records = few
    assert (
        "(espcn-r-x4, espcn-x4, bspline, bicubic, nearest)" in flag(about, records, "order", None)["sentence"]
    )
    found = flag(about, lowered(records, "image", 2.5), "order", None)
    assert not found["holds"]
    assert re.search(
        r"espcn-x4 is 0\.\d\d dB above espcn-r-x4 in the image and [12]\.\d\d dB", found["sentence"]
    )
    assert "keep their places" not in found["sentence"]


def test_interpolations_that_change_places_are_named_and_the_models_are_not(few):
    about, records = few
    other = [
        dataclasses.replace(r, psnr=r.psnr - 1) if (r.method, r.region) == ("bspline", "head") else r
        for r in records
    ]
    found = flag(about, other, "order", None)
    assert not found["holds"]
    assert "bspline is" in found["sentence"]
    assert found["sentence"].endswith("The models keep their places.")


def test_a_degradation_where_the_model_loses_is_named(about, records):
    found = flag(about, records, "everywhere")
    assert not found["holds"]
    assert re.search(
        r"^Of the 4 degradations tested, espcn-r-x4 beats bicubic and bspline on 3 in the whole image, "
        r"not point \(-3\.\d\d dB against bspline\); the same 3 in the head\.$",
        found["sentence"],
    )
    in_head = flag(about, lowered(records, "head", 4), "everywhere")["sentence"]
    assert re.search(r"; none in the head, not bicubic \(-1\.\d\d dB against bspline\), area ", in_head)


def test_without_a_bspline_the_sentence_says_so(few):
    about, records = few
    methods = tuple(name for name in about.methods if name != "bspline")
    found = flag(
        dataclasses.replace(about, methods=methods),
        [r for r in records if r.method in methods],
        "everywhere",
    )
    assert found["holds"]
    assert found["sentence"] == (
        "Of the 1 degradation tested, espcn-r-x4 beats bicubic on all in the whole image; all in the head. "
        "bspline was not measured."
    )


@pytest.fixture
def mixed(about):
    """The first model is trained on a mixture with noise, the second on bicubic alone."""
    card = about.cards["espcn-r-x4"]
    config = {"mixture": {"bicubic": 1, "area": 1}, "noise": 0.03}
    training = {**card["training"], "config": config}
    return dataclasses.replace(about, cards={**about.cards, "espcn-r-x4": {**card, "training": training}})


@pytest.mark.parametrize(("loss", "holds"), [(2.1, True), (2.6, False)])
def test_what_a_model_for_many_loses_against_a_specialist(mixed, records, loss, holds):
    """It is 2 dB better before."""
    found = [one for one in flags(mixed, lowered(records, "image", loss)) if one["name"] == "specialist"]
    assert [(one["method"], one["holds"]) for one in found] == [("espcn-r-x4", holds)]
    assert re.search(
        r"^On bicubic, the one degradation of the specialist espcn-x4, espcn-r-x4 loses 0\.\d\d dB against "
        r"it: difference -0\.\d\d dB \(95 % interval ",
        found[0]["sentence"],
    )


def test_specialists_of_other_networks_or_degradations_are_no_measure(mixed, records):
    def names(about):
        few = [r for r in records if r.degradation in about.degradations]
        return {one["name"] for one in flags(about, few)}

    other = {**mixed.cards["espcn-x4"], "architecture": "espcn"}
    first = {**mixed.cards["espcn-r-x4"], "architecture": "espcn-r"}
    assert "specialist" not in names(
        dataclasses.replace(mixed, cards={"espcn-r-x4": first, "espcn-x4": other})
    )
    assert "specialist" not in names(dataclasses.replace(mixed, degradations=("area",)))


def test_a_checkerboard_is_seen(few):
    about, records = few
    found = flag(about, records, "checkerboard")["sentence"]
    assert found.endswith("1030.0 ppm of all energy: no larger than that of the truth, 1100.0 ppm.")
    assert not flag(about, changed(records, checkerboard=lambda r: 2e-3), "checkerboard")["holds"]


def test_a_checkerboard_on_another_degradation_is_seen(about, records):
    worse = changed(records, checkerboard=lambda r: 2e-3 if r.degradation == "point" else r.checkerboard)
    found = flag(about, worse, "checkerboard")
    assert not found["holds"]
    assert "on bicubic, and at most 2000.0 ppm on the others (point): larger than" in found["sentence"]


def test_drift_up_and_down_does_not_cancel(few):
    about, records = few
    drifting = changed(records, drift=lambda r: 2e-3 * (-1) ** int(r.case))
    assert not flag(about, drifting, "drift")["holds"]


def test_what_noise_added_to_the_mean_may_be_taken_away(about, records):
    def moved(where):
        return flag(about, changed(records, drift=lambda r: 5e-3 if where(r.degradation) else 0.0), "drift")

    noisy, clean = moved(lambda how: how.endswith("+rician2")), moved(lambda how: how == "point")
    assert noisy["holds"]
    assert "whose mean the noise itself has raised, it departs by up to 0.5 %." in noisy["sentence"]
    assert not clean["holds"]


def test_a_shift_is_seen(few):
    about, records = few
    shifted = dataclasses.replace(about, shifts={"espcn-r-x4": (0.0, -0.3), "nearest": (0.5, 0.0)})
    assert not flag(shifted, records, "shift")["holds"]
    found = flag(shifted, records, "aligned", None)
    assert not found["holds"]
    assert found["sentence"].startswith("An interpolation is penalised")
    assert "0.500 fine voxels (nearest)" in found["sentence"]


@pytest.mark.parametrize("fold", [3, None])
def test_patients_of_the_training_are_seen(few, fold):
    about, records = few
    assert not flag(dataclasses.replace(about, fold=fold), records, "unseen")["holds"]


def test_what_cannot_be_checked_is_left_out(plain, volumes):
    assert flags(*plain) == []
    names = {one["name"] for one in flags(*volumes)}
    assert names == {"everywhere", "checkerboard", "drift", "shift", "order", "aligned"}

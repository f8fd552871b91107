"""From numbers that nobody measured to means, checks and the sentence of the result."""

from __future__ import annotations

import dataclasses
import json

import pytest

from espcn_core.evaluation.summary import rounded
from espcn_core.evaluation.through.records import About, Record
from espcn_core.evaluation.through.summary import summarise

NETWORKS = "espcn-r-through", "espcn-r-through-free"
PROFILES = "gaussian:1", "box:1"


@pytest.fixture
def about() -> About:
    return About(
        data="volumes",
        volumes={"one": "40 x 40 x 40 voxels of 1 mm", "two": "50 x 50 x 50 voxels of 1 mm"},
        left_out={},
        factors=(2, 4),
        profiles=PROFILES,
        stated="gaussian:1",
        methods=("bspline", *NETWORKS),
        networks=NETWORKS,
        cards={},
        command="espcn-core evaluate",
        version="1",
    )


@pytest.fixture
def records(about) -> list[Record]:
    """Gains of 2, 3 and 4 dB along the three axes, half a dB less where the wrong profile was told."""
    found = []
    for volume in about.volumes:
        for factor in about.factors:
            for axis, slices in enumerate(("sagittal", "coronal", "axial")):
                for profile in PROFILES:
                    told = {"bspline": ("",), NETWORKS[0]: dict.fromkeys(("gaussian:1", profile))}
                    for method in about.methods:
                        for stated in told.get(method, ("gaussian:1",)):
                            gain = 0.0 if method == "bspline" else 2.0 + axis
                            gain -= 0.5 * (method != "bspline" and stated != profile)
                            numbers = dict(psnr=30 + gain, psnr_head=25 + gain, ssim=0.9, hfen=0.5, rmse=3.0)
                            shape = dict(edge_width=2.0, slice_edges=1.0, deviation=0.0, truth_edge_width=1.0)
                            found.append(
                                Record(
                                    volume, axis, slices, factor, profile, stated, method, **numbers, **shape
                                )
                            )
    return found


def change(records, where, **numbers):
    """The same records, but for one that is at ``where``."""
    matches = [r for r in records if all(getattr(r, name) == value for name, value in where.items())]
    assert len(matches) == 1
    return [dataclasses.replace(r, **numbers) if r is matches[0] else r for r in records]


def flags(about, records) -> dict[str, bool]:
    return {flag["check"]: flag["holds"] for flag in summarise(about, records)["flags"]}


def test_the_mean_over_the_axes_is_what_counts(about, records):
    summary = summarise(about, records)
    cell = summary["means"]["two"]["4"][NETWORKS[0]]
    assert (cell["gain"], cell["least_gain"], cell["gain_head"]) == (3.0, 2.0, 3.0)
    assert cell["psnr"] == 33.0
    assert summary["axes"]["two"]["4"]["axial"][NETWORKS[0]]["gain"] == 4.0
    assert "x2 one +3.0, two +3.0; x4 one +3.0, two +3.0" in summary["headline"]
    json.dumps(rounded(summary), allow_nan=False)


def test_a_wrong_guess_costs_what_the_right_one_has_more(about, records):
    profiles = summarise(about, records)["profiles"]
    assert profiles["gaussian:1"]["2"]["cost"] == 0
    box = profiles["box:1"]["2"]
    assert (box["stated"], box["right"], box["cost"], box["most"]) == (2.5, 3.0, 0.5, 0.5)


def test_the_free_network_stands_beside_it_for_it_knows_of_no_profile(about, records):
    found = [
        dataclasses.replace(r, psnr=31.0) if (r.method, r.profile) == (NETWORKS[1], "box:1") else r
        for r in records
    ]
    assert summarise(about, found)["profiles"]["box:1"]["4"]["free"] == 1.0


AT = {"volume": "two", "axis": 1, "factor": 4, "profile": "gaussian:1", "method": NETWORKS[0]}


def test_every_check_can_fail_by_one_number_alone(about, records):
    assert flags(about, records) == dict.fromkeys(("gain", "slice_edges", "deviation", "profile"), True)
    for check, where, numbers in (
        ("gain", AT, {"psnr": 26.0}),
        ("slice_edges", AT, {"slice_edges": 1.11}),
        ("deviation", AT, {"deviation": 0.002}),
        ("profile", {**AT, "profile": "box:1", "stated": "gaussian:1"}, {"psnr": 30.0}),
    ):
        failed = [
            name for name, holds in flags(about, change(records, where, **numbers)).items() if not holds
        ]
        assert failed == [check]


def test_what_the_other_network_does_is_not_judged(about, records):
    where = {**AT, "method": NETWORKS[1]}
    assert all(flags(about, change(records, where, deviation=0.5, slice_edges=3.0)).values())

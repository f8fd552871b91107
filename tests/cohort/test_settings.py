"""What changes voxels, and how a difference is said."""

from __future__ import annotations

import dataclasses
import json

import pytest

from espcn_core.cohort.settings import changed_model, difference, hash_of, parameters_of


@pytest.fixture
def parameters(wanted):
    def parameters(precision="fp32", engine="torch", trust=False, request=None, **changes):
        what = dataclasses.replace(wanted, **changes)
        if request:
            what = dataclasses.replace(what, request=dataclasses.replace(what.request, **request))
        return parameters_of(what, precision=precision, engine=engine, trust=trust)

    return parameters


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"precision": "bf16"}, "precision fp32 rather than bf16"),
        ({"engine": "openvino"}, "engine torch rather than openvino"),
        ({"trust": True}, "trust False rather than True"),
        ({"dtype": "uint8"}, "dtype same rather than uint8"),
        ({"slice_thickness": 4.0}, "slice_thickness not stated rather than 4.0"),
        ({"consistent": False}, "consistent True rather than False"),
        (
            {"anonymise": True, "force": True},
            "anonymise False rather than True, force False rather than True",
        ),
        ({"request": {"scale": (1, 1, 5)}}, "scale 2 rather than 1,1,5"),
        (
            {"request": {"scale": None, "spacing": 1.0}},
            "scale 2 rather than not stated, spacing not stated rather than 1.0",
        ),
        ({"request": {"plane": "axial"}}, "plane auto rather than axial"),
    ],
)
def test_all_that_changes_voxels_is_a_parameter(parameters, changes, says):
    assert difference(parameters(), parameters(**changes)) == says
    assert difference(parameters(**changes), parameters(**changes)) == ""


def test_a_dry_run_and_the_path_of_a_model_change_nothing(parameters, wanted, weights, monkeypatch):
    assert parameters(dry_run=True) == parameters()
    monkeypatch.chdir(weights)
    assert parameters(request={"model": "small-1.safetensors"}) == parameters()
    assert json.loads(parameters())["model"] == hash_of(wanted.request.model)


def test_the_version_is_a_parameter(parameters, monkeypatch):
    before = parameters()
    monkeypatch.setattr("espcn_core.cohort.settings.__version__", "9.9")
    assert difference(before, parameters()).endswith("rather than 9.9")


def test_a_model_that_was_shipped_and_is_another_one(weights, monkeypatch):
    now = json.dumps({"model": None})
    monkeypatch.setattr("espcn_core.models.cards.SHIPPED", weights)
    right = {name: hash_of(name) for name in ("small-1", "small-2")}
    assert changed_model([json.dumps(right)], now) is None
    assert changed_model([json.dumps({**right, "small-2": "00"})], now) == "small-2"
    assert changed_model([json.dumps({"gone": "00"})], now) == "gone"
    assert changed_model([json.dumps({"gone": "00"})], json.dumps({"model": "00"})) is None

"""Weights are used only with the card that describes them."""

from __future__ import annotations

import json

import pytest
import torch

from espcn_core.errors import RequestError, WeightsError
from espcn_core.models import cards
from espcn_core.models.cards import Card, default_model, read_card, shipped_cards
from espcn_core.models.registry import build
from espcn_core.models.trained import load_model, save_model


def card(name="mine", architecture="espcn-r", factor=(2, 2), **fields):
    return Card(name=name, architecture=architecture, factor=factor, degradation="bicubic", **fields)


@pytest.fixture
def weights(tmp_path):
    network = build("espcn-r", (2, 2), width=8, depth=1)
    torch.nn.init.normal_(network.sub_pixels.weight)
    return save_model(network, card(arguments={"width": 8, "depth": 1}), tmp_path)


def change(path, **fields):
    card_path = path.with_suffix(".json")
    card_path.write_text(json.dumps(json.loads(card_path.read_text()) | fields))


@pytest.mark.parametrize(
    ("architecture", "factor", "arguments"),
    [
        ("espcn", (2, 2), {}),
        ("espcn-2016", (1, 4), {"channels": 2}),
        ("espcn-r", (3, 3), {"width": 8, "depth": 2}),
    ],
)
def test_what_is_saved_is_loaded(tmp_path, architecture, factor, arguments):
    network = build(architecture, factor, **arguments)
    saved = card(architecture=architecture, factor=factor, arguments=arguments, training={"patients": 3})
    loaded, read = load_model(save_model(network, saved, tmp_path))
    assert not loaded.training
    for key, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor)
    assert len(read.sha256) == 64
    assert (read.factor, read.arguments, read.training) == (factor, arguments, {"patients": 3})


def test_the_shipped_weights_are_what_their_cards_say():
    assert {"espcn-r-x2", "espcn-r-x3", "espcn-r-x4", "espcn-x4"} <= set(shipped_cards())
    for name, described in shipped_cards().items():
        network, loaded = load_model(name)
        assert loaded == described
        assert described.name == name
        image = torch.rand(1, 1, 12, 10)
        assert network(image).shape[2:] == (12 * described.factor[0], 10 * described.factor[1])
        fields = ("data", "licence", "patients", "slices", "spacing_mm", "contrast", "command")
        assert all(described.training[field] for field in fields)
        assert described.metrics
    assert default_model((2, 2)) == "espcn-r-x2"
    assert default_model((4, 4)) == "espcn-r-x4"


def test_a_specialist_is_never_the_default(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "SHIPPED", tmp_path)
    for name in ("espcn-r-x2-bicubic", "espcn-r-x2", "espcn-r-x2-kspace", "espcn-r-x3-bicubic"):
        factor = (int(name[9]), int(name[9]))
        save_model(build("espcn-r", factor, width=8, depth=1), card(name, factor=factor), tmp_path)
    through = card("espcn-r-through-x5", factor=(1, 5))
    save_model(build("espcn-r", (1, 5), width=8, depth=1), through, tmp_path)
    assert default_model((2, 2)) == "espcn-r-x2"
    assert default_model((1, 5)) == "espcn-r-through-x5"
    with pytest.raises(RequestError, match="no model has scale 5x1"):
        default_model((5, 1))
    with pytest.raises(RequestError, match="no model has scale 3: there are models for scale 1x5, 2, or"):
        default_model((3, 3))


def test_unknown_models_are_refused_with_the_nearest_names():
    with pytest.raises(RequestError, match="did you mean espcn-r-x2"):
        load_model("espcn-rx2")
    with pytest.raises(RequestError, match=r"there is no weight file .*none\.safetensors"):
        load_model("none.safetensors")
    with pytest.raises(RequestError, match=r"no model has scale 7: there are models for scale .*2, 3, 4, or"):
        default_model((7, 7))
    with pytest.raises(RequestError, match="no model is called"):
        load_model("../weights/espcn-r-x2")


def test_other_weights_than_the_cards_are_refused(weights):
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match=r"mine\.safetensors is not the file that its card describes"):
        load_model(weights)


def test_a_missing_card_is_an_error(weights):
    weights.with_suffix(".json").unlink()
    with pytest.raises(WeightsError, match=r"mine\.json is missing"):
        load_model(weights)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "unet"}, "does not know: no network is called 'unet'"),
        ({"architecture": "espcn", "arguments": {}}, "does not hold the weights of espcn"),
        ({"arguments": {"width": 9, "depth": 1}}, "does not hold the weights of espcn-r"),
        ({"arguments": {"colour": 9}}, "cannot be built with"),
        ({"factor": [0, 2]}, "gives the factor"),
        ({"factor": [2, 2, 2]}, "gives the factor"),
        ({"factor": 2}, "gives the factor"),
        ({"training": "much"}, "gives training as str, not dict"),
        ({"training": {"spacing_range_mm": [3]}}, r"mine\.json gives spacing_range_mm as \[3\]"),
        ({"sha256": None}, "gives sha256 as NoneType, not str"),
        ({"more": 1}, "check more"),
    ],
)
def test_a_card_of_something_else_is_an_error(weights, fields, message):
    change(weights, **fields)
    with pytest.raises(WeightsError, match=message):
        load_model(weights)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "\xff"])
def test_what_is_no_card_is_an_error(tmp_path, text):
    path = tmp_path / "card.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"card\.json"):
        read_card(path)


def test_what_is_no_safetensors_file_is_an_error(weights, monkeypatch):
    import hashlib

    weights.write_bytes(b"\x80\x04pickle")
    change(weights, sha256=hashlib.sha256(weights.read_bytes()).hexdigest())
    with pytest.raises(WeightsError, match="does not hold the weights"):
        load_model(weights)
    monkeypatch.setattr(cards, "SHIPPED", weights.parent)
    assert list(shipped_cards()) == ["mine"]

"""Weights, cards and configurations from strangers: refused in one sentence, without memory or a way out."""

from __future__ import annotations

import hashlib
import json
import struct

import pytest
import torch

from espcn_core.errors import EspcnError, RequestError, WeightsError
from espcn_core.models.cards import Card, read_card
from espcn_core.models.registry import build
from espcn_core.models.tensors import read_tensors
from espcn_core.models.trained import load_model, save_model
from espcn_core.training.config import read_config


@pytest.fixture
def weights(tmp_path):
    card = Card("tiny", "espcn-r", (2, 2), "bicubic", {"width": 4, "depth": 1})
    return save_model(build("espcn-r", (2, 2), width=4, depth=1), card, tmp_path)


def change(weights, **fields):
    card = weights.with_suffix(".json")
    card.write_text(json.dumps({**json.loads(card.read_text()), **fields}))


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "..", ".hidden", "a/b", "a\\b", "C:x", "a\nb", "a\udcff", "", "a" * 101, "a\0"]
)
def test_a_name_that_leads_elsewhere_is_refused(weights, name):
    change(weights, name=name)
    with pytest.raises(WeightsError, match="not a plain file name"):
        load_model(weights)


@pytest.mark.parametrize(
    "arguments", [{"width": 10**9}, {"depth": 10**9}, {"channels": 10**6}, {"width": 0}, {"width": True}]
)
def test_a_card_for_a_huge_network_is_refused_before_it_is_built(weights, arguments):
    change(weights, arguments=arguments)
    with pytest.raises(WeightsError, match=r"must be a whole number from [01] to"):
        load_model(weights)


@pytest.mark.parametrize("name", ["architecture", "factor"])
def test_an_argument_that_the_card_gives_elsewhere_is_refused(weights, name):
    change(weights, arguments={"width": 4, "depth": 1, name: "x"})
    with pytest.raises(WeightsError, match="cannot be built"):
        load_model(weights)


def test_tensors_of_another_shape_are_refused(weights):
    change(weights, arguments={"width": 8, "depth": 1})
    with pytest.raises(WeightsError, match="does not hold the weights of espcn-r"):
        load_model(weights)


def test_a_huge_file_is_not_read(weights):
    with weights.open("r+b") as file:
        file.truncate((1 << 28) + 1)
    with pytest.raises(WeightsError, match="268,435,457 bytes"):
        load_model(weights)


def test_a_card_that_is_deeper_or_longer_than_any_is_refused(tmp_path):
    for content in (b"[" * 100_000, b" " * ((1 << 24) + 1)):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(WeightsError, match="not a readable card"):
            read_card(tmp_path / "a.json")


def test_tensors_that_share_bytes_are_refused():
    entry = {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}
    text = json.dumps({f"t{n}": entry for n in range(50)}).encode()
    with pytest.raises(ValueError, match="share bytes"):
        read_tensors(struct.pack("<Q", len(text)) + text + bytes(4000))


@pytest.mark.parametrize("shape", [[0, 2**70], [0, 2**62, 2**62]])
def test_an_empty_tensor_of_impossible_shape_is_refused(weights, shape):
    text = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    content = struct.pack("<Q", len(text)) + text
    weights.write_bytes(content)
    change(weights, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(WeightsError):
        load_model(weights)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "[arguments]\nwidth = 1000000000",
        "[arguments]\ndepth = 1000000000",
        "learning_rate = 1" + "0" * 400,
        "seed = 0x" + "f" * 6000,
        "[arguments]\nwidth = 0x" + "f" * 6000,
        'name = ".."',
        '"' + "a" * 70_000 + '" = 1',
        "#" * ((1 << 20) + 1),
    ],
)
def test_a_hostile_configuration_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(RequestError) as caught:
        read_config(tmp_path / "c.toml")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_configuration_is_tried_without_its_memory(tmp_path, monkeypatch):
    devices = []
    # of the very module that the function is from, which other tests may have imported again since
    tried = read_config.__globals__["try_network"]
    monkeypatch.setitem(
        tried.__globals__, "build", lambda *_, **__: lambda image: devices.append(image.device)
    )
    (tmp_path / "c.toml").write_text("scale = 2")
    read_config(tmp_path / "c.toml")
    assert devices == [torch.device("meta")]


def test_a_message_is_one_plain_line_whatever_it_quotes():
    text = str(EspcnError("a\nb\x1b[31m\udcff" + "c" * 5000 + "end"))
    assert text.startswith("a\\nb\\x1b[31m\\udcff")
    assert text.endswith("end")
    assert text.isprintable()
    assert len(text) < 1000

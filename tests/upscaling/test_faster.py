"""Which engine is faster is measured once, and nothing depends on whether that can be kept."""

from __future__ import annotations

import json

import pytest
import torch

from espcn_core.upscaling import faster as module
from espcn_core.upscaling.faster import is_openvino_faster
from espcn_core.upscaling.torch_engine import TorchEngine

pytest.importorskip("openvino")


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def by_torch(model):
    return lambda: TorchEngine(model, torch.device("cpu"))


@pytest.fixture
def measured(monkeypatch):
    """Counts measurements, whose answer is yes."""
    calls = []
    monkeypatch.setattr(module, "_measured", lambda model, precision, engine: calls.append(model) or True)
    return calls


@pytest.fixture
def cache(tmp_path, monkeypatch):
    path = tmp_path / "cache" / "engines.json"
    monkeypatch.setattr(module, "_remembered_in", lambda: path)
    return path


def test_it_is_measured_once_for_each_network_and_number_of_threads(
    model, by_torch, measured, cache, monkeypatch
):
    assert all(is_openvino_faster(model, "fp32", by_torch) for _ in range(3))
    assert len(measured) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    is_openvino_faster(model, "fp32", by_torch)
    assert len(measured) == 2
    is_openvino_faster(model, "bf16", by_torch)
    assert len(measured) == 3
    monkeypatch.setattr(module, "openvino_precision", lambda precision, network: "int8")  # another processor
    is_openvino_faster(model, "bf16", by_torch)
    assert len(measured) == 4
    assert list(json.loads(cache.read_text()).values()) == [True] * 4


def test_torch_has_no_network_to_load_where_the_answer_is_known(model, by_torch, measured, cache):
    is_openvino_faster(model, "fp32", by_torch)
    assert is_openvino_faster(model, "fp32", lambda: pytest.fail("loaded"))


@pytest.mark.parametrize("content", [b"", b"[1]", b"{\xff", b'{"a": 3}'])
def test_a_damaged_file_is_measured_again(model, by_torch, measured, cache, content):
    cache.parent.mkdir()
    cache.write_bytes(content)
    assert is_openvino_faster(model, "fp32", by_torch)
    assert len(measured) == 1
    assert list(json.loads(cache.read_text()).values()) == [True]


def test_a_folder_that_cannot_be_written_is_no_error(model, by_torch, measured, cache):
    cache.parent.write_text("a file where the folder should be")
    assert is_openvino_faster(model, "fp32", by_torch)
    assert is_openvino_faster(model, "fp32", by_torch)
    assert len(measured) == 2


@pytest.mark.parametrize(("seconds", "answer"), [(0.0, True), (0.5, False)])
def test_the_faster_one_is_found(model, by_torch, monkeypatch, seconds, answer):
    """One of the two waits: torch a little, and OpenVINO by what is given."""
    import time

    from espcn_core.upscaling.openvino_engine import OpenVINOEngine

    for engine, waits in ((TorchEngine, 0.1), (OpenVINOEngine, seconds)):

        def slowly(self, padded, start=engine.start, waits=waits):
            time.sleep(waits)
            return start(self, padded)

        monkeypatch.setattr(engine, "start", slowly)
    assert module._measured(model, "fp32", by_torch()) is answer


def test_an_openvino_that_fails_is_not_faster(model, by_torch, monkeypatch):
    from espcn_core.upscaling import openvino_engine

    def fail(*arguments):
        raise RuntimeError("illegal instruction")

    monkeypatch.setattr(openvino_engine, "_graph", fail)
    assert module._measured(model, "fp32", by_torch()) is False

"""What runs a network is chosen once, by what is asked for and what is there."""

from __future__ import annotations

import pytest
import torch

from espcn_core.errors import RequestError
from espcn_core.upscaling import engines as module
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.torch_engine import TorchEngine


@pytest.fixture
def openvino(monkeypatch):
    """Say whether the package is there and whether it is faster."""

    def say(there, faster=False):
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object() if there else None)
        monkeypatch.setattr(module, "is_openvino_faster", lambda model, precision, engine: faster)

    return say


def test_auto_takes_openvino_where_it_is_faster(openvino, make_model):
    pytest.importorskip("openvino")
    openvino(there=True, faster=True)
    engines = Engines("cpu", "fp32", "auto")
    assert engines.place == "cpu"
    engines.load(make_model())
    assert engines.place == "cpu by OpenVINO in fp32"


@pytest.mark.parametrize(("there", "faster"), [(False, True), (True, False)])
def test_auto_takes_torch_otherwise(openvino, make_model, there, faster):
    openvino(there, faster)
    engines = Engines("cpu", "fp32", "auto")
    assert isinstance(engines.load(make_model()), TorchEngine)
    assert engines.place == "cpu"


def test_torch_is_what_python_gets(openvino, make_model):
    openvino(there=True, faster=True)
    assert isinstance(Engines("cpu").load(make_model()), TorchEngine)


def test_a_graphics_card_is_for_torch(openvino, monkeypatch):
    openvino(there=True, faster=True)
    monkeypatch.setattr(module, "choose_device", lambda name: torch.device("cuda"))
    assert Engines("cuda", "fp32", "auto")._engine == "torch"
    with pytest.raises(RequestError, match="on the CPU, not on cuda: use --device cpu"):
        Engines("cuda", "fp32", "openvino")


def test_what_is_not_installed_says_how_to_get_it(openvino):
    openvino(there=False)
    for precision, engine in (("fp32", "openvino"), ("int8", "auto")):
        with pytest.raises(RequestError, match=r"not installed: pip install espcn-core\[fast\]"):
            Engines("cpu", precision, engine)


def test_eight_bits_are_for_openvino(openvino):
    openvino(there=True)
    assert Engines("cpu", "int8", "auto")._engine == "openvino"
    with pytest.raises(RequestError, match="torch computes in fp32 and bf16: int8 needs --engine openvino"):
        Engines("cpu", "int8", "torch")


def test_an_unknown_engine_is_refused():
    with pytest.raises(RequestError, match="no engine is called 'onnx': there are auto, torch, openvino"):
        Engines("cpu", "fp32", "onnx")


def test_a_network_is_loaded_once(make_model):
    engines, model = Engines("cpu"), make_model()
    assert engines.load(model) is engines.load(model)

"""Networks compute in half the bits where that is fast, and their results hardly change."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import espcn_core
from espcn_core.errors import RequestError
from espcn_core.models.cards import shipped_cards
from espcn_core.models.trained import load_model
from espcn_core.upscaling import precision as module
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.precision import narrowed, openvino_precision, precision_for
from espcn_core.upscaling.torch_engine import TorchEngine

seconds_of_a_layer = module._seconds

CPU, CUDA, MPS = (torch.device(kind) for kind in ("cpu", "cuda", "mps"))


@pytest.fixture
def is_faster(monkeypatch):
    def say(answer):
        monkeypatch.setattr(module, "cpu_is_faster_in_bfloat16", lambda: answer)

    return say


@pytest.fixture
def cpu(monkeypatch):
    """A CPU that has instructions for bfloat16 or not, and takes so many seconds with them; 1 without."""

    def make(instructions, seconds=0.5):
        for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(
                torch.cpu, question, lambda there=question in instructions: there, raising=False
            )
        monkeypatch.setattr(
            module, "_seconds", lambda features, kernels: seconds if features.dtype == torch.bfloat16 else 1.0
        )
        module.cpu_is_faster_in_bfloat16.cache_clear()

    yield make
    module.cpu_is_faster_in_bfloat16.cache_clear()


@pytest.mark.parametrize("instructions", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
@pytest.mark.parametrize(("seconds", "faster"), [(0.5, True), (2.0, False)])
def test_a_cpu_with_instructions_for_bfloat16_is_measured(cpu, instructions, seconds, faster):
    cpu([instructions], seconds)
    assert module.cpu_is_faster_in_bfloat16() is faster
    assert precision_for("auto", CPU, residual=True) == ("bf16" if faster else "fp32")


def test_one_without_them_emulates_them_and_is_not_measured(cpu, monkeypatch):
    cpu([])
    monkeypatch.setattr(module, "_seconds", None)
    assert module.cpu_is_faster_in_bfloat16() is False


def test_a_torch_without_the_private_functions_computes_in_float32(cpu, monkeypatch):
    cpu([])
    for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, question)
    assert module.cpu_is_faster_in_bfloat16() is False


def test_it_is_measured_once(cpu, monkeypatch):
    cpu(["_is_avx512_bf16_supported"])
    assert module.cpu_is_faster_in_bfloat16()
    monkeypatch.setattr(module, "_seconds", None)
    assert module.cpu_is_faster_in_bfloat16()


def test_a_layer_is_timed_in_both_by_one_thread(cpu, monkeypatch):
    asked = []

    def timed(features, kernels):
        asked.append((features.dtype, kernels.dtype, torch.get_num_threads()))
        return seconds_of_a_layer(features, kernels)

    cpu(["_is_avx512_bf16_supported"])
    monkeypatch.setattr(module, "_seconds", timed)
    before, state = torch.get_num_threads(), torch.get_rng_state()
    module.cpu_is_faster_in_bfloat16()
    assert set(asked) == {(dtype, dtype, 1) for dtype in (torch.float32, torch.bfloat16)}
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), state)  # or a seed would mean another thing on another machine


@pytest.mark.parametrize("fast", [True, False])
def test_auto_is_bfloat16_where_a_cpu_is_faster_with_it_for_residual_networks(is_faster, fast):
    is_faster(fast)
    assert precision_for("auto", CPU, residual=True) == ("bf16" if fast else "fp32")
    assert precision_for("auto", CPU, residual=False) == "fp32"
    assert precision_for("auto", MPS, residual=True) == "fp32"


@pytest.mark.parametrize("fast", [True, False])
def test_a_graphics_card_is_asked_what_it_computes_with(monkeypatch, fast):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: fast)
    assert precision_for("auto", CUDA, residual=True) == ("bf16" if fast else "fp32")
    assert precision_for("auto", CUDA, residual=False) == "fp32"


@pytest.mark.parametrize(
    ("asked", "there", "name", "expected"),
    [
        ("auto", True, "espcn-r-x2", "int8"),
        ("auto", True, "espcn-r-through-x6", "int8"),
        ("auto", True, "espcn-x4", "fp32"),  # no residual network
        ("auto", False, "espcn-r-x2", "bf16"),
        ("fp32", True, "espcn-r-x2", "fp32"),
        ("int8", False, "espcn-r-x2", "int8"),
    ],
)
def test_openvino_takes_eight_bits_where_the_cpu_sums_them_and_weights_lose_nothing(
    is_faster, monkeypatch, asked, there, name, expected
):
    is_faster(True)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: there, raising=False)
    assert openvino_precision(asked, load_model(name)[0]) == expected


def test_weights_that_eight_bits_do_not_hold_are_not_rounded_unasked(is_faster, monkeypatch, make_model):
    is_faster(True)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True, raising=False)
    network, _ = load_model(make_model())
    assert openvino_precision("auto", network) == "bf16"
    monkeypatch.delattr(torch.cpu, "_is_vnni_supported")
    assert openvino_precision("auto", load_model("espcn-r-x2")[0]) == "bf16"


@pytest.mark.parametrize("residual", [True, False])
def test_what_is_asked_for_is_taken(is_faster, residual):
    is_faster(False)
    assert precision_for("bf16", CPU, residual) == "bf16"
    is_faster(True)
    assert precision_for("fp32", CPU, residual) == "fp32"


def test_an_unknown_one_is_refused_before_a_network_is_loaded():
    with pytest.raises(RequestError, match="no precision is called 'fp16': there are auto, fp32, bf16"):
        Engines("cpu", "fp16")


@pytest.mark.parametrize("name", [name for name in shipped_cards() if name.startswith("espcn-r")])
def test_shipped_networks_are_within_a_tenth_of_a_grey_level_and_have_no_seams(name, heads, whole):
    """Of 255, root mean square: at most 0.07."""
    exact, fast = (TorchEngine(name, CPU, precision) for precision in ("fp32", "bf16"))
    batch = heads(exact.factor)
    exact, fast = (engine.adapted(batch[:, 0]) for engine in (exact, fast))
    expected, result = (whole(engine, batch) for engine in (exact, fast))
    assert result.dtype == torch.float32
    assert 0 < 255 * (result - expected).square().mean().sqrt() < 0.08
    fast.pixels_at_once = batch[0].numel() // 3
    torch.testing.assert_close(whole(fast, batch), result, rtol=0, atol=1e-5)  # as in float32


def test_narrowed_weights_are_of_bfloat16_and_change_images_less_than_weights_that_are_just_rounded():
    torch.manual_seed(4)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    layers = [copy.deepcopy(layer) for layer in (network[0], network[2])]
    found = narrowed(network)
    for layer, was in zip((found[0], found[2]), layers, strict=True):
        now = layer.weight
        assert torch.equal(now, now.bfloat16().float())
        assert (now - was.weight).abs().max() < 2**-6 * was.weight.abs().max()
        smooth = torch.nn.functional.avg_pool2d(torch.randn(1, was.in_channels, 99, 99), 5, stride=1)
        changes = (
            torch.nn.functional.conv2d(smooth, weight - was.weight)
            for weight in (now, was.weight.bfloat16().float())
        )
        ours, usual = (change.square().mean().sqrt() for change in changes)
        assert ours < usual / 2
    assert all(torch.equal(a.weight, b.weight) for a, b in zip((network[0], network[2]), layers, strict=True))


def test_narrowed_weights_of_1_x_1_are_those_that_are_just_rounded():
    layer = torch.nn.Conv2d(3, 8, 1)
    assert torch.equal(narrowed(layer).weight, layer.weight.bfloat16().float())


def test_a_network_in_bfloat16_has_such_weights(heads):
    for precision, same in (("fp32", True), ("bf16", False)):
        engine = TorchEngine("espcn-r-x2-bicubic", CPU, precision)
        fitted = engine.adapted(heads((2, 2))[:, 0])
        pairs = zip(fitted.network.parameters(), engine.network.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs) == same
        weight = fitted.network.sub_pixels.weight
        assert torch.equal(weight, weight.bfloat16().float()) != same


def test_python_computes_in_float32_unless_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "espcn_core.upscaling.upscaler.Engines", lambda *given: asked.append(given) or Engines(*given)
    )
    image = np.random.default_rng(1).uniform(size=(12, 10, 2)).astype(np.float32), np.eye(4)
    results = []
    for precision in ({}, {"precision": "bf16"}):
        with pytest.warns(UserWarning, match="was trained on"):
            results.append(espcn_core.upscale(image, device="cpu", **precision)[0])
    assert asked == [("cpu", "fp32"), ("cpu", "bf16")]
    assert 0 < np.abs(results[0] - results[1]).max() < 0.05

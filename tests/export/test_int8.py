"""Networks whose inner layers compute with 8 bits."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional

from espcn_core.evaluation.metrics import psnr
from espcn_core.export.graph import Runner, to_onnx
from espcn_core.export.int8 import mean_psnr, quantised
from espcn_core.export.slices import Pair
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.shuffle import crop
from espcn_core.upscaling.slices import pad

RADIUS = 5


def pair(seed, size=40):
    fine = functional.interpolate(
        torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(seed)), (size, size), mode="bicubic"
    )[0, 0]
    coarse = fine.reshape(size // 2, 2, size // 2, 2).mean((1, 3))
    return Pair(coarse.numpy(), fine.numpy())


PAIRS = [pair(n) for n in range(6)]


@pytest.fixture(scope="module")
def exported():
    """A network of five layers, not trained, and its ONNX file."""
    torch.manual_seed(5)
    network = build("espcn-r", (2, 2), width=8, depth=3).eval()
    torch.nn.init.normal_(network.sub_pixels.weight, std=0.05)
    return network, to_onnx(network, Card("m", "espcn-r", (2, 2), "area"), "")


@pytest.fixture(scope="module")
def in_8_bits(exported):
    return quantised(exported[1], PAIRS[:4], RADIUS)


def test_it_computes_nearly_the_same_but_not_the_same(exported, in_8_bits):
    coarse = PAIRS[5].coarse[None, None]
    exact, rounded = (Runner(content)(coarse) for content in (exported[1], in_8_bits))
    bicubic = functional.interpolate(torch.from_numpy(coarse), scale_factor=2, mode="bicubic").numpy()
    # Root mean square: single values are off by more where a processor without VNNI saturates.
    change, gain = (np.sqrt(np.square(image).mean()) for image in (rounded - exact, exact - bicubic))
    assert 1e-5 < change < 0.05 * gain


def test_the_first_two_layers_the_last_and_the_interpolation_stay_in_float(in_8_bits):
    graph = onnx.load_from_string(in_8_bits).graph
    made_by = {output: node for node in graph.node for output in node.output}
    layers = [node for node in graph.node if node.op_type == "Conv"]
    assert len(layers) == 5
    for number, layer in enumerate(layers):
        sources = {made_by[name].op_type if name in made_by else "given" for name in layer.input[:2]}
        assert ("DequantizeLinear" in sources) == (1 < number < 4)
    (resize,) = (node for node in graph.node if node.op_type == "Resize")
    assert resize.input[0] == "coarse"
    (add,) = (node for node in graph.node if node.op_type == "Add")
    assert {made_by[name].op_type for name in add.input} == {"DepthToSpace", "Resize"}


def test_weights_have_a_scale_for_each_channel(in_8_bits):
    model = onnx.load_from_string(in_8_bits)
    values = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    kernels = {name for name, value in values.items() if value.dtype == np.int8 and value.ndim == 4}
    scales = [
        values[node.input[1]].shape
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in kernels
    ]
    assert scales == [(8,)] * 2


def test_other_layers_and_methods_can_be_tried(exported):
    made = quantised(exported[1], PAIRS[:2], RADIUS, method="MinMax", in_float=(1, 2, 3))
    graph = onnx.load_from_string(made).graph
    kernels = [
        one for one in graph.initializer if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 4
    ]
    assert len(kernels) == 2


def test_slices_of_any_size_calibrate_and_all_of_each_counts(exported):
    """A bright spot anywhere in a large slice widens the range of the values behind the first layer."""
    dim = Pair(PAIRS[0].coarse / 10, PAIRS[0].fine / 10)
    ranges = []
    for row, column in ((None, None), (0, 0), (43, 30), (58, 65)):
        large = np.zeros((59, 66), np.float32)
        if row is not None:
            large[row, column] = 50
        made = quantised(exported[1], [dim, Pair(large, large)], RADIUS, method="MinMax", in_float=(0, -1))
        graph = onnx.load_from_string(made).graph
        values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
        first = next(node for node in graph.node if node.op_type == "QuantizeLinear")
        ranges.append(float(values[first.input[1]]))
    assert min(ranges[1:]) > 5 * ranges[0]


def test_the_psnr_is_that_of_a_padded_run(exported):
    network, content = exported
    found = []
    for one in PAIRS:
        padded = pad(torch.from_numpy(one.coarse)[None, None], RADIUS)
        with torch.inference_mode():
            made = crop(network(padded), RADIUS, (2, 2))[0, 0]
        found.append(psnr(made, torch.from_numpy(one.fine), float(np.ptp(one.fine))))
    assert mean_psnr(content, PAIRS, RADIUS, (2, 2)) == pytest.approx(np.mean(found), abs=1e-3)


def test_what_onnxruntime_prints_is_kept_from_the_user(exported, capfd):
    quantised(exported[1], PAIRS[:2], RADIUS)
    assert capfd.readouterr() == ("", "")

"""Networks as ONNX graphs, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional

from espcn_core import __version__
from espcn_core.errors import EspcnError
from espcn_core.export.graph import OPSET, Runner, largest_difference, to_onnx
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import load_model


def network(architecture="espcn-r", factor=(2, 2), residual=True, **arguments):
    torch.manual_seed(3)
    if architecture == "espcn-r":
        arguments = {"width": 6, "depth": 1} | arguments
    made = build(architecture, factor, **arguments).eval()
    if residual:
        torch.nn.init.normal_(made.sub_pixels.weight, std=0.2)
    return made


def card(made, architecture="espcn-r"):
    return Card("m", architecture, made.factor, "area", training={"data": "noise", "licence": "CC0"})


@pytest.fixture(scope="module")
def plain():
    """An `espcn-r` of factor (2, 2) and its ONNX file."""
    made = network()
    return made, to_onnx(made, card(made), "for any volume")


@pytest.mark.parametrize(
    ("architecture", "factor", "arguments"),
    [
        ("espcn", (3, 3), {}),
        ("espcn-2016", (2, 2), {}),
        ("espcn-r", (1, 5), {}),
        ("espcn-r", (3, 2), {"activation": "prelu"}),
    ],
)
def test_every_network_is_equal_to_torch_at_any_size(architecture, factor, arguments):
    made = network(architecture, factor, **arguments)
    content = to_onnx(made, card(made, architecture), "")
    assert largest_difference(content, made) < 1e-5
    run = Runner(content)
    for shape in ((1, 1, 1, 1), (4, 1, 3, 2), (1, 1, 7, 120)):
        coarse = 3 * torch.rand(shape) - 1  # outliers go beyond 0 and 1
        with torch.inference_mode():
            np.testing.assert_allclose(run(coarse.numpy()), made(coarse), atol=1e-4)
    height, width = (
        name if r == 1 else f"{r}*{name}" for r, name in zip(factor, ("height", "width"), strict=True)
    )
    assert shapes(content) == {
        "coarse": ["batch", 1, "height", "width"],
        "fine": ["batch", 1, height, width],
    }


def shapes(content):
    graph = onnx.load_from_string(content).graph
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }


def test_the_interpolation_is_that_of_torch_at_the_borders():
    made = network(residual=False)
    run = Runner(to_onnx(made, card(made), ""))
    coarse = torch.zeros(1, 1, 6, 7)
    coarse[..., 0, 0], coarse[..., -1, 3], coarse[..., 2, -1] = 1, -2, 5
    fine = functional.interpolate(coarse, scale_factor=2, mode="bicubic", align_corners=False)
    np.testing.assert_allclose(run(coarse.numpy()), fine, atol=1e-6)


def test_the_graph_has_few_operators_that_every_reader_knows(plain):
    _, content = plain
    model = onnx.load_from_string(content)
    operators = {node.op_type for node in model.graph.node}
    assert operators == {"Conv", "Relu", "DepthToSpace", "Resize", "Add"}
    assert [(one.domain, one.version) for one in model.opset_import] == [("", OPSET)]


def test_the_metadata_say_what_it_is(plain):
    _, content = plain
    found = {one.key: one.value for one in onnx.load_from_string(content).metadata_props}
    assert found == {
        "name": "m",
        "architecture": "espcn-r",
        "factor": "2x2",
        "radius": "3",
        "fitted_to": "for any volume",
        "degradation": "area",
        "sha256": "",
        "licence": "not stated",
        "data": "noise",
        "data_licence": "CC0",
        "not_for": "Diagnosis, or any decision about a patient.",
        "opset": "18",
        "version": f"espcn-core {__version__}",
    }


def test_shipped_weights_are_equal_on_a_large_slice_and_have_a_licence_and_a_hash():
    made, its_card = load_model("espcn-r-x3-bicubic")
    content = to_onnx(made, its_card, "")
    assert largest_difference(content, made) < 1e-4
    noise = torch.rand(1, 1, 256, 256, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        np.testing.assert_allclose(Runner(content)(noise.numpy()), made(noise), atol=1e-4)
    found = {one.key: one.value for one in onnx.load_from_string(content).metadata_props}
    assert (found["licence"], found["data_licence"]) == ("Apache-2.0", "CC BY 4.0")
    assert (found["sha256"], found["radius"]) == (its_card.sha256, "8")


def test_the_file_holds_nothing_of_the_machine_and_is_the_same_again(plain, capfd):
    made, content = plain
    for text in (str(Path(__file__).parents[2]), ".py", "pkg.", "Traceback", "File "):
        assert text.encode() not in content
    assert to_onnx(made, card(made), "for any volume") == content
    assert capfd.readouterr() == ("", "")


def test_another_network_is_not_taken_for_this_one(plain):
    _, content = plain
    other = network()
    with torch.no_grad():
        other.sub_pixels.bias += 2e-4
    with pytest.raises(EspcnError, match=r"differs from torch by 0\.0002, and 0\.0001 is allowed"):
        largest_difference(content, other)
    with pytest.raises(EspcnError, match="differs from torch by inf"):
        largest_difference(content, network(factor=(3, 3)))
    with torch.no_grad():
        other.sub_pixels.bias *= torch.nan
    with pytest.raises(EspcnError, match="differs from torch by nan"):
        largest_difference(content, other)

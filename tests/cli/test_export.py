"""``espcn-core export``."""

from __future__ import annotations

import re
import subprocess
import sys

import nibabel as nib
import numpy as np
import onnx
import pytest
import torch

from espcn_core.export.graph import Runner
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import load_model, save_model


@pytest.fixture(scope="module")
def adaptive(tmp_path_factory):
    """An adaptive network that depends much on its volume."""
    torch.manual_seed(4)
    arguments = {"width": 8, "depth": 2, "adaptive": True}
    network = build("espcn-r", (2, 2), **arguments)
    torch.nn.init.normal_(network.sub_pixels.weight, std=0.05)
    torch.nn.init.normal_(network.adaptation.changes.weight, std=0.5)
    network.adaptation.standardise(torch.randn(9, 22) - 2)
    card = Card("mine", "espcn-r", (2, 2), "bicubic", arguments)
    return save_model(network, card, tmp_path_factory.mktemp("adaptive"))


def test_a_network_is_exported_for_the_mean_of_its_training(cli, adaptive, tmp_path):
    output = tmp_path / "new" / "net.onnx"
    answer = cli("export", adaptive, "--onnx", output)
    assert answer.code == 0, answer.err
    (line,) = answer.out.splitlines()
    assert line.startswith(
        f"{output}: mine for the mean of its training (--for VOLUME fits it to one), opset 18, largest "
    )
    assert float(line.rpartition(" ")[2]) < 1e-5
    assert [path.name for path in output.parent.iterdir()] == ["net.onnx"]
    network, _ = load_model(adaptive)
    coarse = torch.rand(2, 1, 11, 14)
    with torch.inference_mode():
        fine = network.adapted(network.adaptation.centre)(coarse)
    np.testing.assert_allclose(Runner(output.read_bytes())(coarse.numpy()), fine, atol=1e-5)


def test_fitted_to_a_volume_it_gives_the_voxels_of_upscale(cli, adaptive, tmp_path, save):
    volume, output, fine = (tmp_path / name for name in ("jane_doe.nii", "net.onnx", "fine.nii"))
    save(volume, (14, 12, 40), np.float32)
    values = nib.load(volume).get_fdata(dtype=np.float32)
    nib.save(
        nib.Nifti1Image(values * np.linspace(0.2, 1, 40, dtype=np.float32) ** 2, np.diag([1, 1, 5, 1])),
        volume,
    )
    answer = cli("export", adaptive, "--onnx", output, "--for", volume)
    assert answer.code == 0, answer.err
    assert " mine for one volume, opset 18," in answer.out
    assert (
        cli("upscale", volume, "-o", fine, "--model", adaptive, "--precision", "fp32", "--device", "cpu").code
        == 0
    )

    # What the documentation tells others to do.
    content = output.read_bytes()
    assert b"jane" not in content
    radius = int({one.key: one.value for one in onnx.load_from_string(content).metadata_props}["radius"])
    array = nib.load(volume).get_fdata(dtype=np.float32)
    low, high = array.min(), array.max()
    coarse = np.pad((array - low) / (high - low), ((radius, radius), (radius, radius), (0, 0)), "edge")
    made = Runner(content)(np.ascontiguousarray(coarse.transpose(2, 0, 1)[:, None]))
    made = made[:, 0, 2 * radius : -2 * radius, 2 * radius : -2 * radius].transpose(1, 2, 0)
    np.testing.assert_allclose(
        made * (high - low) + low, nib.load(fine).get_fdata(), atol=1e-5 * (high - low)
    )


def test_in_8_bits(cli, save, tmp_path, tmp_path_factory, monkeypatch):
    torch.manual_seed(4)
    network = build("espcn-r", (2, 2), width=8, depth=3)
    torch.nn.init.normal_(network.sub_pixels.weight, std=0.01)
    card = Card("mine", "espcn-r", (2, 2), "bicubic", {"width": 8, "depth": 3})
    model = save_model(network, card, tmp_path_factory.mktemp("model"))
    save(tmp_path / "heads" / "a.nii", (40, 36, 4))
    save(tmp_path / "heads" / "b.nii.gz", (48, 50, 3))
    output = tmp_path / "net.onnx"
    answer = cli("export", model, "--onnx", output, "--int8", tmp_path / "heads")
    assert answer.code == 0, answer.err
    found = re.fullmatch(
        r".*: mine for any volume, opset 18, int8 loses (\S+) dB on (\d+) slices, "
        r"calibrated on (\d+) others\n",
        answer.out,
    )
    lost, others, known = found.groups()
    assert abs(float(lost)) < 0.05  # next to nothing, for so is what these weights add
    assert (int(others), int(known)) == (3, 4)
    operators = {node.op_type for node in onnx.load(output).graph.node}
    assert "DequantizeLinear" in operators

    monkeypatch.setattr("espcn_core.export.int8.MOST_LOST", -1)
    other = tmp_path / "other.onnx"
    answer = cli("export", model, "--onnx", other, "--int8", tmp_path / "heads")
    assert answer.code == 1
    assert "mine in int8 loses" in answer.err
    assert "only less than -1 is written: leave out --int8" in answer.err
    assert answer.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heads", "net.onnx"]


def test_a_network_that_differs_from_torch_is_not_written(cli, model, tmp_path, monkeypatch):
    monkeypatch.setattr("espcn_core.export.graph.TOLERANCE", 0.0)
    answer = cli("export", model, "--onnx", tmp_path / "net.onnx")
    assert answer.code == 1
    assert "the exported network differs from torch by" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing", "--onnx", "a.onnx"], "no model is called 'nothing'"),
        (["espcn-r-x2", "--onnx", "a.pt"], "--onnx a.pt is no name of an ONNX file: end it in .onnx"),
        (["espcn-r-x2", "--onnx", "there.onnx"], "there.onnx exists: remove it, or name another --onnx"),
        (["espcn-r-x2-bicubic", "--onnx", "a.onnx", "--for", "h.nii"], "is the same for every volume"),
        (["espcn-r-x2", "--onnx", "a.onnx", "--for", "none.nii"], "none.nii"),
        (["espcn-r-x2", "--onnx", "a.onnx", "--for", "line.nii"], "line.nii: "),
        (["mine.safetensors", "--onnx", "a.onnx", "--int8", "head.nii"], "of 3 layers none would compute"),
        (["espcn-r-through-x2", "--onnx", "a.onnx", "--int8", "h.nii"], "leave out --int8"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_sentence(cli, tmp_path, monkeypatch, save, model, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    for ending in (".safetensors", ".json"):
        (tmp_path / f"mine{ending}").write_bytes(model.with_suffix(ending).read_bytes())
    save(tmp_path / "head.nii", (32, 32, 2))
    (tmp_path / "there.onnx").touch()
    save(tmp_path / "line.nii", (1, 1, 9))
    before = sorted(tmp_path.iterdir())
    answer = cli("export", *arguments)
    assert answer.code in (1, 2)
    assert answer.out == ""
    assert sentence in answer.err
    assert answer.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_what_is_not_installed_is_named(cli, model, tmp_path, monkeypatch, package):
    for name in [name for name in sys.modules if name.startswith("espcn_core.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    answer = cli("export", model, "--onnx", tmp_path / "net.onnx")
    assert answer.code == 2
    assert answer.err == f"espcn-core: exporting needs {package}: pip install 'espcn-core[export]'\n"


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom espcn_core.cli import main\nsys.argv = ['espcn-core', 'export', '--help']\n"
        "try: main()\n"
        "finally: print('heavy:', *(set(sys.modules) & {'torch', 'numpy', 'onnx', 'onnxruntime'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: espcn-core export" in run.stdout
    assert run.stdout.endswith("heavy:\n")

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from espcn_core.cli import main
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model

AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])


@dataclass(frozen=True)
class Answer:
    """What a call of the command line gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch, capsys):
    """Calls ``espcn-core`` with arguments in this process."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["espcn-core", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ending:
            code = ending.code
        return Answer(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A folder with untrained weights of scale 2 and 4, laid out as the shipped ones are."""
    folder = tmp_path_factory.mktemp("weights")
    arguments = {"width": 8, "depth": 1}
    for scale in (2, 4):
        torch.manual_seed(scale)
        card = Card(
            f"espcn-r-x{scale}",
            "espcn-r",
            (scale, scale),
            "bicubic",
            arguments,
            training={"data": "noise", "patients": 3},
            metrics={"psnr": 33.214, "gain": 2.5},
        )
        save_model(build("espcn-r", (scale, scale), **arguments), card, folder)
    return folder


@pytest.fixture
def model(weights) -> Path:
    return weights / "espcn-r-x2.safetensors"


@pytest.fixture
def shipped(weights, monkeypatch):
    """Makes these weights the shipped ones."""
    monkeypatch.setattr("espcn_core.models.cards.SHIPPED", weights)


@pytest.fixture(scope="session")
def through_weights(tmp_path_factory) -> Path:
    """Untrained weights of scale 2, and of 1 x r for some r."""
    folder = tmp_path_factory.mktemp("through")
    arguments = {"width": 8, "depth": 1}
    for factor, name in [((2, 2), "espcn-r-x2"), *(((1, r), f"espcn-r-through-x{r}") for r in (2, 3, 5, 6))]:
        torch.manual_seed(factor[1])
        network = build("espcn-r", factor, **arguments)
        torch.nn.init.normal_(network.sub_pixels.weight, std=0.05)
        save_model(network, Card(name, "espcn-r", factor, "gaussian", arguments), folder)
    return folder


@pytest.fixture
def shipped_through(through_weights, monkeypatch):
    """Makes these weights the shipped ones."""
    monkeypatch.setattr("espcn_core.models.cards.SHIPPED", through_weights)


@pytest.fixture
def save():
    """Writes a NIfTI file of random values and returns its path."""

    def save(path: Path, shape=(12, 10, 4), dtype=np.int16, header=None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(5).uniform(0, 1000, shape).astype(dtype)
        nib.save(nib.Nifti1Image(values, AFFINE, header, dtype=values.dtype), path)
        return path

    return save


@pytest.fixture
def awkward(tmp_path, save) -> Path:
    """A folder of ten files: three that can be upscaled and seven that cannot."""
    folder = tmp_path / "awkward"
    save(folder / "int16.nii.gz")
    save(folder / "sub" / "float4d.nii", (8, 9, 3, 2), np.float32)
    save(folder / "sub" / "big_endian.nii", (14, 11), np.int16, nib.Nifti1Header(endianness=">"))
    whole = (folder / "int16.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "text.nii").write_text("not an image\n" * 100)
    (folder / "empty.nii").touch()
    colours = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, AFFINE), folder / "rgb.nii")
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.complex64), AFFINE), folder / "sub" / "complex.nii")
    (folder / "huge.nii").write_bytes(_raw((30000, 30000, 30000), AFFINE) + bytes(500))
    (folder / "singular.nii").write_bytes(_raw((4, 4, 4), np.diag([1.0, 1.0, 0.0, 1.0])) + bytes(128))
    return folder


def _raw(shape, affine) -> bytes:
    """The header of an int16 file, whatever it claims."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_sform(affine, code=1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    return header.binaryblock + bytes(4)

"""What the Sample Data module of Slicer is told."""

from __future__ import annotations

import hashlib
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest


@pytest.fixture
def registered(app):
    import SampleData

    SampleData.registered.clear()
    yield SampleData.registered
    SampleData.registered.clear()


def test_in_a_checkout_the_sample_is_the_file_that_is_there(registered):
    from ESPCNSlicerLib.samples import register_sample_data

    register_sample_data()
    (source,) = registered
    assert urlparse(source["uris"]).scheme == "file"
    with open(url2pathname(urlparse(source["uris"]).path), "rb") as file:
        assert f"SHA256:{hashlib.sha256(file.read()).hexdigest()}" == source["checksums"]
    assert source["fileNames"].endswith(".nii.gz")
    assert source["nodeNames"] == source["sampleName"] == "ESPCNHead"


def test_in_an_installed_extension_it_is_fetched_and_checked(registered, monkeypatch, tmp_path):
    from ESPCNSlicerLib import samples

    monkeypatch.setattr(samples, "_TOP", tmp_path)
    samples.register_sample_data()
    (source,) = registered
    assert source["uris"].startswith("https://")
    assert source["uris"].endswith(source["fileNames"])
    assert len(source["checksums"].removeprefix("SHA256:")) == 64


def test_its_picture_is_there(registered):
    from pathlib import Path

    from ESPCNSlicerLib.samples import register_sample_data

    register_sample_data()
    assert Path(registered[0]["thumbnailFileName"]).is_file()

"""The twelve slices in every form that the data set has on disk."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from espcn_core.figshare import open_source, pack

# The public record has four zip files of 766 slices each.
ZIPS = {f"brainTumorDataPublic_{a}-{a + 765}.zip": range(a, a + 766) for a in (1, 767, 1533, 2299)}


@pytest.fixture(scope="session")
def forms(figshare_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Path of each form, by its name."""
    root = tmp_path_factory.mktemp("forms")
    mats = {int(path.stem): path for path in figshare_dir.glob("[0-9]*.mat")}
    cvind = figshare_dir / "cvind.mat"

    zips = root / "zips"
    unpacked = root / "unpacked"
    zips.mkdir()
    for name, numbers in ZIPS.items():
        (unpacked / Path(name).stem).mkdir(parents=True)
        with zipfile.ZipFile(zips / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for index, path in mats.items():
                if index in numbers:
                    archive.write(path, path.name)
                    shutil.copy(path, unpacked / Path(name).stem)
    for folder in (zips, unpacked):
        shutil.copy(cvind, folder)

    outer = {}
    for form, method in (("outer zip", zipfile.ZIP_STORED), ("outer zip, compressed", zipfile.ZIP_DEFLATED)):
        outer[form] = root / f"{method}.zip"
        with zipfile.ZipFile(outer[form], "w", method) as archive:
            archive.writestr("README 2024.txt", "This brain tumor dataset ...")
            for path in sorted(zips.iterdir()):
                archive.write(path, path.name)

    single = root / "single.zip"
    with zipfile.ZipFile(single, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (*mats.values(), cvind):
            archive.write(path, f"1512427/{path.name}")
            archive.writestr(f"__MACOSX/1512427/._{path.name}", b"what macOS adds")

    packed = root / "packed.h5"
    with open_source(figshare_dir) as source:
        pack(source, packed)
    return {
        "folder": figshare_dir,
        "unpacked": unpacked,
        "zips": zips,
        **outer,
        "single zip": single,
        "packed": packed,
    }

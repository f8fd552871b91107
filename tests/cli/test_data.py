from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import espcn_core.figshare
from espcn_core.cli.data import app
from espcn_core.errors import DataError, RequestError

runner = CliRunner()


def test_check_shows_what_is_there(figshare_dir: Path) -> None:
    result = runner.invoke(app, ["check", str(figshare_dir)])
    assert result.exit_code == 0
    for text in ("meningioma", "256x256", "fold 5", "a subset: 3052 of the 3064", "All is well."):
        assert text in result.output


def test_check_fails_on_a_broken_file(figshare_dir: Path, tmp_path: Path) -> None:
    for name in ("57.mat", "58.mat"):
        shutil.copy(figshare_dir / name, tmp_path)
    (tmp_path / "58.mat").write_bytes(b"broken [red]")
    result = runner.invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 1
    assert f"Wrong: {tmp_path / '58.mat'} cannot be read" in result.output


def test_pack_then_check(figshare_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.h5"
    result = runner.invoke(app, ["pack", str(figshare_dir), str(path)])
    assert result.exit_code == 0
    assert "12 slices in" in result.output
    assert runner.invoke(app, ["check", str(path)]).exit_code == 0
    again = runner.invoke(app, ["pack", str(figshare_dir), str(path)])
    assert isinstance(again.exception, RequestError)


@pytest.mark.parametrize("command", [["check", "nowhere"], ["pack", "nowhere", "out.h5"]])
def test_what_is_not_there_is_an_error_of_ours(command: list[str]) -> None:
    assert isinstance(runner.invoke(app, command).exception, DataError)


def test_fetch_passes_the_folder_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(folder: Path, *, progress: espcn_core.figshare.fetch.Progress) -> None:
        progress("cvind.mat", 5_736, 5_736)
        (folder / "cvind.mat").write_bytes(b"")

    monkeypatch.setattr(espcn_core.figshare, "fetch", fetch)
    result = runner.invoke(app, ["fetch", str(tmp_path)])
    assert result.exit_code == 0
    assert str(tmp_path) in result.output.replace("\n", "")
    assert (tmp_path / "cvind.mat").exists()


def test_help_names_the_commands() -> None:
    result = runner.invoke(app, ["--help"])
    assert all(name in result.output for name in ("fetch", "check", "pack"))

"""``espcn-core models``."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("arguments", [["models"], ["models", "list"]])
@pytest.mark.usefixtures("shipped")
def test_the_list_has_what_one_chooses_by(cli, arguments, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    answer = cli(*arguments)
    assert answer.code == 0
    row = next(line for line in answer.out.splitlines() if "espcn-r-x4" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "espcn-r-x4",
        "4",
        "1,848",
        "8",
        "33.21",
        "+2.50",
        "noise",
    ]


@pytest.mark.usefixtures("shipped")
def test_a_card_is_shown_by_name_and_by_file(cli, weights):
    by_name = cli("models", "show", "espcn-r-x2")
    assert by_name.code == 0
    for text in ("espcn-r-x2", "2 x 2", "bicubic", "patients", "noise", "33.214", "Diagnosis"):
        assert text in by_name.out
    assert cli("models", "show", weights / "espcn-r-x2.safetensors").out == by_name.out


@pytest.mark.usefixtures("shipped")
def test_an_unknown_name_is_answered_by_the_nearest(cli):
    answer = cli("models", "show", "espcn-r-x3")
    assert answer.code == 2
    assert "no model is called 'espcn-r-x3'; did you mean" in answer.err


def test_damaged_weights_are_one_sentence(cli, tmp_path, weights):
    for ending in (".safetensors", ".json"):
        (tmp_path / f"m{ending}").write_bytes((weights / f"espcn-r-x2{ending}").read_bytes())
    with (tmp_path / "m.safetensors").open("ab") as file:
        file.write(b"!")
    answer = cli("models", "show", tmp_path / "m.safetensors")
    assert answer.code == 2
    assert answer.err.startswith("espcn-core: m.safetensors is not the file that its card describes")

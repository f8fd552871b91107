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
        "1,832",
        "33.21",
        "+2.50",
        "bicubic alone",
    ]


@pytest.mark.usefixtures("shipped")
def test_a_card_is_shown_by_name_and_by_file(cli, weights):
    by_name = cli("models", "show", "espcn-r-x2")
    assert by_name.code == 0
    for text in ("espcn-r-x2", "2 x 2", "bicubic", "patients", "noise", "33.214", "Diagnosis"):
        assert text in by_name.out
    assert cli("models", "show", weights / "espcn-r-x2.safetensors").out == by_name.out


def test_a_card_shows_what_was_measured_and_what_the_training_saw(cli, tmp_path, monkeypatch):
    from espcn_core.models.cards import Card
    from espcn_core.models.registry import build
    from espcn_core.models.trained import save_model

    monkeypatch.setenv("COLUMNS", "160")
    gain = {"mean": 2.987, "low": 2.86, "high": 3.141}
    alone = {"mean": -0.2, "low": None, "high": None}
    metrics = {
        "gain": 2.99,
        "regions": {"tumor": {"psnr": {"mean": 36.1, "low": 35.4, "high": 37}, "gain": gain}},
        "degradations": {"gain": {"kspace+rician2": alone}, "slices": 44, "patients": 40, "command": "again"},
        "volumes": {
            "macaque": {
                "gain": alone,
                "each": {"inia19": 1.75},
                "degradation": "bicubic / 2",
                "slices": 9,
                "patients": 1,
            }
        },
        "off_distribution": "Worse on kspace.",
    }
    training = {
        "trained_slices": "1-9",
        "spacing_range_mm": [0.98, 1.96],
        "contrast_range": {"noise": [0.0, 0.02]},
        "config": {"mixture": {"area": 0.5}, "shrinks": [1.0, 2.0]},
    }
    card = Card("m", "espcn-r", (1, 4), "bicubic", training=training, metrics=metrics)
    answer = cli("models", "show", save_model(build("espcn-r", (1, 4)), card, tmp_path))
    assert answer.code == 0
    lines = [" ".join(line.replace("│", " ").split()) for line in answer.out.splitlines()]
    for line in (
        "factor 1 x 4",
        "not for Diagnosis, or any decision about a patient.",
        "gain 2.99",
        "off distribution Worse on kspace.",
        "tumor 36.10 (35.40 to 37.00) +2.99 (+2.86 to +3.14)",
        "kspace+rician2 -0.20",
        "macaque bicubic / 2 -0.20 9 slices of 1 patients: -",
        "inia19 +1.75",
        "spacing range mm 0.98 to 1.96",
        "noise 0.0 to 0.02 (standard deviation of the noise as a share of the range)",
        "area 0.5",
        "shrinks 1.0, 2.0",
    ):
        assert line in lines
    assert any("44 slices of 40 patients: again" in line for line in lines)
    assert lines[-1] == "trained slices 1-9"


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

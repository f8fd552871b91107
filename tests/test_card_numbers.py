"""`benchmarks.cards` puts into the cards what the reports say, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from espcn_core.models import cards
from espcn_core.models.cards import Card, read_card, shipped_cards
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fill(monkeypatch):
    """`benchmarks.cards`."""
    monkeypatch.syspath_prepend(ROOT)
    import benchmarks.cards

    return benchmarks.cards


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Two models, of scale 4 and trained without fold 5, laid out as the shipped ones are."""
    folder = tmp_path / "weights"
    folder.mkdir()
    training = {"held_out_fold": 5, "folds_from": "cvind", "config": {"shrink": 1}}
    for name in ("espcn-r-x4", "other"):
        network = build("espcn-r", (4, 4), width=8, depth=1)
        save_model(
            network, Card(name, "espcn-r", (4, 4), "bicubic", {"width": 8, "depth": 1}, training), folder
        )
    monkeypatch.setattr(cards, "SHIPPED", folder)
    return folder


def value(mean, half=0.25):
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return {"patients": 9, "mean": mean, "sd": 1.0, "median": mean, "low": low, "high": high}


@pytest.fixture
def make_report(shipped, tmp_path):
    """Writes the part of a report that the cards need."""

    def make(gains, file="results.json", **about):
        card = dataclasses.asdict(shipped_cards()["espcn-r-x4"])
        defaults = {
            "kind": "figshare",
            "data": "figshare",
            "fold": 5,
            "shrink": 1,
            "scale": 4,
            "slices": 30,
            "patients": 9,
            "peak": "range",
            "degradations": list(gains),
            "cards": {"espcn-r-x4": card},
            "command": f"espcn-core evaluate {file}",
        }
        regions = {"image": 0.0, "head": -0.125, "tumor": -0.5}
        results = {
            how: {
                "bicubic": {"image": {"psnr": value(33.0), "ssim": value(0.9)}},
                "espcn-r-x4": {
                    region: {
                        "psnr": value(33 + gain + lower),
                        "ssim": value(0.95),
                        "psnr_gain": value(gain + lower, None if about.get("patients") == 1 else 0.25),
                    }
                    for region, lower in regions.items()
                },
            }
            for how, gain in gains.items()
        }
        summary = {"statistics": "mean; interval; tests", "results": results}
        if about.get("kind") == "volumes":
            summary["volumes"] = {"ch2": {"espcn-r-x4": {"image": {"psnr_gain": 3.4999}}}}
        path = tmp_path / file
        path.write_text(json.dumps({"about": defaults | about, "summary": summary}))
        return str(path)

    return make


def test_each_part_comes_from_the_report_that_says_most_of_it(fill, make_report, shipped, capsys):
    reports = [
        make_report({"bicubic": 2.5}, "large", slices=500),
        make_report({"bicubic": 2.75, "area": 1.0, "kspace+rician2": -1.5}, "wide"),
        make_report({"bicubic": 9.0}, "halved", slices=900, shrink=2),
        make_report({"gaussian": 3.5}, "heads", kind="volumes", data="heads", fold=None, patients=1),
    ]
    other = (shipped / "other.json").read_bytes()
    fill.main(reports)
    printed = capsys.readouterr().out
    card = read_card(shipped / "espcn-r-x4.json")
    metrics = card.metrics
    assert (metrics["psnr"], metrics["bicubic_psnr"], metrics["gain"]) == (35.5, 33.0, 2.5)
    assert (metrics["ssim"], metrics["bicubic_ssim"]) == (0.95, 0.9)
    assert (metrics["slices"], metrics["fold"], metrics["command"]) == (500, 5, "espcn-core evaluate large")
    assert (metrics["degradation"], metrics["statistics"]) == ("bicubic / 4", "mean; interval")
    assert list(metrics["regions"]) == ["image", "head", "tumor"]
    assert metrics["regions"]["tumor"]["gain"] == {"mean": 2.0, "low": 1.75, "high": 2.25}
    assert metrics["degradations"]["gain"]["kspace+rician2"] == {"mean": -1.5, "low": -1.75, "high": -1.25}
    assert metrics["degradations"]["command"] == "espcn-core evaluate wide"
    assert metrics["off_distribution"] == (
        "Trained on bicubic; no noise. On what it was not trained on: worse than bicubic interpolation "
        "on kspace+rician2 (-1.50 dB); still better on area (+1.00 dB)."
    )
    assert metrics["volumes"]["heads"]["gain"] == {"mean": 3.5, "low": None, "high": None}
    assert metrics["volumes"]["heads"]["each"] == {"ch2": 3.5}
    assert metrics["volumes"]["heads"]["degradation"] == "gaussian / 4"
    assert "regions.tumor.gain: none -> 2.0 (1.75 to 2.25)" in printed
    assert "other: in none of the reports" in printed
    assert (shipped / "other.json").read_bytes() == other

    before = (shipped / "espcn-r-x4.json").read_bytes()
    fill.main([*reports[::-1], "--check"])
    assert "espcn-r-x4: no changes" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ending:
        fill.main([make_report({"bicubic": 2.25}), "--check"])
    assert ending.value.code == 1
    assert "gain: 2.5 -> 2.25" in capsys.readouterr().out
    assert (shipped / "espcn-r-x4.json").read_bytes() == before


def test_a_mixture_is_no_stranger_to_what_it_holds(fill):
    training = {"config": {"mixture": {"area": 1, "kspace": 1}, "noise": 0.02}, "spacing_range_mm": [1, 2]}
    card = Card("m", "espcn-r", (2, 2), "area", training=training)
    gains = {how: {"mean": gain} for how, gain in (("area+rician2", -1), ("kspace", -1), ("point", -0.5))}
    assert fill.off_distribution(card, gains) == (
        "Trained on a mixture of area, kspace; noise up to 2 %. On what it was not trained on: worse than "
        "bicubic interpolation on point (-0.50 dB). A warning names the spacing or contrast of a volume that "
        "is unlike the training's."
    )
    little = dataclasses.replace(card, training={"config": {"mixture": {"area": 1}, "noise": 0.01}})
    assert "worse than bicubic interpolation on area+rician2" in fill.off_distribution(little, gains)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (
            {"cards": {"espcn-r-x4": {"sha256": "0"}}},
            "measured other weights called espcn-r-x4: run it again",
        ),
        ({"fold": 4}, "has seen all folds but 5: measure that one"),
        ({"shrink": 2}, "no report measures espcn-r-x4 on bicubic and slices shrunk by 1"),
        ({"kind": "volumes", "fold": None}, "no report measures espcn-r-x4"),
    ],
)
def test_a_report_of_something_else_is_refused(fill, make_report, about, message):
    with pytest.raises(SystemExit, match=message):
        fill.main([make_report({"bicubic": 2.5}, **about)])


def test_what_is_no_report_is_refused(fill, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"is not the results\.json of a report"):
        fill.main([str(tmp_path / "a.json")])
    with pytest.raises(SystemExit, match=r"is not a readable results\.json"):
        fill.main([str(tmp_path)])


def test_a_real_report_fills_a_card(fill, shipped, figshare_dir, tmp_path):
    """An untrained `espcn-r` is bicubic, so every gain is zero."""
    weights, report = shipped / "espcn-r-x4.safetensors", tmp_path / "report"
    call = ("--data", figshare_dir, "--models", weights, "--degradation", "bicubic,area+rician2")
    call += ("--limit", 2, "--jobs", 1, "--out", report)
    subprocess.run([sys.executable, "-m", "espcn_core", "evaluate", *map(str, call)], cwd=ROOT, check=True)
    fill.main([str(report)])
    metrics = read_card(shipped / "espcn-r-x4.json").metrics
    assert metrics["psnr"] == metrics["bicubic_psnr"] > 20
    assert metrics["gain"] == 0
    assert {"image", "head", "tumor"} <= set(metrics["regions"])
    assert {how: gain["mean"] for how, gain in metrics["degradations"]["gain"].items()} == {
        "bicubic": 0,
        "area+rician2": 0,
    }
    assert metrics["command"].endswith("--degradation bicubic,area+rician2 --limit 2 --out DIR")


def test_networks_for_thick_slices_have_what_reports_through_plane_say(fill, shipped, tmp_path):
    card = Card(
        "espcn-r-through-x3", "espcn-r", (1, 3), "gaussian", {"width": 8, "depth": 1}, metrics={"gain": 3.0}
    )
    save_model(build("espcn-r", (1, 3), width=8, depth=1), card, shipped)
    fields = dataclasses.asdict(shipped_cards()["espcn-r-through-x3"])
    cells = {
        "espcn-r-through": {"gain": 4.126, "least_gain": 3.0},
        "bspline": {"gain": 0.0, "least_gain": 0.0},
    }
    report = {
        "about": {
            "data": "heads",
            "factors": [2, 3],
            "profiles": ["gaussian:1", "box:1"],
            "cards": {"espcn-r-through-x3": fields},
            "command": "espcn-core evaluate --through-plane",
        },
        "summary": {"main": "espcn-r-through", "means": {"colin": {"2": {}, "3": cells}, "thin": {"2": {}}}},
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps(report))
    fill.main([str(path)])
    metrics = read_card(shipped / "espcn-r-through-x3.json").metrics
    assert metrics["gain"] == 3.0
    (found,) = metrics["through_plane"].values()
    assert (found["gain"], found["least"]) == ({"colin": 4.13}, {"colin": 3.0})
    assert (found["profile"], found["command"]) == ("gaussian:1", "espcn-core evaluate --through-plane")
    fields["sha256"] = "0"
    path.write_text(json.dumps(report))
    with pytest.raises(SystemExit, match="measured other weights called espcn-r-through-x3"):
        fill.main([str(path)])

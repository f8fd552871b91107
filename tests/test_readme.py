"""What the README says is what the cards say."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from espcn_core.models.cards import shipped_cards
from espcn_core.training.config import parse_config, read_config

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def readme(monkeypatch):
    """`benchmarks.readme`, which writes the README's numbers from the cards."""
    monkeypatch.syspath_prepend(ROOT)
    import benchmarks.readme

    return benchmarks.readme


def test_the_numbers_of_the_readme_are_those_of_the_cards(readme):
    assert readme.filled(README, shipped_cards()) == README
    rows = re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE)
    assert set(rows) == {name for name in shipped_cards() if "through" not in name}


def test_another_number_in_a_card_or_in_the_readme_would_be_seen(readme, monkeypatch, tmp_path, capsys):
    cards = shipped_cards()
    for change in ({"gain": 9.87}, {"degradations": None}):
        card = cards["espcn-x4"]
        other = cards | {"espcn-x4": dataclasses.replace(card, metrics=card.metrics | change)}
        assert readme.filled(README, other) != README
    thick = cards["espcn-r-through-x4"]
    found = json.loads(json.dumps(thick.metrics))
    for cell in found["through_plane"].values():
        cell["least"] = {name: least - 0.01 for name, least in cell["least"].items()}
    other = cards | {"espcn-r-through-x4": dataclasses.replace(thick, metrics=found)}
    assert readme.filled(README, other) != README

    copy = tmp_path / "README.md"
    copy.write_text(README.replace("**+", "**+1"), encoding="utf-8")
    monkeypatch.setattr(readme, "README", copy)
    with pytest.raises(SystemExit, match="does not say what the cards say"):
        readme.main(["--check"])
    readme.main([])
    assert copy.read_text(encoding="utf-8") == README
    readme.main(["--check"])
    assert capsys.readouterr().out.splitlines()[-1] == "the README says what the cards say"
    copy.write_text(README.replace("<!-- /quality -->", ""), encoding="utf-8")
    with pytest.raises(SystemExit, match="has no <!-- quality -->"):
        readme.main([])


def test_every_shipped_model_was_trained_by_its_recipe():
    for name, card in shipped_cards().items():
        recipe = read_config(ROOT / "recipes" / f"{name}.toml")
        assert parse_config(card.training["config"]) == recipe
        assert f"recipes/{name}.toml" in card.training["command"]


def test_every_file_that_the_documents_link_to_is_there():
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "resources" / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if not target.startswith("https://"):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"

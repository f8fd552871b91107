"""What the README says is what the cards say."""

from __future__ import annotations

import re
from pathlib import Path

from espcn_core.models.cards import shipped_cards

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_the_models_has_the_numbers_of_their_cards():
    rows = re.findall(
        r"^\| `([\w-]+)` \| (.+?) \| ([\d.]+) / ([\d.]+) \| ([\d.]+) / ([\d.]+) \| \*\*([+\d.]+)\*\* \|$",
        README,
        re.MULTILINE,
    )
    cards = shipped_cards()
    assert {row[0] for row in rows} == set(cards)
    names = ("bicubic_psnr", "bicubic_ssim", "psnr", "ssim", "gain")
    for name, how, *numbers in rows:
        metrics = cards[name].metrics
        assert how == metrics["degradation"]
        assert [float(n) for n in numbers] == [metrics[key] for key in names]


def test_every_shipped_model_has_its_recipe():
    for name, card in shipped_cards().items():
        assert (ROOT / "recipes" / f"{name}.toml").is_file()
        assert f"--config recipes/{name}.toml" in card.training["command"]


def test_every_file_that_the_documents_link_to_is_there():
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "resources" / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            if not target.startswith("https://"):
                assert (document.parent / target).exists(), f"{document.name} links to {target}"

"""What the panel and the names of results say."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def plan(shipped):
    """Makes the plan of a volume of some thick slices."""
    from ESPCNSlicerLib.plans import make_plan

    from espcn_core.grid import Grid

    def make(shape=(20, 16, 6), apart=4.5, **asked):
        return make_plan(Grid(shape, np.diag([0.9, 0.9, apart, 1.0])), **asked)

    return make


SUFFIXES = [
    ({"scale": 2}, "x2"),
    ({"scale": 3}, "x3"),
    ({"scale": 2, "plane": "sagittal"}, "x2"),
    ({"scale": (2, 2, 2)}, "x2"),
    ({"scale": (2, 2, 5)}, "0.45 x 0.9 mm"),
    ({"scale": (1, 1, 5)}, "0.9 mm"),
    ({"scale": (2, 1, 1)}, "0.45 x 0.9 x 4.5 mm"),
    ({"spacing": "isotropic"}, "0.9 mm"),
    ({"spacing": 0.9}, "0.9 mm"),
    ({"spacing": 0.45, "apart": 2.7}, "0.45 mm"),
    ({"spacing": 0.7}, "0.7 mm"),
    ({"spacing": (0.6, 0.6, 4.5)}, "0.6 x 4.5 mm"),
]


@pytest.mark.parametrize(("asked", "suffix"), SUFFIXES)
def test_the_end_of_a_name_tells_targets_apart(asked, suffix, plan):
    from ESPCNSlicerLib import words

    assert words.suffix(plan(**asked)) == suffix


def test_the_scale_counts_voxels_along_the_axes(plan):
    from ESPCNSlicerLib import words

    assert words.scale(plan(scale=(1, 2, 3))) == "1 x 2 x 3"
    assert words.scale(plan(spacing="isotropic")) == "1 x 1 x 5"
    assert words.scale(plan(spacing=0.6)) == "1.5 x 1.5 x 7.5"


def test_sizes_and_steps_share_the_line_of_the_plan(plan):
    from ESPCNSlicerLib import words

    made = plan(scale=2)
    assert words.sizes(made) == "20 x 16 x 6 at 0.9 x 0.9 x 4.5 mm → 40 x 32 x 6 at 0.45 x 0.45 x 4.5 mm"
    assert words.steps(made) == "axial slices x2 by espcn-r-x2"
    made = plan(spacing="isotropic")
    assert words.sizes(made).endswith("→ 20 x 16 x 30 at 0.9 mm isotropic")
    assert words.steps(made) == "slice axis x5 by espcn-r-through-x5 in sagittal and coronal"


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0.0 MB"), (300_000, "0.3 MB"), (2**20, "1 MB"), (48 * 2**20, "48 MB"), (2**40, "1,048,576 MB")],
)
def test_bytes_are_said_as_megabytes(count, said):
    from ESPCNSlicerLib import words

    assert words.megabytes(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0:00"), (4.4, "0:04"), (59.7, "1:00"), (65, "1:05"), (3725, "62:05")]
)
def test_seconds_are_said_as_a_clock_does(seconds, said):
    from ESPCNSlicerLib import words

    assert words.clock(seconds) == said


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("there is no cuda here (found: cpu): use --device auto", "there is no cuda here (found: cpu)"),
        ("a b: c d: leave out --scale or --spacing", "a b: c d"),
        ("head is empty: load voxels into it first", "head is empty: load voxels into it first"),
        ("use --device cpu", "use --device cpu"),
        ("stopped", "stopped"),
    ],
)
def test_options_of_the_command_line_are_left_out(sentence, said):
    from ESPCNSlicerLib import words

    assert words.for_panel(sentence) == said


def test_no_sentence_for_the_panel_names_an_option(plan):
    """Whatever is refused when a plan is made."""
    from ESPCNSlicerLib import words

    from espcn_core.errors import EspcnError

    flat = {"shape": (20, 16, 1)}
    asked = [
        {"scale": 7},
        {"scale": 2, "model": "espcn-r-x3"},
        {"scale": 2, "plane": "sagittal", **flat},
        {"scale": (1, 1, 2), **flat},
        {"spacing": 0.01},
        {"spacing": "isotropic", "model": "espcn-r-x3"},
    ]
    for each in asked:
        with pytest.raises(EspcnError) as refused:
            plan(**each)
        assert "--" not in words.for_panel(str(refused.value))


def test_a_card_says_what_it_knows():
    from ESPCNSlicerLib import words

    from espcn_core.models.cards import Card

    training = {
        "data": "heads",
        "patients": 12,
        "contrast": "T1",
        "licence": "CC BY 4.0",
        "spacing_range_mm": [0.98, 1.9612],
    }
    card = Card("m", "espcn-r", (1, 4), "area", {}, training, {"gain": 2.504, "slices": 99}, "Diagnosis.")
    assert words.card(card).splitlines() == [
        "m (espcn-r, x4)",
        "Trained on: heads, 12 patients, T1",
        "Licence of the data: CC BY 4.0",
        "Spacing of its coarse images: 0.98 to 1.96 mm",
        "Gain over bicubic interpolation: +2.50 dB on 99 held-out slices",
        "Not for: Diagnosis.",
    ]


def test_a_card_that_knows_little_says_what_it_must():
    from ESPCNSlicerLib import words

    from espcn_core.models.cards import Card

    text = words.card(Card("m", "espcn-r", (2, 2), "area"))
    assert "Not for: Diagnosis" in text
    assert "Gain" not in text
    assert "None" not in text


def test_all_shipped_cards_can_be_said():
    from ESPCNSlicerLib import words

    from espcn_core.models.cards import shipped_cards

    cards = shipped_cards()
    assert cards
    for name, card in cards.items():
        text = words.card(card)
        assert text.startswith(f"{name} (")
        assert "?" not in text

from __future__ import annotations

import pytest

from espcn_core.evaluation.report.markup import (
    Cell,
    measured,
    number,
    p_value,
    sentence,
    significant,
    table,
    text,
)

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "digits", "sign", "expected"),
    [
        (33.391, 2, False, "33.39"),
        (2.24, 2, True, "+2.24"),
        (-4.1, 2, True, f"{MINUS}4.10"),
        (-0.001, 2, True, "0.00"),
        (None, 2, True, "\N{EN DASH}"),
    ],
)
def test_number(value, digits, sign, expected):
    assert number(value, digits, sign=sign) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.1, "0.100"), (964.5, "964"), (-0.00123, f"{MINUS}0.00123"), (0.0, "0.00")]
)
def test_significant(value, expected):
    assert significant(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(1e-9, "< 0.001"), (0.0491, "0.049"), (1.0, "1.000"), (None, "\N{EN DASH}")]
)
def test_p_value(value, expected):
    assert p_value(value) == expected


def test_a_model_keeps_its_hyphens_in_a_sentence():
    assert sentence("espcn-r-x4 & -0.4 dB") == f"espcn-r-x4 &amp; {MINUS}0.4 dB"


def test_an_interval_stands_under_its_mean():
    assert measured({"mean": 1.0, "low": 0.5, "high": 1.5}, 1).html == "1.0<small>0.5 to 1.5</small>"
    assert measured({"mean": 1.0, "low": None, "high": None}, 1).html == "1.0<small></small>"
    assert measured({"mean": 1.0, "low": 0.5, "high": 1.5}, 2, ends=1).html == "1.00<small>0.5 to 1.5</small>"
    assert measured(None, 1).key is None


def test_names_are_escaped():
    html = table("<i>", ["a & b", "n"], [("<g>", [[text("<script>"), Cell("1", 1)]])])
    assert "<script>" not in html
    assert "<i>" not in html
    assert "<g>" not in html
    assert "a &amp; b" in html

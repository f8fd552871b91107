"""What the options ask for, and the sentences for those that ask for nothing that could be."""

from __future__ import annotations

import pytest

from espcn_core.cli.requests import check_request, check_slice_thickness, parse_request
from espcn_core.errors import RequestError
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request


@pytest.mark.parametrize(
    ("scale", "spacing", "isotropic", "expected"),
    [
        (None, None, False, Request(None, None)),
        ("2", None, False, Request(2, None)),
        ("1,1,5", None, False, Request((1, 1, 5), None)),
        (" 1, 2 ,3", None, False, Request((1, 2, 3), None)),
        (None, "1", False, Request(None, 1.0)),
        (None, "0.9,.9,1e0", False, Request(None, (0.9, 0.9, 1.0))),
        (None, None, True, Request(None, "isotropic")),
    ],
)
def test_texts_become_a_request(scale, spacing, isotropic, expected):
    assert parse_request(scale, spacing, isotropic, "auto", None) == expected


def test_plane_and_model_go_along():
    assert parse_request("2", None, False, "coronal", "m") == Request(2, None, "coronal", "m")


@pytest.mark.parametrize("text", ["", "abc", "1,2", "1,1,1,1", "1,,5", "2.5", "1,1,2.5", "nan", "1;1;5"])
def test_a_scale_that_cannot_be_read_is_refused(text):
    with pytest.raises(RequestError, match=r"^--scale .*: give --scale 2 .*, or --scale 1,1,5") as caught:
        parse_request(text, None, False, "auto", None)
    assert f"--scale {text} is neither" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "abc", "1,2", "1,1,1,1", "0", "-1", "nan", "inf", "1,nan,1", "1,1,0", "1,1,-2", "isotropic"]
)
def test_a_spacing_that_cannot_be_read_is_refused(text):
    with pytest.raises(RequestError, match=r"^--spacing .*: give --spacing 1 .*, or --spacing 0\.9,0\.9,1"):
        parse_request(None, text, False, "auto", None)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("2", "1", False), "--scale 2 and --spacing 1 ask for"),
        (("1,1,5", None, True), "--scale 1,1,5 and --isotropic ask for"),
        ((None, "1", True), "--spacing 1 and --isotropic ask for"),
        (("2", "1", True), "--scale 2 and --spacing 1 and --isotropic ask for"),
    ],
)
def test_two_that_contradict_are_refused(options, says):
    with pytest.raises(RequestError, match=f"^{says} different things: give one of them$"):
        parse_request(*options, "auto", None)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Request(0), "no model has scale 0"),
        (Request(17), "no model has scale 17"),
        (Request((1, 1, 0)), "a scale is one whole number, or three from 1 to 16, not 1,1,0"),
        (Request((1, 1, 17)), "a scale is one whole number, or three from 1 to 16, not 1,1,17"),
        (Request((1, 1, 7)), "no model has scale 1x7"),
        (Request((1, 1, 5), plane="axial"), "need no plane, and axial was given: leave out --plane"),
        (Request(None, 1.0, "coronal"), "need no plane, and coronal was given: leave out --plane"),
        (Request((1, 1, 5), model="espcn-r-through-x3"), "nothing that is asked for needs"),
        (Request(None, 1.0, model="espcn-r-through-x9"), "no model is called 'espcn-r-through-x9'"),
    ],
)
@pytest.mark.usefixtures("shipped_through")
def test_what_no_file_could_fulfil_is_refused_without_one(given, says):
    with pytest.raises(RequestError) as caught:
        check_request(given, Engines("cpu"))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("given", "models"),
    [
        (Request(2), ["espcn-r-x2"]),
        (Request((2, 2, 5)), ["espcn-r-through-x5", "espcn-r-x2"]),
        (Request((1, 1, 10)), ["espcn-r-through-x2", "espcn-r-through-x5"]),
        (Request(None, (1e-9, 1.0, 1e9)), []),
        (Request(None, "isotropic"), []),
        (Request(None, "isotropic", model="espcn-r-through-x3"), ["espcn-r-through-x3"]),
    ],
)
@pytest.mark.usefixtures("shipped_through")
def test_the_models_that_every_file_needs_are_loaded(given, models, monkeypatch):
    loaded = []
    monkeypatch.setattr(Engines, "load", lambda self, model: loaded.append(model))
    check_request(given, Engines("cpu"))
    assert loaded == models


@pytest.mark.parametrize("thickness", [0.0, -1.0, float("nan"), float("inf")])
def test_a_slice_thickness_is_a_length(thickness):
    check_slice_thickness(None)
    check_slice_thickness(4.0)
    with pytest.raises(RequestError, match=r"is no length: .* --slice-thickness 4$"):
        check_slice_thickness(thickness)

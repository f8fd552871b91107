from __future__ import annotations

from espcn_core.evaluation.trained import trained


def card(degradation="bicubic", **config):
    return {"degradation": degradation, "training": {"config": config}}


def test_a_specialist():
    found = trained(card("kspace", mixture={}, noise=0.0))
    assert found.is_specialist
    assert (found.on("kspace"), found.on("kspace+rician2"), found.on("bicubic")) == (True, False, False)
    assert (str(found), found.short) == ("kspace; no noise", "kspace alone")


def test_a_mixture_takes_the_place_of_the_degradation_of_the_validation():
    found = trained(card(mixture={"area": 2, "kspace": 1}, noise=0.02, contrast=0.5))
    assert not found.is_specialist
    assert [found.on(how) for how in ("area", "area+rician2", "bicubic", "point")] == [
        True,
        True,
        False,
        False,
    ]
    assert str(found) == "a mixture of area, kspace; noise up to 2 %; varied contrast"
    assert found.short == "mixture of 2 + noise"


def test_less_noise_than_is_tested_does_not_count():
    found = trained(card(noise=0.01))
    assert not found.is_specialist
    assert (found.on("bicubic"), found.on("bicubic+rician2")) == (True, False)


def test_a_card_that_says_little():
    assert trained({"degradation": "area"}).kinds == ("area",)

"""The fingerprint must tell degradations apart, and nothing that does not matter may change it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from espcn_core.degradation import KINDS, SliceProfile, degrade, rician, thicken
from espcn_core.figshare import open_source
from espcn_core.intensity import IntensityMap
from espcn_core.models.fingerprint import _layout, fingerprint, length

SLICES = (57, 143, 954, 2001, 2228)


@pytest.fixture(scope="module")
def fine(figshare_dir):
    with open_source(figshare_dir) as source:
        images = [source.read(index).image.astype(np.float32) for index in SLICES]
    return torch.from_numpy(np.stack(images))


def mapped(coarse):
    return torch.from_numpy(IntensityMap.fit(coarse.numpy()).forward(coarse.numpy()))


def coarse(fine, kind, sigma=0.0):
    image = mapped(degrade(fine, (4, 4), kind))
    return mapped(rician(image, sigma, 0.0, torch.Generator().manual_seed(0))) if sigma else image


def test_it_has_as_many_numbers_as_it_says(fine):
    traits = fingerprint(coarse(fine, "bicubic"))
    assert traits.shape == (length(False),)
    assert traits.dtype == torch.float32
    assert traits.isfinite().all()


def test_degradations_differ_more_than_patients(fine):
    """Of each slice alone, the nearest of all other patients' fingerprints is one of the same degradation."""
    traits = {
        (kind, n): fingerprint(coarse(fine, kind)[n : n + 1]) for kind in KINDS for n in range(len(fine))
    }
    spread = torch.stack(list(traits.values())).std(0)
    right = 0
    for (kind, n), own in traits.items():
        others = {key: float(((own - other) / spread).norm()) for key, other in traits.items() if key[1] != n}
        right += min(others, key=others.get)[0] == kind
    assert right / len(traits) > 0.5  # by chance one in five


@pytest.mark.parametrize("sigma", [0.01, 0.02, 0.03])
def test_the_power_in_the_corner_is_the_variance_of_noise(sigma):
    random = torch.Generator().manual_seed(1)
    noise = torch.randn(50, 96, 80, generator=random)
    image = torch.linspace(0, 1, 96)[:, None] + sigma * noise
    corner = fingerprint(image)[13]
    assert float(10**corner) == pytest.approx(sigma**2, rel=0.1)


def test_noise_shows(fine):
    levels = [float(fingerprint(coarse(fine, "bicubic", sigma))[13]) for sigma in (0.0, 0.01, 0.02, 0.03)]
    assert levels == sorted(levels)
    assert levels[-1] > levels[0] + 1


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.rot90(1, (-2, -1))])
def test_flips_and_turns_make_no_difference(fine, turn):
    image = coarse(fine, "kspace")
    torch.testing.assert_close(fingerprint(turn(image)), fingerprint(image), rtol=0, atol=1e-4)


def test_units_make_no_difference(fine):
    image = degrade(fine, (4, 4), "bicubic")
    torch.testing.assert_close(
        fingerprint(mapped(7 * image + 100)), fingerprint(mapped(image)), rtol=0, atol=1e-3
    )


def test_empty_slices_count_little(fine):
    image = coarse(fine, "bicubic")
    air = torch.zeros_like(image[:2])
    with_air = fingerprint(torch.cat([image, air]))
    torch.testing.assert_close(with_air[:13], fingerprint(image)[:13], rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 9), (3, 40)])
def test_tiny_slices_do_not_fail(size):
    assert fingerprint(torch.rand(2, *size)).shape == (length(False),)


def test_constant_slices_do_not_fail():
    assert fingerprint(torch.zeros(2, 16, 16)).isfinite().all()


def test_a_directed_fingerprint_tells_the_thick_axis_from_the_other(fine):
    found = []
    for thickness in (0.6, 1.0, 1.4):
        thick = mapped(thicken(degrade(fine, (2, 2), "area"), 2, 4, SliceProfile("gaussian", thickness)))
        traits = fingerprint(thick, 4)
        assert traits.shape == (length(True),)
        torch.testing.assert_close(traits[:1], fingerprint(thick)[13:14])  # the noise
        found.append(float(traits[1:5].mean()))
        torch.testing.assert_close(fingerprint(thick.flip(-1), 4), traits, rtol=0, atol=1e-4)
        torch.testing.assert_close(fingerprint(thick.flip(-2), 4), traits, rtol=0, atol=1e-4)
    assert found == sorted(found, reverse=True)
    assert found[0] - found[2] > 0.3


@pytest.mark.parametrize("thick", [1.0, 4.0])
def test_it_does_not_depend_on_how_many_threads_share_the_work(thick):
    slices = list(torch.rand(3, 256, 256 if thick == 1 else 64, generator=torch.Generator().manual_seed(0)))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            _layout.cache_clear()
            found.append(fingerprint(slices, thick))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(other, found[0]) for other in found[1:])

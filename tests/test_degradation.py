"""Every degradation is aligned at the edges of the image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.degradation import FWHM_TO_SIGMA, KINDS, SliceProfile, degrade, rician, thicken
from espcn_core.errors import RequestError
from espcn_core.grid import Grid

factors = st.tuples(st.integers(1, 6), st.integers(1, 6))
kinds = st.sampled_from(sorted(KINDS))


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@given(kinds, factors, st.integers(2, 6), st.integers(2, 6))
def test_flips_commute(kind, factor, rows, columns):
    image = noise(2, rows * factor[0], columns * factor[1])
    for axes in [(-1,), (-2,), (-1, -2)]:
        torch.testing.assert_close(
            degrade(image.flip(axes), factor, kind),
            degrade(image, factor, kind).flip(axes),
            rtol=0,
            atol=1e-12,
        )


@given(kinds, factors)
def test_quarter_turns_commute(kind, factor):
    image = noise(6 * factor[0], 4 * factor[1])
    turned = degrade(image.rot90(), (factor[1], factor[0]), kind)
    torch.testing.assert_close(turned, degrade(image, factor, kind).rot90(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["area", "bicubic", "gaussian", "point"])
@pytest.mark.parametrize("factor", [(2, 2), (4, 4), (3, 1), (1, 5)])
def test_a_ramp_stays_the_same_ramp_in_the_world(kind, factor):
    coarse_shape = (24, 20)
    fine = Grid((24 * factor[0], 20 * factor[1], 1), np.diag([0.5, 0.7, 6.0, 1.0]))
    coarse = fine.coarser((*factor, 1))

    def ramp(grid: Grid) -> torch.Tensor:
        world = grid.world(np.moveaxis(np.indices(grid.shape), 0, -1))
        return torch.from_numpy(world @ [2.0, -3.0, 0.0] + 5)[:, :, 0]

    inner = (slice(4, -4), slice(4, -4))  # at the edges there is nothing beyond to average with
    result = degrade(ramp(fine), factor, kind)
    assert result.shape == coarse_shape
    torch.testing.assert_close(result[inner], ramp(coarse)[inner], rtol=0, atol=1e-10)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("n", [48, 60])
def test_kspace_keeps_a_wave_of_the_band_where_it_is(factor, n):
    coarse = n // factor
    for k in range(1, (coarse - 1) // 2 + 1):

        def wave(count: int, step: int, k: int = k) -> torch.Tensor:
            position = (torch.arange(count, dtype=torch.float64) + 0.5) * step
            return torch.cos(2 * torch.pi * k * position / n + 0.7)

        torch.testing.assert_close(
            degrade(wave(n, 1), (factor,), "kspace"), wave(coarse, factor), rtol=0, atol=1e-12
        )


@given(kinds, factors)
def test_constant_images_stay(kind, factor):
    image = torch.full((4 * factor[0], 4 * factor[1]), 3.25, dtype=torch.float64)
    torch.testing.assert_close(degrade(image, factor, kind), torch.full((4, 4), 3.25, dtype=torch.float64))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"point"}))  # which leaves out most fine voxels
@pytest.mark.parametrize("factor", [(2, 2), (4, 4), (1, 3)])
def test_the_mean_stays(kind, factor):
    image = torch.zeros(24 * factor[0], 24 * factor[1], dtype=torch.float64)
    inner = (slice(6 * factor[0], -6 * factor[0]), slice(6 * factor[1], -6 * factor[1]))
    image[inner] = noise(12 * factor[0], 12 * factor[1])
    smooth = degrade(image, factor, kind)
    # A Gaussian of one voxel's width, sampled once a voxel, does not count every fine voxel quite alike.
    tolerance = 2e-3 if kind == "gaussian" else 1e-12
    assert float(smooth.mean() - image.mean()) == pytest.approx(0, abs=tolerance)


def test_area_and_bicubic_are_the_usual_ones():
    image = noise(1, 1, 48, 40)
    torch.testing.assert_close(degrade(image, (4, 2), "area"), torch.nn.functional.avg_pool2d(image, (4, 2)))
    usual = torch.nn.functional.interpolate(image, (12, 20), mode="bicubic", antialias=True)
    torch.testing.assert_close(degrade(image, (4, 2), "bicubic"), usual, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [(2, 2), (3, 3), (4, 4), (5, 2)])
def test_point_is_linear_interpolation_without_antialiasing(factor):
    image = noise(1, 1, 12 * factor[0], 10 * factor[1])
    usual = torch.nn.functional.interpolate(image, (12, 10), mode="bilinear", align_corners=False)
    torch.testing.assert_close(degrade(image, factor, "point"), usual, rtol=0, atol=1e-12)


@pytest.mark.parametrize("signal", [0.0, 2.0, 50.0])
def test_rician_noise_has_the_moments_of_the_rice_distribution(signal):
    image = torch.full((400, 400), 10 + signal, dtype=torch.float64)
    noisy = rician(image, 2.0, 10.0, torch.Generator().manual_seed(1))
    again = rician(image, 2.0, 10.0, torch.Generator().manual_seed(1))
    torch.testing.assert_close(noisy, again, rtol=0, atol=0)
    above = noisy - 10
    assert float(above.min()) >= 0
    assert float((above**2).mean()) == pytest.approx(signal**2 + 2 * 2.0**2, rel=0.01)
    if signal == 0:
        assert float(above.mean()) == pytest.approx(2.0 * math.sqrt(math.pi / 2), rel=0.01)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("thickness", [0.7, 1.0, 1.4])
@pytest.mark.parametrize("shape", ["gaussian", "box"])
def test_a_slice_profile_has_the_width_that_it_says(shape, thickness, factor):
    weights = SliceProfile(shape, thickness).weights(factor)
    position = torch.arange(len(weights), dtype=torch.float64) - (len(weights) - 1) / 2
    width = thickness * factor
    assert float(weights.sum()) == pytest.approx(1)
    if shape == "gaussian" and width > 2:
        deviation = float((weights * position**2).sum()) ** 0.5
        assert deviation / FWHM_TO_SIGMA == pytest.approx(width, rel=2e-3)
    if (
        shape == "box" and width >= 2
    ):  # inside all count the same; with the parts at the ends they are the width
        assert float(weights.sum() / weights.max()) == pytest.approx(width)


@pytest.mark.parametrize("shape", ["gaussian", "box"])
def test_thick_slices_are_edge_aligned_and_keep_what_is_constant(shape):
    ramp = torch.arange(60, dtype=torch.float64)[:, None].expand(-1, 3)
    thick = thicken(ramp, 0, 4, SliceProfile(shape, 1.2))
    assert thick.shape == (15, 3)
    assert torch.allclose(thick[3:-3, 0], 4 * torch.arange(3, 12, dtype=torch.float64) + 1.5)
    assert torch.allclose(thicken(torch.ones(12, 5), 1, 5, SliceProfile(shape)), torch.ones(12, 1))


def test_boxes_that_touch_are_means_and_the_gaussian_is_the_one_of_the_kinds():
    image = noise(4, 12, 8)
    assert torch.allclose(thicken(image, 1, 4, SliceProfile("box")), degrade(image, (1, 4, 1), "area"))
    assert torch.allclose(thicken(image, 1, 4, SliceProfile()), degrade(image, (1, 4, 1), "gaussian"))


def test_wrong_slice_profiles_are_refused():
    with pytest.raises(RequestError, match=r"'sinc'.*gaussian and box"):
        SliceProfile("sinc")
    with pytest.raises(RequestError, match=r"0 times the spacing thick: it must be more than 0"):
        SliceProfile(thickness=0)
    with pytest.raises(RequestError, match="9 voxels are not a whole multiple of 2"):
        thicken(noise(8, 9), 1, 2, SliceProfile())


def test_three_axes_at_once():
    assert degrade(noise(2, 8, 9, 10), (4, 3, 1), "area").shape == (2, 2, 3, 10)


def test_wrong_requests_are_refused():
    with pytest.raises(RequestError, match=r"'bicubc'.*bicubic"):
        degrade(noise(8, 8), (2, 2), "bicubc")
    with pytest.raises(RequestError, match="9 voxels are not a whole multiple of 2"):
        degrade(noise(8, 9), (2, 2), "area")

from __future__ import annotations

import pytest
import torch

from espcn_core.evaluation.metrics import psnr, ssim
from espcn_core.models.registry import build
from espcn_core.training.ranks import Ranks
from espcn_core.training.validation import Score, bicubic, combined, measure, padded

CPU = torch.device("cpu")


@pytest.fixture
def pairs():
    random = torch.Generator().manual_seed(2)
    return [
        (torch.rand(1, 1, 8, side, generator=random), torch.rand(1, 1, 16, 2 * side, generator=random) * side)
        for side in (8, 9, 12)
    ]


def nearest(coarse):
    return coarse.repeat_interleave(2, -2).repeat_interleave(2, -1)


def test_the_score_is_the_mean_over_slices_with_the_range_of_each(pairs):
    score = measure(nearest, pairs, CPU)
    peaks = [float(fine.max() - fine.min()) for _, fine in pairs]
    each = [(nearest(coarse), fine, peak) for (coarse, fine), peak in zip(pairs, peaks, strict=True)]
    assert score.psnr == pytest.approx(sum(psnr(*one) for one in each) / 3)
    assert score.ssim == pytest.approx(sum(ssim(*one) for one in each) / 3)
    assert score.slices == 3


def test_the_score_of_two_processes_is_that_of_all_their_slices(pairs):
    whole, first, second = (measure(nearest, some, CPU) for some in (pairs, pairs[::2], pairs[1::2]))

    class First(Ranks):
        def sums(self, *values):
            n = second.slices
            return [a + b for a, b in zip(values, (second.psnr * n, second.ssim * n, n), strict=True)]

    both = combined(first, First(0, 2))
    assert (both.psnr, both.ssim, both.slices) == pytest.approx((whole.psnr, whole.ssim, 3))
    assert first.psnr != pytest.approx(whole.psnr)


def test_the_score_of_a_process_without_slices_counts_for_nothing():
    class Alike(Ranks):
        def sums(self, *values):
            return [2 * value for value in values]

    assert combined(Score(0, 0, 0), Alike(0, 2)) == Score(0, 0, 0)
    assert combined(Score(31.0, 0.5, 3), Ranks()) == Score(31.0, 0.5, 3)


def test_an_empty_slice_counts_for_nothing(pairs):
    empty = (torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 16, 16))
    assert measure(nearest, [empty, *pairs], CPU) == measure(nearest, pairs, CPU)
    assert measure(nearest, [empty], CPU) == Score(0, 0, 0)


def test_the_truth_is_perfect():
    fine = torch.rand(1, 1, 16, 16)
    score = measure(lambda coarse: coarse, [(fine, fine)], CPU)
    assert score.psnr == float("inf")
    assert score.ssim == pytest.approx(1)


@pytest.mark.parametrize("factor", [(2, 2), (4, 4), (2, 3)])
def test_a_fresh_espcn_r_is_bicubic_to_the_edges(factor):
    coarse = torch.rand(1, 1, 9, 12)
    network = build("espcn-r", factor, width=8, depth=2)
    torch.testing.assert_close(padded(network, factor)(coarse), bicubic(factor)(coarse))


def test_padding_takes_away_the_edge_of_zeros():
    network = build("espcn", (2, 2))
    flat = torch.full((1, 1, 9, 9), 0.5)
    with torch.inference_mode():
        assert float(padded(network, (2, 2))(flat).std()) < 1e-6 < float(network(flat).std())


def test_no_gradient_is_kept(pairs):
    network = build("espcn-2016", (2, 2))
    measure(padded(network, (2, 2)), pairs, CPU)
    assert all(parameter.grad is None for parameter in network.parameters())

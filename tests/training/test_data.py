from __future__ import annotations

import itertools
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data.meta_obj import get_track_meta

from espcn_core.degradation import degrade
from espcn_core.errors import DataError
from espcn_core.intensity import IntensityMap
from espcn_core.training.data import (
    PatchDataset,
    batches,
    cached_slices,
    evenly,
    pair_of_slice,
    validation_pairs,
    without_metadata,
)


@pytest.fixture(autouse=True)
def plain():
    """As in a run."""
    with without_metadata():
        yield


def flat_slices(count, side=24):
    """Slices that are known by their value."""
    return [
        {"coarse": torch.full((1, side, side), i), "fine": torch.full((1, 4 * side, 4 * side), i).half()}
        for i in map(float, range(count))
    ]


def noise_slices(count):
    random = torch.Generator().manual_seed(0)
    return [
        {"coarse": torch.rand(1, 20, 30, generator=random), "fine": torch.rand(1, 80, 120, generator=random)}
        for _ in range(count)
    ]


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# Slices


def test_a_pair_is_what_upscaling_would_see(source, make_config):
    config = make_config(shrink=2, scale=4, degradation="kspace")
    item = pair_of_slice(source, config)({"fine": 2001})
    image = torch.from_numpy(source.read(2001).image.astype(np.float32))
    fine = degrade(image, (2, 2), "bicubic")
    coarse = degrade(fine, (4, 4), "kspace")
    intensity = IntensityMap.fit(coarse.numpy())
    np.testing.assert_array_equal(item["coarse"][0], intensity.forward(coarse.numpy()))
    np.testing.assert_array_equal(item["fine"][0], intensity.forward(fine.numpy()))


def test_whole_slices_are_validated(source, make_config):
    pairs = list(validation_pairs(source, (955, 2001), make_config(shrink=1)))
    assert [coarse.shape for coarse, _ in pairs] == [(1, 1, 64, 64), (1, 1, 128, 128)]
    assert [fine.shape for _, fine in pairs] == [(1, 1, 256, 256), (1, 1, 512, 512)]


def test_slices_smaller_than_a_patch_are_left_out(source, make_config):
    indices = (954, 955, 956, 2001)  # the two in the middle are 256 x 256: 32 coarse pixels
    assert len(cached_slices(source, indices, make_config(patch=32))) == 4
    large = cached_slices(source, indices, make_config(patch=33))
    assert [item["coarse"].shape for item in large] == [(1, 64, 64)] * 2
    with pytest.raises(DataError, match="no slice has 65 coarse pixels along both sides at scale 4"):
        cached_slices(source, indices, make_config(patch=65))


def test_kept_slices_are_rounded_by_at_most_what_is_said(source, make_config):
    config = make_config()
    (kept,) = cached_slices(source, [2002], config)
    exact = pair_of_slice(source, config)({"fine": 2002})
    assert torch.equal(kept["coarse"], exact["coarse"])
    assert kept["fine"].dtype == torch.float16
    within = exact["fine"].abs() <= 1
    assert float((kept["fine"].float() - exact["fine"]).abs()[within].max()) <= 1 / 4096


# Samples


def test_a_sample_depends_on_the_seed_and_its_number_alone(make_config):
    slices = noise_slices(3)
    config = make_config()
    straight = PatchDataset(slices, config)
    wanted = [straight[n] for n in range(9)]
    other = PatchDataset(slices, config)
    np.random.seed(5)
    torch.manual_seed(5)
    assert all(equal(other[n], wanted[n]) for n in (8, 0, 4, 4, 7, 1))
    changed = PatchDataset(slices, make_config(seed=1))
    assert not any(equal(changed[n], wanted[n]) for n in range(9))
    assert not any(equal(a, b) for a, b in itertools.combinations(wanted, 2))


def test_a_sample_has_pairs_of_the_configured_size_in_single_precision(make_config):
    config = make_config(patch=10, patches_per_slice=2, scale=4)
    coarse, fine = PatchDataset(noise_slices(1), config)[0]
    assert coarse.shape == (2, 1, 10, 10)
    assert fine.shape == (2, 1, 40, 40)
    assert coarse.dtype == fine.dtype == torch.float32


@given(st.integers(1, 7), st.integers(0, 3))
def test_every_slice_comes_once_in_each_turn(make_config_once, count, turn):
    with without_metadata():
        dataset = PatchDataset(flat_slices(count, side=4), make_config_once)
        seen = [int(dataset[turn * count + place][0][0, 0, 0, 0]) for place in range(count)]
    assert sorted(seen) == list(range(count))


@pytest.fixture(scope="module")
def make_config_once(make_config):
    return make_config(patch=2)


def test_turns_have_different_orders(make_config):
    dataset = PatchDataset(flat_slices(10), make_config())
    orders = {tuple(int(dataset[10 * turn + i][1].max()) for i in range(10)) for turn in range(4)}
    assert len(orders) == 4


def test_coarse_and_fine_belong_together_in_each_of_the_eight_orientations(make_config):
    coarse = torch.arange(64.0).reshape(1, 8, 8)
    fine = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)
    dataset = PatchDataset([{"coarse": coarse, "fine": fine}], make_config(patch=8, patches_per_slice=1))
    counts: dict[tuple[int, ...], int] = {}
    for n in range(400):
        turned, finer = dataset[n]
        assert torch.equal(degrade(finer, (4, 4), "area"), turned)
        key = tuple(int(v) for v in turned[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]])
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 8
    assert min(counts.values()) > 25


# Batches


@pytest.mark.parametrize("first_step", [0, 1, 5, 11])
def test_batches_from_a_step_on_are_the_tail_of_all(make_config, first_step):
    config = make_config(batch=8, patches_per_slice=2)
    dataset = PatchDataset(noise_slices(5), config)
    wanted = [
        tuple(map(torch.cat, zip(*(dataset[n] for n in range(4 * step, 4 * step + 4)), strict=True)))
        for step in range(first_step, first_step + 3)
    ]
    loader = batches(PatchDataset(noise_slices(5), config), config, first_step)
    for batch, want in zip(itertools.islice(loader, 3), wanted, strict=True):
        assert batch[0].shape == (8, 1, 16, 16)
        assert equal(batch, want)


def test_batches_leave_the_random_state_of_the_run_alone(make_config):
    config = make_config()
    torch.rand(3)
    before = torch.get_rng_state()
    loader = iter(batches(PatchDataset(noise_slices(2), config), config, 0))
    next(loader)
    loader.close()
    assert torch.equal(torch.get_rng_state(), before)


# Small parts


@given(st.lists(st.integers(), unique=True, max_size=200), st.integers(0, 250))
def test_evenly_spread(indices, count):
    chosen = evenly(indices, count)
    assert len(chosen) == (min(count, len(indices)) or len(indices))
    places = [indices.index(i) for i in chosen]
    assert places == sorted(set(places))
    if 1 < len(places) < len(indices):
        steps = np.diff(places)
        assert steps.max() - steps.min() <= 1
        assert abs(places[0] - (len(indices) - 1 - places[-1])) <= 1


def test_evenly_takes_the_middle_of_each_part():
    assert evenly(range(10), 1) == [5]
    assert evenly(range(12), 3) == [2, 6, 10]


def test_metadata_is_followed_again_after_an_error():
    before = get_track_meta()
    with suppress(KeyError), without_metadata():
        assert not get_track_meta()
        raise KeyError
    assert get_track_meta() == before

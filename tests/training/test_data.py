from __future__ import annotations

import itertools
import os
import sys
import threading
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data.meta_obj import get_track_meta

from espcn_core.degradation import degrade
from espcn_core.errors import DataError, RequestError
from espcn_core.intensity import IntensityMap
from espcn_core.models.fingerprint import fingerprint, length
from espcn_core.models.ranges import STATISTICS
from espcn_core.training import data as data_module
from espcn_core.training.data import (
    PatchDataset,
    batches,
    cached_slices,
    pair_of_slice,
    validation_pairs,
    without_metadata,
)
from espcn_core.training.ranks import Ranks
from espcn_core.transforms import FitIntensityd, LoadSliced, Shrunk

VARIED = {
    "mixture": {"bicubic": 2, "kspace": 1, "point": 1},
    "noise": 0.1,
    "contrast": 0.7,
    "blur": 1.5,
    "air": 0.3,
}


@pytest.fixture(autouse=True)
def plain():
    """As in a run."""
    with without_metadata():
        yield


class Watched(list):
    """Slices that are the same; which of them are asked for is in ``seen``."""

    def __init__(self, count, side=8):
        super().__init__({"fine": torch.zeros(1, side, side).half()} for _ in range(count))
        self.seen = []

    def __getitem__(self, place):
        self.seen.append(place)
        return super().__getitem__(place)


def noise_slices(count):
    random = torch.Generator().manual_seed(0)
    return [{"fine": torch.rand(1, 80, 120, generator=random).half()} for _ in range(count)]


def smooth_slices(count):
    """Waves of a few lengths, of which there is something left in coarse slices."""
    places = torch.linspace(0, 1, 96)
    waves = [torch.sin((7 + i) * places)[:, None] * torch.cos((5 + 2 * i) * places) for i in range(count)]
    return [{"fine": ((1 + wave[None]) / 2).half()} for wave in waves]


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# Slices


def test_a_pair_is_what_upscaling_would_see(source, make_config):
    config = make_config(shrink=2, scale=4, degradation="kspace")
    item = pair_of_slice(source, config)({"fine": 2001})
    image = torch.from_numpy(source.read(2001).image.astype(np.float32))
    (fine,) = Shrunk("fine", 2)({"fine": image[None]})["fine"]
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
    assert [item["fine"].shape for item in large] == [(1, 256, 256)] * 2
    with pytest.raises(DataError, match="no slice has 65 x 65 coarse pixels at scale 4"):
        cached_slices(source, indices, make_config(patch=65))


def test_kept_slices_are_rounded_by_at_most_what_is_said(source, make_config):
    (kept,) = cached_slices(source, [2002], make_config(shrink=2))
    exact = Shrunk("fine", 2)(LoadSliced("fine", source)({"fine": 2002}))
    fine = FitIntensityd("fine", fit_to="fine")(exact)["fine"]
    assert set(kept) == {"fine"}
    assert kept["fine"].dtype == torch.float16
    within = fine.abs() <= 1
    assert within.float().mean() > 0.95
    assert float((kept["fine"].float() - fine).abs()[within].max()) <= 1 / 4096


def test_slices_are_kept_in_each_size_that_is_asked_for(source, make_config):
    indices = (954, 955)  # 512 x 512 and 256 x 256
    for patch, sizes in ((32, [512, 256, 341, 170, 256, 128]), (33, [512, 256, 341, 170, 256])):
        kept = cached_slices(source, indices, make_config(shrink=3, shrinks=[1, 1.5, 2], patch=patch))
        assert [item["fine"].shape for item in kept] == [(1, size, size) for size in sizes]
    assert len(cached_slices(source, indices, make_config(shrink=3, patch=16))) == 2
    single = cached_slices(source, indices, make_config(shrink=2, patch=16))
    same = cached_slices(source, indices, make_config(shrink=4, shrinks=[2], patch=16))
    assert all(torch.equal(a["fine"], b["fine"]) for a, b in zip(single, same, strict=True))


def test_the_validation_keeps_to_one_size_and_kind(source, make_config):
    plain = make_config(shrink=2, degradation="area")
    mixed = make_config(shrink=2, degradation="area", shrinks=[1, 3], **VARIED)
    for a, b in zip(*(validation_pairs(source, (955, 2001), c) for c in (plain, mixed)), strict=True):
        assert equal(a, b)


# Samples


@pytest.mark.parametrize("changes", [{}, VARIED], ids=["one degradation", "all that varies"])
def test_a_sample_depends_on_the_seed_and_its_number_alone(make_config, changes):
    slices = noise_slices(3)
    config = make_config(**changes)
    straight = PatchDataset(slices, config)
    wanted = [straight[n] for n in range(9)]
    other = PatchDataset(slices, config)
    np.random.seed(5)
    torch.manual_seed(5)
    assert other.contrast() == straight.contrast()
    assert all(equal(other[n], wanted[n]) for n in (8, 0, 4, 4, 7, 1))
    changed = PatchDataset(slices, make_config(seed=1, **changes))
    assert not any(equal(changed[n], wanted[n]) for n in range(9))
    assert not any(equal(a, b) for a, b in itertools.combinations(wanted, 2))


@pytest.mark.parametrize("through_plane", [False, True])
def test_samples_are_those_of_new_generators(make_config, monkeypatch, through_plane):
    changes = VARIED if not through_plane else {"noise": 0.1, "contrast": 0.7, "degradation": "gaussian"}
    config = make_config(through_plane=through_plane, **changes)
    mine = [PatchDataset(noise_slices(3), config)[n] for n in range(12)]
    monkeypatch.setattr(data_module, "_set_seed", lambda transform, seed: transform.set_random_state(seed))
    slow = PatchDataset(noise_slices(3), config)
    assert all(equal(slow[n], mine[n]) for n in range(12))


@pytest.mark.parametrize(("adaptive", "length"), [(True, length(False)), (False, 0)])
def test_a_sample_has_pairs_of_the_configured_size_in_single_precision(make_config, adaptive, length):
    config = make_config(patch=10, patches_per_slice=2, scale=4, arguments={"adaptive": adaptive})
    coarse, fine, fingerprints = PatchDataset(noise_slices(1), config)[0]
    assert coarse.shape == (2, 1, 10, 10)
    assert fine.shape == (2, 1, 40, 40)
    assert fingerprints.shape == (2, length)
    assert coarse.dtype == fine.dtype == fingerprints.dtype == torch.float32


@given(st.integers(1, 7), st.integers(0, 3))
def test_every_slice_comes_once_in_each_turn(make_config_once, count, turn):
    slices = Watched(count)
    with without_metadata():
        dataset = PatchDataset(slices, make_config_once)
        for place in range(count):
            dataset[turn * count + place]
    assert sorted(slices.seen) == list(range(count))


@pytest.fixture(scope="module")
def make_config_once(make_config):
    return make_config(patch=2)


def test_turns_have_different_orders(make_config):
    slices = Watched(10)
    dataset = PatchDataset(slices, make_config(patch=2))
    for sample in range(40):
        dataset[sample]
    assert len({tuple(slices.seen[i : i + 10]) for i in range(0, 40, 10)}) == 4


def test_coarse_and_fine_belong_together_in_each_of_the_eight_orientations(make_config):
    pixels = torch.arange(64.0).reshape(1, 8, 8) / 64
    fine = pixels.repeat_interleave(4, 1).repeat_interleave(4, 2).half()
    config = make_config(patch=8, patches_per_slice=1, degradation="area")
    dataset = PatchDataset([{"fine": fine}], config)
    counts: dict[tuple[int, ...], int] = {}
    for n in range(400):
        turned, finer, _ = dataset[n]
        torch.testing.assert_close(degrade(finer, (4, 4), "area"), turned, atol=1e-5, rtol=0)
        key = tuple(turned[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]].argsort().tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 8
    assert min(counts.values()) > 25


@pytest.mark.parametrize("contrast", [0.0, 0.7])
def test_the_coarse_slice_of_a_sample_is_made_of_its_fine_one(make_config, contrast):
    """By one kind of the mixture, the one or the other, with noise in half of the samples."""
    kinds = ("area", "kspace", "point")
    config = make_config(mixture=dict.fromkeys(kinds, 1), noise=0.1, contrast=contrast, patch=8)
    dataset = PatchDataset(smooth_slices(3), config)
    found = []
    for n in range(60):
        pair = dataset.whole(n)
        coarse, fine = pair["coarse"], pair["fine"]
        intensity = IntensityMap.fit(coarse.numpy())
        assert (intensity.low, intensity.high) == pytest.approx((0, 1), abs=1e-5)
        off = {kind: float((degrade(fine, (4, 4), kind) - coarse).abs().max()) for kind in kinds}
        found.append(min(off, key=off.get) if min(off.values()) < 1e-5 else "noisy")
    assert {*found} == {*kinds, "noisy"}
    assert 20 <= found.count("noisy") <= 40


def test_patches_are_cut_from_the_whole_slice_of_their_sample(make_config):
    config = make_config(patch=6, arguments={"adaptive": True}, **VARIED)
    dataset = PatchDataset(smooth_slices(3), config)
    for n in range(12):
        coarse, fine, fingerprints = dataset[n]
        whole = dataset.whole(n)
        for patch, key in ((coarse, "coarse"), (fine, "fine")):
            assert set(patch.flatten().tolist()) <= set(whole[key].flatten().tolist())
        assert torch.equal(fingerprints, fingerprint(whole["coarse"]).expand(4, -1))


def test_the_fingerprints_of_a_run_are_those_of_its_samples(make_config, monkeypatch):
    monkeypatch.setattr(data_module, "_SEEN", 5)
    dataset = PatchDataset(smooth_slices(3) * 3, make_config(patch=6, arguments={"adaptive": True}, **VARIED))
    wanted = torch.stack([dataset[n][2][0] for n in range(5)])
    assert torch.equal(dataset.fingerprints(), wanted)


def test_contrast_varies_by_its_share(make_config):
    slices = smooth_slices(1)
    plain = PatchDataset(slices, make_config(patch=4)).whole(0)["fine"]
    dataset = PatchDataset(slices, make_config(patch=4, contrast=0.3))
    changed = sum(not torch.equal(dataset.whole(n)["fine"], plain) for n in range(300))
    assert changed / 300 == pytest.approx(0.3, abs=0.08)


def test_the_contrast_of_a_run_has_wider_bounds_the_more_it_is_varied(make_config, monkeypatch):
    slices = smooth_slices(3) * 20
    plain, varied = (
        PatchDataset(slices, make_config(patch=4, **changes)).contrast() for changes in ({}, VARIED)
    )
    assert plain.keys() == varied.keys() == set(STATISTICS)
    assert all(low <= high for low, high in varied.values())
    assert varied["mean"][1] > plain["mean"][1]
    assert varied["noise"][1] > plain["noise"][1] + 0.02
    measured = []
    monkeypatch.setattr(data_module, "contrast_of", lambda image: measured.append(1) or {})
    monkeypatch.setattr(data_module, "_SEEN", 7)
    assert PatchDataset(slices, make_config(patch=4)).contrast() == {}
    assert PatchDataset(slices[:2], make_config(patch=4)).contrast() == {}
    assert len(measured) == 7 + 2


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


@pytest.mark.parametrize("size", [2, 4, 8])
def test_the_parts_of_several_processes_are_the_batch_of_one(make_config, size):
    """With 8, each gets one of the two pairs of a slice."""
    config = make_config(batch=8, patches_per_slice=2, arguments={"adaptive": True})

    def seen(ranks):
        return list(itertools.islice(batches(PatchDataset(noise_slices(5), config), config, 3, ranks), 2))

    parts = [seen(Ranks(rank, size)) for rank in range(size)]
    for whole, *of_each in zip(seen(Ranks()), *parts, strict=True):
        assert equal(tuple(map(torch.cat, zip(*of_each, strict=True))), whole)


class Asked(PatchDataset):
    """Keeps the numbers of the samples that were asked for, and the threads and the niceness they had."""

    def __getitem__(self, sample):
        asked = self.__dict__.setdefault("asked", [])
        asked.append((sample, torch.get_num_threads(), niceness()))
        return super().__getitem__(sample)


def niceness():
    """Of this thread, where it has one of its own."""
    here = sys.platform == "linux"
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) if here else None


def test_a_process_makes_no_more_slices_than_hold_its_pairs(make_config):
    config = make_config(batch=12, patches_per_slice=4)
    for rank, samples in enumerate([[9, 10], [10, 11]]):  # of three; each of them gets six pairs
        dataset = Asked(noise_slices(5), config)
        next(batches(dataset, config, 3, Ranks(rank, 2)))
        assert [sample for sample, *_ in dataset.asked[:2]] == samples


def test_samples_are_made_by_one_thread_alone_when_the_network_leaves_time(make_config):
    config = make_config()
    before, usual = torch.get_num_threads(), niceness()
    torch.set_num_threads(3)
    try:
        dataset = Asked(noise_slices(2), config)
        stream = batches(dataset, config, 0)
        for _ in range(3):
            next(stream)
            assert torch.get_num_threads() == 3
        stream.close()
        assert {threads for _, threads, _ in dataset.asked} == {1}
        assert {nice for *_, nice in dataset.asked} == {None if usual is None else 19}
        assert niceness() == usual
    finally:
        torch.set_num_threads(before)


def test_a_batch_that_processes_cannot_share_is_refused(make_config):
    config = make_config(batch=8)
    with pytest.raises(RequestError, match="batch is 8, which 3 processes cannot share evenly"):
        batches(PatchDataset(noise_slices(2), config), config, 0, Ranks(1, 3))


def test_batches_leave_the_random_state_of_the_run_alone(make_config):
    config = make_config()
    torch.rand(3)
    before = torch.get_rng_state()
    loader = iter(batches(PatchDataset(noise_slices(2), config), config, 0))
    next(loader)
    loader.close()
    assert torch.equal(torch.get_rng_state(), before)


# Small parts


def test_metadata_is_followed_again_after_an_error():
    before = get_track_meta()
    with suppress(KeyError), without_metadata():
        assert not get_track_meta()
        raise KeyError
    assert get_track_meta() == before


THROUGH = {"through_plane": True, "degradation": "gaussian", "patch": 32, "patches_per_slice": 2}


def test_through_plane_a_patch_is_square_in_the_world_and_the_columns_are_coarse(make_config):
    dataset = PatchDataset(noise_slices(2), make_config(arguments={"adaptive": True}, **THROUGH))
    for n in range(6):
        coarse, fine, fingerprints = dataset[n]
        assert coarse.shape == (2, 1, 32, 8)
        assert fine.shape == (2, 1, 32, 32)
        assert torch.equal(fingerprints[0], fingerprint(dataset.whole(n)["coarse"], 4))
        assert fingerprints.shape == (2, length(True))
    assert dataset.fingerprints().shape == (2, length(True))


def test_through_plane_slices_are_thick_along_either_axis_of_the_true_ones(make_config):
    """A slice is turned before it gets thick: its stripes are then along the thick axis, or across it."""
    stripes = torch.arange(64).remainder(2).float().expand(1, 64, 64)
    config = make_config(**THROUGH)
    dataset = PatchDataset([{"fine": stripes.half()}], config)
    kept = 0
    for n in range(60):
        whole = dataset.whole(n)
        assert whole["coarse"].shape == (1, 64, 16)
        kept += bool(whole["coarse"].std(1).mean() > 0.3)
    assert 15 < kept < 45


def test_through_plane_the_validation_has_the_profile_of_its_degradation(source, make_config):
    config = make_config(**THROUGH)
    (coarse, fine), *_ = validation_pairs(source, source.indices[:1], config)
    assert coarse.shape[2:] == (fine.shape[2], fine.shape[3] // 4)
    torch.testing.assert_close(degrade(fine, (1, 4), "gaussian"), coarse, atol=1e-5, rtol=0)

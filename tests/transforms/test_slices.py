"""Every transform keeps each pixel where it is in the world, and coarse and fine patches belong together."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import CacheDataset, DataLoader, MetaTensor
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms import Compose, Flipd, RandFlipd, RandRotate90d, Rotate90d

from espcn_core.degradation import KINDS, degrade
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.transforms import (
    Degraded,
    FitIntensityd,
    LoadSliced,
    RandAlignedPatchesd,
    Shrunk,
)

BOTH = ("coarse", "fine")
SIDE = 512 * 0.49  # of a slice, in mm


@contextmanager
def tracking(on):
    before = get_track_meta()
    set_track_meta(on)
    try:
        yield on
    finally:
        set_track_meta(before)


@st.composite
def affines(draw):
    """Oblique, anisotropic, of either hand and now and then sheared."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * random.uniform(0.3, 6, 3)
    affine[:3, 0] += draw(st.sampled_from([0.0, 0.2])) * affine[:3, 1]
    affine[:3, 3] = random.uniform(-200, 200, 3)
    return affine


factors = st.tuples(st.integers(1, 4), st.integers(1, 4))


def numbered(rows, columns, affine):
    """An image in which each pixel's value is its number."""
    return MetaTensor(torch.arange(rows * columns, dtype=torch.float32).reshape(1, rows, columns), affine)


def pair_of(rows, columns, factor, affine, kind="area"):
    """A coarse image of so many rows and columns, and the fine one that it comes from."""
    fine = numbered(rows * factor[0], columns * factor[1], torch.tensor(affine))
    return Degraded("fine", factor, kind, into="coarse")({"fine": fine})


def grid(image):
    return Grid((*image.shape[-2:], 1), image.affine.numpy())


def world(image, numbers=None):
    """World position of each pixel, by its own place, or by its number in an image it came from."""
    rows, columns = image.shape[-2:]
    numbers = torch.arange(rows * columns).reshape(rows, columns) if numbers is None else numbers
    index = np.stack([numbers // columns, numbers % columns, np.zeros(numbers.shape)], axis=-1)
    return grid(image).world(index)


def assert_patch_is_where_its_pixels_were(patch, image):
    """The values of the patch are numbers of pixels of the image."""
    came_from = world(image, patch.as_tensor()[0].long())
    np.testing.assert_allclose(world(patch), came_from, atol=1e-6)


# LoadSliced


@pytest.mark.parametrize(("index", "size"), [(2001, 512), (956, 256)])
def test_a_slice_is_loaded_with_its_size_in_the_world(source, index, size):
    item = LoadSliced("image", source)({"image": index, "other": "kept"})
    image = item["image"]
    read = source.read(index)
    assert item["other"] == "kept"
    assert image.shape == (1, size, size)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image[0].numpy(), read.image)
    np.testing.assert_allclose(grid(image).spacing, [SIDE / size, SIDE / size, 6.0])
    assert (image.meta["index"], image.meta["patient"]) == (index, read.patient)
    assert image.meta["label"] == read.label


def test_each_key_is_loaded(source):
    item = LoadSliced(("a", "b"), source)({"a": 57, "b": 58})
    assert [item[key].meta["index"] for key in "ab"] == [57, 58]


# Degraded


@given(affines(), factors, st.integers(8, 30), st.integers(8, 30), st.sampled_from(sorted(KINDS)))
def test_both_images_have_the_same_field_of_view(affine, factor, rows, columns, kind):
    image = numbered(rows, columns, torch.tensor(affine))
    item = Degraded("fine", factor, kind, into="coarse")({"fine": image})
    coarse, fine = item["coarse"], item["fine"]
    kept = [n - n % r for n, r in zip((rows, columns), factor, strict=True)]
    assert list(fine.shape) == [1, *kept]
    assert [n * r for n, r in zip(coarse.shape[-2:], factor, strict=True)] == kept
    np.testing.assert_allclose(grid(coarse).corners(), grid(fine).corners(), atol=1e-6)
    whole = Grid((rows, columns, 1), affine).crop((0, 0, 0), (*kept, 1))
    np.testing.assert_allclose(grid(fine).corners(), whole.corners(), atol=1e-6)
    assert torch.equal(fine.as_tensor(), image.as_tensor()[:, : kept[0], : kept[1]])
    assert torch.equal(coarse.as_tensor(), degrade(fine.as_tensor(), factor, kind))


def test_in_place_gives_the_same_coarse_image_and_no_fine_one():
    image = numbered(13, 10, torch.diag(torch.tensor([2.0, 3.0, 5.0, 1.0])))
    beside = Degraded("image", (4, 3), "bicubic", into="coarse")({"image": image})
    inside = Degraded("image", (4, 3), "bicubic")({"image": image})
    assert set(inside) == {"image"}
    assert torch.equal(inside["image"].as_tensor(), beside["coarse"].as_tensor())
    assert torch.equal(inside["image"].affine, beside["coarse"].affine)
    assert image.shape == (1, 13, 10)


def test_what_is_known_of_the_slice_is_kept(source):
    chain = Compose([LoadSliced("fine", source), Degraded("fine", (2, 2), "area", into="coarse")])
    coarse = chain({"fine": 956})["coarse"]
    assert coarse.shape == (1, 128, 128)
    assert (coarse.meta["index"], coarse.meta["label"]) == (956, 3)
    np.testing.assert_allclose(grid(coarse).spacing, [SIDE / 128, SIDE / 128, 6.0])


def test_twice_coarser_is_once_coarser_by_the_product(source):
    once = Compose([LoadSliced("image", source), Degraded("image", (4, 4), "area")])
    twice = Compose([LoadSliced("image", source), *[Degraded("image", (2, 2), "area")] * 2])
    a, b = once({"image": 57})["image"], twice({"image": 57})["image"]
    assert torch.equal(a.as_tensor(), b.as_tensor())
    torch.testing.assert_close(a.affine, b.affine)


# Shrunk


@given(affines(), st.floats(1, 4), st.integers(8, 30), st.integers(8, 30))
def test_a_shrunk_image_keeps_its_field_of_view(affine, factor, rows, columns):
    image = MetaTensor(torch.rand(1, rows, columns), torch.tensor(affine), meta={"index": 7})
    item = Shrunk("image", factor)({"image": image, "other": "kept"})
    small = item["image"]
    assert item["other"] == "kept"
    assert small.shape == (1, int(rows / factor), int(columns / factor))
    np.testing.assert_allclose(grid(small).corners(), grid(image).corners(), atol=1e-6)
    assert small.meta["index"] == 7
    assert image.shape == (1, rows, columns)


@pytest.mark.parametrize("factor", [1, 2, 3.0, 4])
def test_shrunk_by_a_whole_factor_is_degraded_by_bicubic(tracked, factor):
    image = torch.rand(2, 36, 48, generator=torch.Generator().manual_seed(1))
    item = {"image": MetaTensor(image, torch.diag(torch.tensor([2.0, 3.0, 5.0, 1.0]))) if tracked else image}
    shrunk = Shrunk("image", factor)(item)["image"]
    whole = (int(factor), int(factor))
    wanted = Degraded("image", whole, "bicubic")(item)["image"]
    assert isinstance(shrunk, MetaTensor) == tracked
    torch.testing.assert_close(torch.as_tensor(shrunk), degrade(image, whole, "bicubic"), atol=1e-5, rtol=0)
    if tracked:
        torch.testing.assert_close(shrunk.affine, wanted.affine)


# FitIntensityd


def test_all_images_are_mapped_as_the_coarse_one_asks(source):
    chain = Compose([LoadSliced("fine", source), Degraded("fine", (4, 4), "bicubic", into="coarse")])
    before = chain({"fine": 2002})
    after = FitIntensityd(BOTH, fit_to="coarse")(before)
    intensity = IntensityMap.fit(before["coarse"].numpy())
    for key in BOTH:
        np.testing.assert_array_equal(after[key].numpy(), intensity.forward(before[key].numpy()))
        assert torch.equal(after[key].affine, before[key].affine)
        assert (after[key].meta["low"], after[key].meta["high"]) == (intensity.low, intensity.high)
        assert after[key].meta["index"] == 2002
    assert (float(after["coarse"].min()), float(after["coarse"].max())) == (0, 1)


def test_the_unit_of_the_images_makes_no_difference():
    item = pair_of(16, 16, (2, 2), np.eye(4))
    other = {key: image * 8 - 1000 for key, image in item.items()}
    fit = FitIntensityd(BOTH, fit_to="coarse")
    torch.testing.assert_close(fit(item)["fine"].as_tensor(), fit(other)["fine"].as_tensor())


# RandAlignedPatchesd, alone and with MONAI's flips and turns


@given(affines(), factors, st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_patches_and_what_becomes_of_them_stay_in_place(affine, factor, seed, size):
    item = pair_of(14, 12, factor, affine)
    item["coarse"] = numbered(14, 12, item["coarse"].affine)
    chain = Compose(
        [
            RandAlignedPatchesd(*BOTH, factor, (size, size), count=3),
            RandFlipd(BOTH, prob=0.5, spatial_axis=0),
            RandFlipd(BOTH, prob=0.5, spatial_axis=1),
            RandRotate90d(BOTH, prob=0.75, max_k=3),
        ]
    )
    chain.set_random_state(seed)
    pairs = chain(item)
    assert len(pairs) == 3
    for pair in pairs:
        assert pair["coarse"].shape == (1, size, size)
        assert sorted(pair["fine"].shape[1:]) == sorted(size * r for r in factor)
        for key in BOTH:
            assert_patch_is_where_its_pixels_were(pair[key], item[key])
        np.testing.assert_allclose(grid(pair["coarse"]).corners(), grid(pair["fine"]).corners(), atol=1e-6)


TURNS = {
    "as it is": lambda keys: [],
    "flip rows": lambda keys: [Flipd(keys, spatial_axis=0)],
    "flip columns": lambda keys: [Flipd(keys, spatial_axis=1)],
    "quarter": lambda keys: [Rotate90d(keys, k=1)],
    "half": lambda keys: [Rotate90d(keys, k=2)],
    "flip and three quarters": lambda keys: [Flipd(keys, spatial_axis=0), Rotate90d(keys, k=3)],
}


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
@pytest.mark.parametrize("scale", [2, 4])
def test_degrading_the_fine_patch_gives_the_coarse_patch(source, scale, turns):
    """Exactly: stored values are whole numbers, of which sums of 16 have no rounding."""
    factor = (scale, scale)
    chain = Compose(
        [
            LoadSliced("fine", source),
            Degraded("fine", factor, "area", into="coarse"),
            RandAlignedPatchesd(*BOTH, factor, (20, 20), count=4),
            *turns(BOTH),
        ]
    )
    chain.set_random_state(5)
    for pair in chain({"fine": 2002}):
        assert pair["coarse"].std() > 0
        assert torch.equal(degrade(pair["fine"].as_tensor(), factor, "area"), pair["coarse"].as_tensor())


def test_patches_are_drawn_from_all_of_the_image():
    cut = RandAlignedPatchesd(*BOTH, (2, 2), (3, 3), count=400)
    cut.set_random_state(1)
    item = {"coarse": numbered(6, 5, None), "fine": torch.zeros(1, 12, 10)}
    corners = {int(pair["coarse"][0, 0, 0]) for pair in cut(item)}
    assert corners == {5 * i + j for i in range(4) for j in range(3)}


def test_the_random_state_decides():
    item = {"coarse": numbered(40, 40, None), "fine": torch.zeros(1, 80, 80)}

    def drawn(seed):
        cut = RandAlignedPatchesd(*BOTH, (2, 2), (4, 4), count=8)
        cut.set_random_state(seed)
        return [[int(pair["coarse"][0, 0, 0]) for pair in cut(item)] for _ in range(2)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    first, second = drawn(3)
    assert first != second


def test_each_patch_has_its_number_even_where_all_are_the_whole_image():
    item = pair_of(6, 6, (2, 2), np.eye(4))
    pairs = RandAlignedPatchesd(*BOTH, (2, 2), (6, 6), count=3)(item)
    assert [pair[key].meta["patch_index"] for pair in pairs for key in BOTH] == [0, 0, 1, 1, 2, 2]
    assert "patch_index" not in item["coarse"].meta


@pytest.mark.parametrize("size", [(7, 7), (9, 6), (8, 7)])
def test_a_patch_that_does_not_fit_is_refused(size):
    item = pair_of(8, 6, (2, 2), np.eye(4))
    with pytest.raises(ValueError, match=f"a patch of {size[0]} x {size[1]} pixels does not fit into 8 x 6"):
        RandAlignedPatchesd(*BOTH, (2, 2), size)(item)


# With MONAI's containers


def whole_chain(source, scale=2, size=16, count=2):
    factor = (scale, scale)
    return Compose(
        [
            LoadSliced("fine", source),
            Degraded("fine", factor, "bicubic", into="coarse"),
            FitIntensityd(BOTH, fit_to="coarse"),
            RandAlignedPatchesd(*BOTH, factor, (size, size), count),
            RandFlipd(BOTH, prob=0.5, spatial_axis=0),
            RandRotate90d(BOTH, prob=0.75, max_k=3),
        ]
    )


def test_a_cached_data_set_gives_what_the_chain_gives(source, tracked):
    items = [{"fine": index} for index in (2001, 955)]
    chain = whole_chain(source)
    cached = CacheDataset(items, chain, progress=False)
    for number, item in enumerate(items):
        chain.set_random_state(number)
        direct = chain(item)
        chain.set_random_state(number)
        for a, b in zip(direct, cached[number], strict=True):
            for key in BOTH:
                assert isinstance(a[key], MetaTensor) == isinstance(b[key], MetaTensor) == tracked
                assert torch.equal(torch.as_tensor(a[key]), torch.as_tensor(b[key]))
                if tracked:
                    assert torch.equal(a[key].affine, b[key].affine)
                    assert b[key].meta["index"] == item["fine"]


def test_only_what_is_not_random_is_cached(source, tracked):
    reads = []

    class Counting:
        def read(self, index):
            reads.append(index)
            return source.read(index)

    cached = CacheDataset([{"fine": 57}], whole_chain(Counting()), progress=False)
    first, second = (torch.cat([pair["coarse"] for pair in cached[0]]) for _ in range(2))
    assert reads == [57]
    assert not torch.equal(first, second)


def test_metadata_does_not_change_the_values(source):
    results = []
    for on in (True, False):
        with tracking(on):
            chain = whole_chain(source)
            chain.set_random_state(7)
            results.append([torch.as_tensor(pair[key]) for pair in chain({"fine": 143}) for key in BOTH])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_patches_make_a_batch(source, tracked):
    chain = whole_chain(source)
    dataset = CacheDataset([{"fine": index} for index in (2001, 955)], chain, progress=False)
    (batch,) = DataLoader(dataset, batch_size=2)
    assert batch["coarse"].shape == (4, 1, 16, 16)
    assert batch["fine"].shape == (4, 1, 32, 32)
    if tracked:
        assert batch["fine"].meta["index"].tolist() == [2001, 2001, 955, 955]

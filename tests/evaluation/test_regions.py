from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from espcn_core.evaluation.regions import MARGIN, RING, eroded, find_head, find_regions
from espcn_core.figshare import open_source


@pytest.fixture(scope="module")
def slices(figshare_dir):
    with open_source(figshare_dir) as source:
        return [source.read(index) for index in source.indices]


def test_the_head_is_all_of_the_head_and_no_air(slices):
    for piece in slices:
        head = find_head(piece.image)
        assert 0.15 < head.mean() < 0.8, piece.index
        assert head[piece.mask].all(), piece.index
        assert ndimage.label(head)[1] == 1
        assert ndimage.binary_fill_holes(head).sum() == head.sum()
        low = piece.image.min()
        inside, outside = (np.median(piece.image[part]) - low for part in (head, ~head))
        assert outside < 0.15 * inside, piece.index


def test_the_head_does_not_depend_on_units(slices):
    image = slices[0].image.astype(np.float64)
    head = find_head(image)
    assert (find_head(7 * image - 100) != head).mean() < 1e-3


def test_what_has_no_air_around_it_has_no_head():
    texture = np.random.default_rng(0).uniform(100, 200, (64, 64))
    assert find_head(texture) is None
    assert find_head(np.full((64, 64), 3.0)) is None


def test_the_ring_is_a_ring(slices):
    for piece in slices:
        regions = find_regions(piece.image, piece.mask)
        assert list(regions) == ["image", "head", "tumor", "ring"]
        ring, tumor = regions["ring"], regions["tumor"]
        assert not (ring & tumor).any()
        assert not (ring & ~regions["head"]).any()
        assert ndimage.distance_transform_edt(~tumor)[ring].max() <= RING
        assert eroded(ring).any(), "the SSIM has something to average"


def test_without_a_tumor_there_is_no_ring(slices):
    image = slices[0].image
    assert list(find_regions(image, None)) == ["image", "head"]
    assert list(find_regions(image, np.zeros(image.shape, bool))) == ["image", "head"]


def test_erosion_takes_its_margin_off():
    region = np.zeros((40, 40), bool)
    region[10:30, 10:30] = True
    assert np.argwhere(eroded(region)).min(axis=0).tolist() == [10 + MARGIN, 10 + MARGIN]
    assert eroded(np.ones((5, 5), bool)).all()


def test_regions_at_the_border_of_a_slice_are_the_same():
    """Distances are searched around a region alone."""
    random = np.random.default_rng(0)
    for place in ((0, 0), (0, 15), (30, 36), (12, 14)):
        region = np.zeros((40, 46), bool)
        region[place[0] : place[0] + 12, place[1] : place[1] + 11] = True
        region[tuple(random.integers(0, 40, (2, 30)))] = True
        np.testing.assert_array_equal(eroded(region), ndimage.distance_transform_edt(region) > MARGIN)
        image = np.full(region.shape, 100.0)
        ring = find_regions(image, region)["ring"]
        np.testing.assert_array_equal(ring, (ndimage.distance_transform_edt(~region) <= RING) & ~region)
    assert not eroded(np.zeros((9, 9), bool)).any()

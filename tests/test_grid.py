"""The field of view stays where it is, whatever is done to a grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.grid import Grid, finer_affine, ratios_between, step_between


def affines(shear: bool = True) -> st.SearchStrategy[np.ndarray]:
    """Random affines: any rotation or reflection, spacings from 0.2 to 8 mm, some with shear."""

    def make(seed: int, sheared: bool) -> np.ndarray:
        rng = np.random.default_rng(seed)
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        matrix = rotation @ (np.eye(3) + sheared * np.triu(rng.uniform(-0.3, 0.3, (3, 3)), 1))
        affine = np.eye(4)
        affine[:3, :3] = matrix * rng.uniform(0.2, 8, 3)
        affine[:3, 3] = rng.uniform(-300, 300, 3)
        return affine

    return st.builds(make, st.integers(0, 2**32 - 1), st.booleans() if shear else st.just(False))


shapes = st.tuples(*[st.integers(1, 40)] * 3)
factors = st.tuples(*[st.integers(1, 8)] * 3)


def close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


@given(affines(), shapes, factors)
def test_finer_and_coarser_keep_the_corners(affine, shape, factor):
    grid = Grid(shape, affine)
    fine = grid.finer(factor)
    assert fine.shape == tuple(n * r for n, r in zip(shape, factor, strict=True))
    close(fine.corners(), grid.corners())
    np.testing.assert_allclose(fine.spacing, np.divide(grid.spacing, factor), rtol=1e-12)
    back = fine.coarser(factor)
    assert back.shape == shape
    close(back.affine, grid.affine)


@given(affines(), shapes, shapes)
def test_resized_keeps_the_corners(affine, shape, other):
    grid = Grid(shape, affine)
    resized = grid.resized(other)
    assert resized.shape == other
    close(resized.corners(), grid.corners())
    np.testing.assert_allclose(
        np.multiply(resized.spacing, other), np.multiply(grid.spacing, shape), rtol=1e-12
    )
    close(resized.resized(shape).affine, grid.affine)


@given(affines(), shapes, factors)
def test_resized_by_whole_factors_is_finer_or_coarser(affine, shape, factor):
    grid = Grid(shape, affine)
    fine = grid.finer(factor)
    close(grid.resized(fine.shape).affine, fine.affine)
    close(fine.resized(shape).affine, fine.coarser(factor).affine)


@given(affines(), shapes, st.tuples(*[st.floats(0.2, 8)] * 3))
def test_respaced_has_the_spacing_and_keeps_the_field_of_view_to_half_a_voxel(affine, shape, spacing):
    grid = Grid(shape, affine)
    other = grid.respaced(spacing)
    np.testing.assert_allclose(other.spacing, spacing, rtol=1e-9)
    np.testing.assert_allclose(other.directions, grid.directions, atol=1e-12)
    close(other.corners().mean(0), grid.corners().mean(0))
    lengths, old = np.multiply(other.shape, spacing), np.multiply(shape, grid.spacing)
    off = np.abs(lengths - old) / spacing  # in new voxels, both faces together
    assert all(o <= 0.5 + 1e-9 or n == 1 for o, n in zip(off, other.shape, strict=True))


@given(affines(), shapes, factors)
def test_respaced_by_whole_factors_is_finer(affine, shape, factor):
    grid = Grid(shape, affine)
    fine = grid.respaced(np.divide(grid.spacing, factor))
    assert fine.shape == grid.finer(factor).shape
    close(fine.affine, grid.finer(factor).affine)
    same = grid.respaced(grid.spacing)
    assert same.shape == shape
    np.testing.assert_array_equal(same.affine, grid.affine)


@given(affines(), shapes, st.tuples(*[st.floats(0.2, 8)] * 3), st.integers(0, 2))
def test_flipping_commutes_with_another_spacing(affine, shape, spacing, axis):
    grid = Grid(shape, affine)
    close(grid.flip(axis).respaced(spacing).affine, grid.respaced(spacing).flip(axis).affine)


@given(affines(), shapes, factors)
def test_fine_voxels_lie_inside_their_coarse_voxel(affine, shape, factor):
    grid = Grid(shape, affine)
    fine = grid.finer(factor)
    inside = np.mean([fine.world(offset) for offset in itertools.product(*map(range, factor))], axis=0)
    close(inside, grid.world([0, 0, 0]))


@given(affines(), shapes, st.data())
def test_crop_pad_reorder_and_flip_keep_the_world(affine, shape, data):
    grid = Grid(shape, affine)
    start = [data.draw(st.integers(0, n - 1)) for n in shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
    close(grid.crop(start, stop).world([0, 0, 0]), grid.world(start))
    padded = grid.pad(start, [1, 2, 3])
    close(padded.world(start), grid.world([0, 0, 0]))
    assert padded.shape == tuple(n + a + b for n, a, b in zip(shape, start, [1, 2, 3], strict=True))
    restored = padded.crop(start, [a + n for a, n in zip(start, shape, strict=True)])
    close(restored.affine, grid.affine)

    axes = data.draw(st.permutations(range(3)))
    close(grid.reorder(axes).world(np.array(start)[list(axes)]), grid.world(start))
    axis = data.draw(st.integers(0, 2))
    mirrored = list(start)
    mirrored[axis] = shape[axis] - 1 - start[axis]
    close(grid.flip(axis).world(mirrored), grid.world(start))
    close(grid.flip(axis).flip(axis).affine, grid.affine)


@given(affines(), shapes, factors, st.integers(0, 2))
def test_flipping_commutes_with_making_finer(affine, shape, factor, axis):
    grid = Grid(shape, affine)
    close(grid.flip(axis).finer(factor).affine, grid.finer(factor).flip(axis).affine)


@given(affines(shear=False), shapes, factors)
def test_itk_puts_the_same_voxels_in_the_same_places(affine, shape, factor):
    fine = Grid(shape, affine).finer(factor)
    image = SimpleITK.Image([1, 1, 1], SimpleITK.sitkUInt8)
    geometry = fine.to_itk()
    image.SetOrigin(geometry["origin"])
    image.SetSpacing(geometry["spacing"])
    image.SetDirection(geometry["direction"])
    index = [n - 0.5 for n in fine.shape]
    lps = np.array(image.TransformContinuousIndexToPhysicalPoint(index))
    np.testing.assert_allclose(lps * [-1, -1, 1], fine.world(index), atol=1e-6)
    back = Grid.from_itk(fine.shape, image.GetOrigin(), image.GetSpacing(), image.GetDirection())
    assert back.matches(fine, tolerance=1e-6)


def test_finer_affine_by_hand():
    affine = finer_affine(np.diag([1.0, 2.0, 5.0, 1.0]), (2, 4, 1))
    np.testing.assert_allclose(
        affine, [[0.5, 0, 0, -0.25], [0, 0.5, 0, -0.75], [0, 0, 5, 0], [0, 0, 0, 1]], atol=1e-15
    )


def test_oblique_and_shear_are_told_apart():
    straight = Grid((4, 5, 6), np.diag([-1.0, 2.0, 3.0, 1.0])).reorder([2, 0, 1])
    assert not straight.is_oblique
    assert not straight.has_shear
    assert straight.world_axes == (2, 0, 1)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    assert Grid((4, 5, 6), turned).is_oblique
    assert not Grid((4, 5, 6), turned).has_shear
    sheared = np.eye(4)
    sheared[0, 1] = 0.2
    assert Grid((4, 5, 6), sheared).has_shear


@given(affines(), st.integers(0, 5))
def test_world_axes_follow_a_reordering(affine, number):
    grid = Grid((4, 5, 6), affine)
    axes = list(itertools.permutations(range(3)))[number]
    assert grid.reorder(axes).world_axes == tuple(grid.world_axes[axis] for axis in axes)


def test_a_grid_is_not_changed_behind_its_back():
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 0] = 7
    assert grid.spacing == (1, 1, 1)
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 7


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((0, 2, 2), np.eye(4), "at least one voxel"),
        ((2, 2), np.eye(4), "three axes"),
        ((2, 2, 2), np.eye(3), "4 x 4"),
        ((2, 2, 2), np.full((4, 4), np.nan), "finite"),
        ((2, 2, 2), np.diag([1.0, 0, 1, 1]), "singular"),
        ((2, 2, 2), np.diag([1.0, 1, 1, 2]), "0 0 0 1"),
    ],
)
def test_what_is_no_grid_is_refused(shape, affine, message):
    with pytest.raises(ValueError, match=message):
        Grid(shape, affine)


def test_wrong_requests_are_refused():
    grid = Grid((4, 5, 6), np.eye(4))
    with pytest.raises(ValueError, match="crop first"):
        grid.coarser((2, 2, 2))
    with pytest.raises(ValueError, match="whole numbers"):
        grid.finer((2, 2, 0))
    with pytest.raises(ValueError, match="cannot keep"):
        grid.crop((0, 0, 0), (4, 5, 7))
    with pytest.raises(ValueError, match="zero or more"):
        grid.pad((0, 0, -1), (0, 0, 0))
    with pytest.raises(ValueError, match="order of"):
        grid.reorder((0, 0, 1))
    assert not grid.matches(Grid((4, 5, 7), np.eye(4)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 1, 5), (2, 3, 1), (0.9, 1.4, 2.6)]))
def test_the_step_between_two_grids_takes_each_new_voxel_to_its_place_in_the_old_one(seed, ratios):
    random = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(random.normal(size=(3, 3)))[0] * random.uniform(0.3, 6, 3)
    affine[:3, 3] = random.uniform(-90, 90, 3)
    old = Grid((7, 8, 9), affine)
    whole = all(isinstance(r, int) for r in ratios)
    new = (
        old.finer(ratios)
        if whole
        else old.respaced([mm / r for mm, r in zip(old.spacing, ratios, strict=True)])
    )
    step = step_between(old, new)
    np.testing.assert_allclose(old.affine @ step, new.affine, atol=1e-8)
    np.testing.assert_allclose(ratios_between(old, new), ratios)
    if whole:
        assert ratios_between(old, new) == ratios
        np.testing.assert_array_equal(affine @ step, finer_affine(affine, ratios))
    with pytest.raises(ValueError, match="other axes or another centre"):
        step_between(old, new.flip(0))

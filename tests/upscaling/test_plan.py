"""From a grid and a request to steps and passes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.errors import RequestError
from espcn_core.grid import Grid
from espcn_core.upscaling.plan import PLANES, Pass, Request, make_plan

shapes = st.tuples(*[st.integers(2, 40)] * 3)
seeds = st.integers(0, 2**31)


def grid(shape=(20, 30, 40), spacing=(1, 1, 1), axes=(0, 1, 2)):
    """A grid whose axis number n runs along world axis ``axes[n]``."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(axes)] * spacing
    return Grid(shape, affine)


def tilted(seed, shape=(20, 30, 40), axes=(0, 1, 2), spacing=(1, 1, 1)):
    """An oblique grid whose axes are nearest to ``axes``, each in either direction."""
    rng = np.random.default_rng(seed)
    tilt, _ = np.linalg.qr(np.eye(3) + rng.uniform(-0.25, 0.25, (3, 3)))
    tilt *= np.sign(np.diag(tilt))
    affine = np.eye(4)
    affine[:3, :3] = tilt[:, list(axes)] * rng.choice([-1, 1], 3) * spacing
    affine[:3, 3] = rng.uniform(-90, 90, 3)
    return Grid(shape, affine)


def models(factors):
    """The weights that the project ships."""
    rows, columns = factors
    if rows == columns in (2, 3, 4):
        return f"x{rows}"
    if rows == 1 and columns in range(2, 9):
        return f"through-x{columns}"
    raise RequestError(f"no model has scale {rows}x{columns}")


def plan_for(source, **request):
    return make_plan(source, Request(**request), models)


def outline(plan):
    """Each step as (axis, factor of its passes, slice axes and models of these)."""
    return [
        (step.axis, step.factor, tuple((p.slice_axis, p.model) for p in step.passes)) for step in plan.steps
    ]


def along(axis, r, *slice_axes):
    factor = tuple(r if a == axis else 1 for a in range(3))
    return axis, factor, tuple((a, f"through-x{r}") for a in slice_axes)


def in_plane(slice_axis, r):
    return None, tuple(1 if a == slice_axis else r for a in range(3)), ((slice_axis, f"x{r}"),)


INTERPOLATED = (None, (1, 1, 1), ())


@given(st.permutations(range(3)), st.sampled_from(sorted(PLANES)), st.integers(2, 4), seeds)
def test_planes_are_anatomical_also_for_oblique_volumes(axes, plane, scale, seed):
    source = tilted(seed, axes=axes)
    plan = plan_for(source, scale=scale, plane=plane)
    ((only,),) = (step.passes for step in plan.steps)
    assert only == Pass(plane, only.slice_axis, (scale, scale), f"x{scale}")
    assert axes[only.slice_axis] == PLANES[plane]
    assert only.factor == tuple(1 if axis == only.slice_axis else scale for axis in range(3))
    np.testing.assert_array_equal(plan.target.affine, source.finer(only.factor).affine)
    assert plan.target.shape == source.finer(only.factor).shape


def test_a_pass_has_a_factor_for_each_axis():
    assert Pass("axial", 0, (2, 3), "m").factor == (1, 2, 3)
    assert Pass("axial", 1, (2, 3), "m").factor == (2, 1, 3)
    assert Pass("axial", 2, (2, 3), "m").factor == (2, 3, 1)


@pytest.mark.parametrize(
    ("spacing", "request_", "steps", "target"),
    [
        # one thick axis, whole and broken factors
        ((0.9, 0.9, 5), {"scale": (1, 1, 5)}, [along(2, 5, 0, 1)], (0.9, 0.9, 1)),
        ((0.9, 5, 0.9), {"scale": (1, 5, 1)}, [along(1, 5, 0, 2)], (0.9, 1, 0.9)),
        ((5, 0.9, 0.9), {"scale": (5, 1, 1)}, [along(0, 5, 1, 2)], (1, 0.9, 0.9)),
        ((0.9, 0.9, 5), {"spacing": "isotropic"}, [along(2, 6, 0, 1)], (0.9, 0.9, 0.9)),
        ((0.9, 0.9, 5), {"spacing": (0.9, 0.9, 1)}, [along(2, 5, 0, 1)], (0.9, 0.9, 1)),
        ((0.9, 0.9, 5), {"spacing": 0.9}, [along(2, 6, 0, 1)], (0.9, 0.9, 0.9)),
        ((1, 1, 2.1), {"spacing": 1}, [along(2, 2, 0, 1)], (1, 1, 1)),
        ((1, 1, 2.3), {"spacing": 1}, [along(2, 3, 0, 1)], (1, 1, 1)),
        ((1, 1, 2.2), {"spacing": 1}, [along(2, 2, 0, 1)], (1, 1, 1)),
        ((1, 1, 3.02), {"spacing": 1}, [along(2, 3, 0, 1)], (1, 1, 3.02 / 3)),
        # a hair off a whole number is that number
        ((1, 1.005, 5), {"spacing": 1}, [along(2, 5, 0, 1)], (1, 1.005, 1)),
        ((1, 1.05, 5), {"spacing": 1}, [along(2, 5, 0, 1), INTERPOLATED], (1, 1, 1)),
        ((1, 1, 1), {"spacing": 0.95}, [INTERPOLATED], (0.95, 0.95, 0.95)),
        # nothing to do
        ((1, 1, 1), {"spacing": 1}, [], (1, 1, 1)),
        ((1, 1, 1), {"spacing": "isotropic"}, [], (1, 1, 1)),
        ((1, 2, 3), {"scale": (1, 1, 1)}, [], (1, 2, 3)),
        # two stages
        ((1, 1, 9), {"spacing": 1}, [along(2, 3, 0, 1)] * 2, (1, 1, 1)),
        ((1, 1, 10), {"spacing": 1}, [along(2, 5, 0, 1), along(2, 2, 0, 1)], (1, 1, 1)),
        ((1, 1, 11), {"spacing": 1}, [along(2, 4, 0, 1), along(2, 3, 0, 1)], (1, 1, 1)),
        ((1, 1, 12), {"spacing": 1}, [along(2, 4, 0, 1), along(2, 3, 0, 1)], (1, 1, 1)),
        ((1, 1, 13), {"spacing": 1}, [along(2, 7, 0, 1), along(2, 2, 0, 1)], (1, 1, 1)),
        ((1, 1, 14), {"spacing": 1}, [along(2, 7, 0, 1), along(2, 2, 0, 1)], (1, 1, 1)),
        ((1, 1, 15), {"spacing": 1}, [along(2, 5, 0, 1), along(2, 3, 0, 1)], (1, 1, 1)),
        ((1, 1, 16), {"spacing": 1}, [along(2, 4, 0, 1)] * 2, (1, 1, 1)),
        ((1, 1, 9.5), {"spacing": 1}, [along(2, 3, 0, 1)] * 2, (1, 1, 1)),
        # several thick axes: the thickest first
        ((1, 3, 4), {"spacing": 1}, [along(2, 4, 0, 1), along(1, 3, 0, 2)], (1, 1, 1)),
        ((4, 3, 1), {"spacing": 1}, [along(0, 4, 1, 2), along(1, 3, 0, 2)], (1, 1, 1)),
        ((4, 3, 2), {"spacing": 1}, [along(0, 4, 1, 2), along(1, 3, 0, 2), along(2, 2, 0, 1)], (1, 1, 1)),
        ((1, 3.0000001, 3), {"scale": (1, 2, 3)}, [along(2, 3, 0, 1), along(1, 2, 0, 2)], (1, 1.5, 1)),
        # two equal ones are slices
        ((1, 1, 5), {"scale": (2, 2, 1)}, [in_plane(2, 2)], (0.5, 0.5, 5)),
        ((1, 1, 5), {"scale": (1, 2, 2)}, [in_plane(0, 2)], (1, 0.5, 2.5)),
        ((1, 1, 3), {"scale": (2, 2, 3)}, [along(2, 3, 0, 1), in_plane(2, 2)], (0.5, 0.5, 1)),
        ((1, 2, 2), {"spacing": 0.5}, [along(0, 2, 1, 2), in_plane(0, 4)], (0.5, 0.5, 0.5)),
        ((2.1, 2, 1), {"spacing": 1}, [in_plane(2, 2)], (1, 1, 1)),
        ((1, 1, 5), {"scale": (6, 6, 1)}, [in_plane(2, 3), in_plane(2, 2)], (1 / 6, 1 / 6, 5)),
        ((1, 1, 5), {"scale": (8, 8, 1)}, [in_plane(2, 4), in_plane(2, 2)], (1 / 8, 1 / 8, 5)),
        ((1, 1, 5), {"scale": (9, 9, 1)}, [in_plane(2, 3), in_plane(2, 3)], (1 / 9, 1 / 9, 5)),
        ((1, 1, 5), {"scale": (12, 12, 1)}, [in_plane(2, 4), in_plane(2, 3)], (1 / 12, 1 / 12, 5)),
        ((1, 1, 5), {"scale": (16, 16, 1)}, [in_plane(2, 4), in_plane(2, 4)], (1 / 16, 1 / 16, 5)),
        ((1, 1, 5), {"scale": 6}, [in_plane(2, 3), in_plane(2, 2)], (1 / 6, 1 / 6, 5)),
        ((1, 2, 5), {"scale": (5, 5, 1)}, [along(1, 5, 0, 2), along(0, 5, 1, 2)], (0.2, 0.4, 5)),
        # three equal ones: the axis that auto takes, then its slices
        ((1, 1, 1), {"spacing": 0.5}, [along(2, 2, 0, 1), in_plane(2, 2)], (0.5, 0.5, 0.5)),
        ((1, 3, 1), {"scale": (2, 2, 2)}, [along(1, 2, 0, 2), in_plane(1, 2)], (0.5, 1.5, 0.5)),
    ],
)
def test_requests_become_these_steps(spacing, request_, steps, target):
    plan = plan_for(grid(spacing=spacing), **request_)
    assert outline(plan) == steps
    np.testing.assert_allclose(plan.target.spacing, target, rtol=1e-6)
    assert plan.target is (plan.steps[-1].grid if steps else plan.source)


@given(seeds, shapes, st.permutations(range(3)), st.tuples(*[st.integers(1, 16)] * 3))
def test_whole_factors_keep_the_faces_of_the_voxels(seed, shape, axes, factors):
    spacing = np.random.default_rng(seed).uniform(0.3, 6, 3)
    source = tilted(seed, shape, axes, spacing)
    plan = plan_for(source, scale=factors)
    assert plan.target.shape == tuple(n * r for n, r in zip(shape, factors, strict=True))
    np.testing.assert_allclose(plan.target.corners(), source.corners(), atol=1e-9)


@given(seeds, shapes, st.permutations(range(3)), st.floats(0.25, 1))
def test_any_spacing_is_met_and_the_field_of_view_stays_to_half_a_voxel(seed, shape, axes, part):
    spacing = np.random.default_rng(seed).uniform(0.5, 2, 3)
    source = tilted(seed, shape, axes, spacing)
    wanted = part * min(spacing)
    plan = plan_for(source, spacing=wanted)
    for axis in range(3):
        ratio = spacing[axis] / wanted
        whole = abs(ratio - round(ratio)) <= 0.01 * ratio
        met = spacing[axis] / round(ratio) if whole else wanted
        assert plan.target.spacing[axis] == pytest.approx(met, rel=1e-9)
        assert plan.target.shape[axis] == round(shape[axis] * spacing[axis] / met)
    # Along each axis of the image, in voxels of the result, no face has moved by more than half of one.
    index = np.c_[plan.target.corners(), np.ones(8)] @ np.linalg.inv(source.affine).T
    before = np.array(list(itertools.product(*[(-0.5, n - 0.5) for n in shape])))
    moved = np.abs(index[:, :3] - before) * source.spacing / plan.target.spacing
    assert moved.max() <= 0.5
    middle = (index[:, :3].min(0) + index[:, :3].max(0)) / 2
    np.testing.assert_allclose(middle, (np.array(shape) - 1) / 2, atol=1e-9)


@given(seeds, shapes, st.floats(0.1, 1))
def test_networks_leave_a_tenth_to_interpolation_at_most(seed, shape, part):
    """Their factors reach that of the axis to within 10 %, and go no further beyond it than by 1."""
    spacing = np.random.default_rng(seed).uniform(1, 1.5, 3)
    source = tilted(seed, shape, spacing=spacing)
    plan = plan_for(source, spacing=part * min(spacing))
    product = np.prod([step.factor for step in plan.steps] or [(1, 1, 1)], axis=0)
    ratio = np.array(source.spacing) / plan.target.spacing
    assert (product >= ratio / 1.1 - 1e-9).all()
    assert (product <= ratio + 1 + 1e-9).all()


@given(seeds, st.permutations(range(3)), st.tuples(*[st.integers(1, 16)] * 3))
def test_each_step_starts_where_the_last_one_ended(seed, axes, factors):
    plan = plan_for(tilted(seed, axes=axes), scale=factors)
    before = plan.source
    for step in plan.steps:
        assert len({p.factor for p in step.passes}) == 1
        made = before.finer(step.factor)
        np.testing.assert_allclose(made.corners(), step.grid.corners(), atol=1e-9)
        if step.axis is not None:
            assert [r > 1 for r in step.factor] == [axis == step.axis for axis in range(3)]
            assert sorted(p.slice_axis for p in step.passes) == [a for a in range(3) if a != step.axis]
        before = step.grid
    assert before is plan.target


@given(seeds, st.permutations(range(3)))
def test_the_order_of_the_axes_and_their_direction_make_no_difference(seed, axes):
    """What is done in the world is the same for any order of the axes in the array."""
    spacing = np.array([0.8, 0.9, 4])
    straight = plan_for(grid(spacing=spacing), spacing=0.8)
    other = plan_for(tilted(seed, np.array([20, 30, 40])[axes], axes, spacing[axes]), spacing=0.8)
    assert [[p.plane for p in step.passes] for step in other.steps] == [
        [p.plane for p in step.passes] for step in straight.steps
    ]
    assert other.target.shape == tuple(np.array(straight.target.shape)[axes])


@pytest.mark.parametrize("single", [0, 1])
def test_planes_whose_slices_are_one_voxel_wide_are_left_out(single):
    shape = [20, 30, 40]
    shape[single] = 1
    (step,) = plan_for(grid(shape=shape, spacing=(1, 1, 4)), scale=(1, 1, 4)).steps
    assert [(p.slice_axis, p.factors) for p in step.passes] == [(single, (1, 4))]


def test_the_slice_of_a_pass_has_its_first_axis_in_rows():
    (step,) = plan_for(grid(), scale=(1, 4, 1)).steps
    assert [(p.plane, p.slice_axis, p.factors) for p in step.passes] == [
        ("sagittal", 0, (4, 1)),  # rows are axis 1
        ("axial", 2, (1, 4)),
    ]


class TestModelOfTheUser:
    def test_its_factors_are_the_scale(self, make_model):
        for factor, expected in [((3, 3), (3, 3, 1)), ((1, 5), (1, 1, 5))]:
            model = make_model(factor)
            plan = plan_for(grid(spacing=(1, 1, 5)), model=model)
            assert [step.factor for step in plan.steps] == [expected]
            assert {p.model for step in plan.steps for p in step.passes} == {model}

    def test_the_plane_says_which_axis_is_thick(self, make_model):
        plan = plan_for(grid(spacing=(1, 1, 5)), model=make_model((1, 5)), plane="sagittal")
        assert [step.factor for step in plan.steps] == [(5, 1, 1)]

    def test_it_is_used_where_it_fits_and_the_others_stay(self, make_model):
        model = make_model((1, 3))
        plan = plan_for(grid(spacing=(1, 1, 3)), scale=(2, 2, 3), model=model)
        assert [{p.model for p in step.passes} for step in plan.steps] == [{model}, {"x2"}]

    def test_it_may_have_a_factor_that_the_others_have_in_two_stages(self, make_model):
        model = make_model((1, 10))
        plan = plan_for(grid(), scale=(1, 1, 10), model=model)
        assert [step.factor for step in plan.steps] == [(1, 1, 10)]

    def test_it_is_refused_where_it_fits_nowhere(self, make_model):
        model = make_model((1, 4), name="mine")
        with pytest.raises(RequestError, match=r"mine\S* has scale 1x4, not 2: leave out --scale or --model"):
            plan_for(grid(), scale=2, model=model)
        with pytest.raises(RequestError, match=r"mine\S* has scale 1x4, which nothing .* leave out --model"):
            plan_for(grid(), scale=(1, 1, 5), model=model)
        with pytest.raises(RequestError, match="has scale 4x2: choose one with the same for both axes"):
            plan_for(grid(), model=make_model((4, 2)))
        with pytest.raises(RequestError, match="no model is called 'espcn-q'"):
            plan_for(grid(), model="espcn-q")


def test_nothing_asked_for_is_a_scale_of_two():
    assert outline(plan_for(grid())) == [in_plane(2, 2)]


def test_wrong_requests_are_refused():
    with pytest.raises(RequestError, match="no plane is called 'axail'"):
        plan_for(grid(), scale=2, plane="axail")
    with pytest.raises(RequestError, match=r"20 x 30 x 1 voxels has no coronal slices.*--plane axial"):
        plan_for(grid(shape=(20, 30, 1)), scale=2, plane="coronal")
    with pytest.raises(RequestError, match="has no auto slices"):
        plan_for(grid(shape=(20, 1, 1)), scale=2)
    with pytest.raises(RequestError, match="no model has scale 5x5"):
        plan_for(grid(), scale=5)
    with pytest.raises(
        RequestError, match="a scale and a spacing were given: leave out --scale or --spacing"
    ):
        plan_for(grid(), scale=2, spacing=1)
    with pytest.raises(RequestError, match="1 x 1 x 40 voxels has no slices along axis k: it is a line"):
        plan_for(grid(shape=(1, 1, 40)), scale=(1, 1, 4))


def test_the_shipped_weights_are_taken_by_default():
    assert make_plan(grid(), Request()).steps[0].passes[0].model == "espcn-r-x2"
    assert math.prod(make_plan(grid(), Request(scale=4)).steps[0].factor) == 16

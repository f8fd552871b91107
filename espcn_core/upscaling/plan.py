"""From a grid and a request to the steps that fulfil it. Nothing is computed, and no image is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from espcn_core.errors import RequestError
from espcn_core.grid import Grid
from espcn_core.models.cards import default_model, find_weights, read_card
from espcn_core.upscaling.planes import PLANES, plane_of, slice_axis_of, thickest_axis
from espcn_core.upscaling.request import AXES, Goal, Goals, Request, goals_of
from espcn_core.upscaling.steps import Pass, Plan, Step, times, voxels

__all__ = ["PLANES", "Pass", "Plan", "Request", "Step", "make_plan"]

_DEFAULT_SCALE = 2

_IN_PLANE_STAGES = {6: (3, 2), 8: (4, 2), 9: (3, 3), 12: (4, 3), 16: (4, 4)}
"""Where no network has the factor along both axes of a slice."""

_ALONG_STAGES = {
    9: (3, 3),
    10: (5, 2),
    11: (4, 3),
    12: (4, 3),
    13: (7, 2),
    14: (7, 2),
    15: (5, 3),
    16: (4, 4),
}
"""Where no network has the factor along one axis; 11 and 13 are then resampled from 12 and 14."""

Sweep = tuple[Pass, ...]
"""The passes of a step."""


def make_plan(grid: Grid, request: Request, models: Callable[[tuple[int, int]], str] = default_model) -> Plan:
    """The steps that make of a volume what is asked for.

    The axes that stand alone come first, the thickest before the others: their slices are made finer in both
    planes that hold the axis, and the results blended. Two axes of the same factor come last, as the slices
    of one plane.

    Parameters
    ----------
    grid : Grid
        Of the volume.
    request : Request
        For an oblique volume a plane is the one nearest to the anatomical plane of that name; ``auto`` takes
        the plane whose slices are thickest apart, and axial among equals.
    models : callable
        Gives the name of the weights for a factor (r_row, r_col), or raises `RequestError` if there are none.

    Raises
    ------
    RequestError
        If the request is wrong, or cannot be fulfilled for this volume or by the models that are there.
    WeightsError
        If the card of the model that the request names cannot be used.
    """
    choose = _Choice(request.model, models)
    request = _completed(grid, request, choose)
    if isinstance(request.scale, int):
        steps = _slices_alone(grid, request.scale, request.plane, choose)
    else:
        steps = _axis_by_axis(grid, goals_of(grid, request), choose)
    if steps and choose.own is not None and not choose.used:
        raise RequestError(
            f"model {request.model} has scale {times(choose.own)}, which nothing that is asked for needs: "
            "leave out --model"
        )
    return Plan(grid, steps[-1].grid if steps else grid, steps)


class _Choice:
    """The weights for a factor: the user's own if they have it."""

    def __init__(self, model: str | None, models: Callable[[tuple[int, int]], str]) -> None:
        self.own = None if model is None else read_card(find_weights(model).with_suffix(".json")).factor
        self.used = False
        self._model = model
        self._models = models

    def __call__(self, factors: tuple[int, int]) -> str:
        if self._model is not None and factors == self.own:
            self.used = True
            return self._model
        return self._models(factors)


def _completed(grid: Grid, request: Request, choose: _Choice) -> Request:
    """The request with the scale that it leaves open."""
    own, scale = choose.own, request.scale
    if scale is not None and request.spacing is not None:
        raise RequestError("a scale and a spacing were given: leave out --scale or --spacing")
    if isinstance(scale, int) and own is not None and own != (scale, scale):
        raise RequestError(
            f"model {request.model} has scale {times(own)}, not {scale}: leave out --scale or --model"
        )
    if scale is not None or request.spacing is not None:
        return request
    rows, columns = own or (_DEFAULT_SCALE, _DEFAULT_SCALE)
    if rows == columns:
        return replace(request, scale=rows)
    if rows > 1:
        raise RequestError(
            f"model {request.model} has scale {rows}x{columns}: choose one with the same for both axes, or "
            "with 1 for the rows"
        )
    slice_axis = slice_axis_of(grid, request.plane)
    i, j, k = (columns if axis == slice_axis else 1 for axis in range(3))
    return replace(request, scale=(i, j, k), plane="auto")


def _slices_alone(grid: Grid, scale: int, plane: str, choose: _Choice) -> tuple[Step, ...]:
    """Both axes of the slices of a plane by the same factor."""
    slice_axis = slice_axis_of(grid, plane)
    if any(n == 1 for axis, n in enumerate(grid.shape) if axis != slice_axis):
        raise RequestError(
            f"an image of {voxels(grid)} voxels has no {plane} slices to upscale: "
            f"use --plane {plane_of(grid, thickest_axis(grid))} or auto"
        )
    sweeps = _sweeps_in_plane(grid, slice_axis, scale, choose)
    goals = {axis: Goal.times(mm, scale) for axis, mm in enumerate(grid.spacing) if axis != slice_axis}
    return tuple(_chain(grid, sweeps, None, goals))


def _axis_by_axis(grid: Grid, goals: Goals, choose: _Choice) -> tuple[Step, ...]:
    """The axes that stand alone, then the two that make the slices of a plane, then what is interpolated."""
    slice_axis, sweeps = _equal_axes(grid, goals, choose)
    refined = [axis for axis, goal in enumerate(goals) if goal.network > 1]
    alone = [axis for axis in refined if slice_axis in (None, axis)]
    alone.sort(key=lambda axis: (-round(grid.spacing[axis], 3), -grid.world_axes[axis]))
    steps: list[Step] = []
    for axis in alone:
        along = _sweeps_along(grid, axis, goals[axis].network, choose)
        steps += _chain(grid, along, axis, {axis: goals[axis]})
        grid = steps[-1].grid
    if sweeps:
        steps += _chain(grid, sweeps, None, {axis: goals[axis] for axis in refined if axis not in alone})
        grid = steps[-1].grid
    rest = {axis: goal for axis, goal in enumerate(goals) if axis not in refined and not goal.is_there}
    return (*steps, Step((), None, _reached(grid, rest))) if rest else tuple(steps)


def _equal_axes(grid: Grid, goals: Goals, choose: _Choice) -> tuple[int | None, list[Sweep]]:
    """The axis across the slices whose own two axes have the same factor, and their passes, if there are."""
    i, j, k = (goal.network for goal in goals)
    slice_axis = thickest_axis(grid) if i == j == k else 2 if i == j else 1 if i == k else 0
    first, second = (goal.network for axis, goal in enumerate(goals) if axis != slice_axis)
    if first == second > 1:
        try:
            return slice_axis, _sweeps_in_plane(grid, slice_axis, first, choose)
        except RequestError:  # no networks for both axes at once: one after the other
            pass
    return None, []


def _sweeps_in_plane(grid: Grid, slice_axis: int, r: int, choose: _Choice) -> list[Sweep]:
    try:
        stages: Sequence[int] = (r,)
        models = [choose((r, r))]
    except RequestError:
        if r not in _IN_PLANE_STAGES:
            raise
        stages = _IN_PLANE_STAGES[r]
        models = [choose((part, part)) for part in stages]
    plane = plane_of(grid, slice_axis)
    return [
        (Pass(plane, slice_axis, (part, part), model),) for part, model in zip(stages, models, strict=True)
    ]


def _sweeps_along(grid: Grid, axis: int, r: int, choose: _Choice) -> list[Sweep]:
    """Two passes a stage, in the planes that hold the axis and whose slices are wider than a voxel."""
    across = [(a, 3 - axis - a) for a in range(3) if a != axis]  # the slice axis, the other axis of the slice
    across = [pair for pair in across if grid.shape[pair[1]] > 1]
    if not across:
        raise RequestError(
            f"an image of {voxels(grid)} voxels has no slices along axis {AXES[axis]}: it is a line"
        )
    across.sort(key=lambda pair: grid.world_axes[pair[0]])
    stages = (r,) if choose.own == (1, r) else _ALONG_STAGES.get(r, (r,))
    sweeps = []
    for part in stages:
        model = choose((1, part))
        sweeps.append(
            tuple(
                Pass(plane_of(grid, a), a, (1, part) if other < axis else (part, 1), model)
                for a, other in across
            )
        )
    return sweeps


def _chain(
    grid: Grid, sweeps: Sequence[Sweep], axis: int | None, goals: Mapping[int, Goal]
) -> Iterator[Step]:
    """The steps for axes that reach their goals by one sweep after the other."""
    end = _reached(grid, goals)
    for number, passes in enumerate(sweeps, start=1):
        grid = end if number == len(sweeps) else grid.finer(passes[0].factor)
        yield Step(passes, axis, grid)


def _reached(grid: Grid, goals: Mapping[int, Goal]) -> Grid:
    """The grid whose axes, as far as they have a goal, are there."""
    fine = grid.finer([(goals[axis].factor or 1) if axis in goals else 1 for axis in range(3)])
    spacing = [
        goals[axis].spacing if axis in goals and goals[axis].factor is None else mm
        for axis, mm in enumerate(fine.spacing)
    ]
    return fine.respaced(spacing)

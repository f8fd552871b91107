"""What is done to a volume, step by step, and the line that says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from espcn_core.grid import Grid, Triple
from espcn_core.upscaling.planes import thickest_axis
from espcn_core.upscaling.request import AXES


@dataclass(frozen=True)
class Pass:
    """One sweep of one model over the slices of one plane.

    Attributes
    ----------
    plane : str
        Anatomical name of the plane that the slices lie in.
    slice_axis : int
        Axis of the array along which the slices are counted; it keeps its size.
    factors : (r_row, r_col)
        Fine voxels per coarse voxel along the two other axes, in their order in the array.
    model : str
        Name of shipped weights, or path of a weight file. Of factors (r, 1) it has (1, r).
    """

    plane: str
    slice_axis: int
    factors: tuple[int, int]
    model: str

    @property
    def factor(self) -> Triple:
        """Fine voxels per coarse voxel along all three axes of the array."""
        factor = [*self.factors]
        factor.insert(self.slice_axis, 1)
        return factor[0], factor[1], factor[2]


@dataclass(frozen=True)
class Step:
    """What leads from one grid to the next.

    Attributes
    ----------
    passes : tuple of Pass
        One, or two of the same factor whose results are blended; none if it is only resampled.
    axis : int, optional
        Axis of the array that is made finer, if that is one alone and networks do it.
    grid : Grid
        Where the step ends. If that is no whole multiple, what the passes give is resampled onto it.
    """

    passes: tuple[Pass, ...]
    axis: int | None
    grid: Grid

    @property
    def factor(self) -> Triple:
        """Fine voxels per voxel that the passes make along all three axes of the array."""
        return self.passes[0].factor if self.passes else (1, 1, 1)


@dataclass(frozen=True)
class Plan:
    """What is done to a volume.

    Attributes
    ----------
    source, target : Grid
        Before the first and after the last step.
    steps : tuple of Step
        One after the other; none if the volume is as it was asked for.
    """

    source: Grid
    target: Grid
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        in_plane = all(step.axis is None and step.passes for step in self.steps)
        sizes = f"{_size(self.source)} -> {_size(self.target, isotropic=not in_plane)}"
        return f"{sizes}: {'; '.join(self._words()) or 'nothing to do'}"

    def _words(self) -> Iterator[str]:
        before = self.source
        for step in self.steps:
            yield _words(step, before, thickest_axis(self.source))
            before = step.grid


def _words(step: Step, before: Grid, slice_axis: int) -> str:
    """What a step does, for `Plan`."""
    made = before.finer(step.factor)
    moved = [a for a in range(3) if abs(made.spacing[a] / step.grid.spacing[a] - 1) > 1e-6]
    sizes = " x ".join(dict.fromkeys(f"{step.grid.spacing[a]:.4g}" for a in moved))
    if not step.passes:
        axes = "axes" if len(moved) > 1 else "axis"
        return f"{axes} {_and(AXES[a] for a in moved)} resampled to {sizes} mm"
    then = f", then resampled to {sizes} mm" if moved else ""
    first = step.passes[0]
    if step.axis is None:
        return f"{first.plane} slices x{times(first.factors)} by {first.model}{then}"
    name = "slice axis" if step.axis == slice_axis else f"axis {AXES[step.axis]}"
    planes = _and(p.plane for p in step.passes)
    return f"{name} x{max(first.factors)} by {first.model} in {planes}{then}"


def _and(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def times(factors: Sequence[int]) -> str:
    """Factors in words: 2 for both, or 1x4."""
    return str(factors[0]) if len(set(factors)) == 1 else "x".join(map(str, factors))


def voxels(grid: Grid) -> str:
    """The shape of a grid in words."""
    return " x ".join(map(str, grid.shape))


def _size(grid: Grid, isotropic: bool = False) -> str:
    sizes = [f"{mm:.4g}" for mm in grid.spacing]
    if isotropic and len(set(sizes)) == 1:
        return f"{voxels(grid)} at {sizes[0]} mm isotropic"
    return f"{voxels(grid)} at {' x '.join(sizes)} mm"

"""The methods that make a volume thin again along one axis, all within the same field of view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from espcn_core.degradation import SliceProfile
from espcn_core.errors import RequestError, did_you_mean
from espcn_core.evaluation.methods import itk_weights
from espcn_core.evaluation.records import Image
from espcn_core.evaluation.through.records import UNKNOWN
from espcn_core.grid import Grid
from espcn_core.models.cards import default_model, find_weights, read_card
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Plan, Request, make_plan
from espcn_core.upscaling.trust import run_with_trust
from espcn_core.upscaling.upscaler import run

NETWORKS = {"espcn-r-through": True, "espcn-r-through-free": False}
"""The networks as the command line uses them, and whether they are held to what the thick slices said."""

ADAPTED = "espcn-r-through-adapted"
"""The first of these, fine-tuned on the fine slices of each thick volume (`Adapt`)."""

Adapt = Callable[[Image, Grid, Plan, SliceProfile | None, Path], str]
"""Fine-tunes the weights of a plan on thick slices of a known profile, or of none that is known; writes them
into the folder and returns their path."""


def networks_of(adapted: bool) -> tuple[str, ...]:
    """The names of the networks in their order; the last one is free."""
    first, free = NETWORKS
    return (first, ADAPTED, free) if adapted else (first, free)


def _by_torch(mode: str) -> Callable[[int, int], npt.NDArray[np.float64]]:
    """``linear`` or ``cubic`` (a = -0.75); beyond the edge the last voxel is repeated."""

    def weights(count: int, factor: int) -> npt.NDArray[np.float64]:
        rows = torch.eye(count, dtype=torch.float64)[:, None, None]
        size = (1, count * factor)
        return functional.interpolate(rows, size, mode=mode, align_corners=False)[:, 0, 0].numpy().T

    return weights


def _by_itk(interpolator: str) -> Callable[[int, int], npt.NDArray[np.float64]]:
    return lambda count, factor: itk_weights(interpolator, count, factor)


INTERPOLATIONS: dict[str, Callable[[int, int], npt.NDArray[np.float64]]] = {
    "nearest": lambda count, factor: np.eye(count).repeat(factor, axis=0),
    "linear": _by_torch("bilinear"),
    "cubic": _by_torch("bicubic"),
    "bspline": _by_itk("sitkBSpline"),
    "lanczos": _by_itk("sitkLanczosWindowedSinc"),
}
"""Each gives the weights of ``count`` thick voxels in the thin ones, shape (count * factor, count)."""


def interpolate(name: str, thick: Image, axis: int, factor: int) -> Image:
    """A volume thin along one axis, by one of `INTERPOLATIONS`.

    Parameters
    ----------
    thick : ndarray, shape (I, J, K)
    """
    lines = torch.from_numpy(np.ascontiguousarray(np.moveaxis(thick, axis, 0)))
    weights = torch.from_numpy(INTERPOLATIONS[name](len(lines), factor).astype(thick.dtype))
    fine = (weights @ lines.flatten(1)).reshape(-1, *lines.shape[1:])
    return np.moveaxis(fine.numpy(), 0, axis)


Own = dict[tuple[int, int], str]
"""Weights by their factors."""

Cards = dict[str, dict[str, Any]]
"""The fields of each card, by its name."""


@dataclass(frozen=True)
class Networks:
    """The weights for each factor, used as the command line uses them.

    Attributes
    ----------
    own : dict
        Weight files that are taken for their factors instead of those that ship.
    engines : Engines
    """

    own: Mapping[tuple[int, int], str]
    engines: Engines

    def model(self, factors: tuple[int, int]) -> str:
        """The weights for the factors of a pass."""
        return self.own[factors] if factors in self.own else default_model(factors)

    def plan(self, grid: Grid, axis: int, factor: int) -> Plan:
        """From thick slices to thin ones."""
        i, j, k = (factor if a == axis else 1 for a in range(3))
        return make_plan(grid, Request(scale=(i, j, k)), self.model)

    def __call__(
        self,
        thick: Image,
        plan: Plan,
        stated: SliceProfile | None,
        *,
        consistent: bool,
        sure: bool = False,
    ) -> Image:
        """The thin volume, shape (I, J, K), in float32; of a profile that is None, the networks judge."""
        result = run(plan, thick, engines=self.engines, consistent=consistent, profile=stated, sure=sure)
        return result.array

    def adapted(
        self, adapt: Adapt, thick: Image, grid: Grid, axis: int, factor: int, stated: SliceProfile | None
    ) -> Image:
        """The consistent volume by weights of its own, which begin as those for the factor."""
        with TemporaryDirectory() as folder:
            weights = adapt(thick, grid, self.plan(grid, axis, factor), stated, Path(folder))
            own = Networks({**self.own, (1, factor): weights}, Engines("cpu"))
            return own(thick, own.plan(grid, axis, factor), stated, consistent=True)

    def trusted(self, thick: Image, plan: Plan, stated: SliceProfile | None) -> tuple[Image, Image]:
        """The consistent volume, and its trust map."""
        result, trust = run_with_trust(plan, thick, engines=self.engines, profile=stated)
        return result.array, trust


def find_networks(models: Sequence[str], factors: Sequence[int]) -> tuple[Own, Cards]:
    """The weights that are named for factors of theirs, and the cards of all that the factors need.

    Parameters
    ----------
    models : sequence of str
        Names of shipped weights, or paths of weight files, with factors (1, r).
    factors : sequence of int
        From thick to thin.

    Raises
    ------
    RequestError
        If a model is for other factors, two are for the same, or a factor has no weights.
    WeightsError
        If a weight file or its card cannot be used.
    """
    own: Own = {}
    for name in models:
        if name in (*INTERPOLATIONS, *networks_of(adapted=True)):
            raise RequestError(
                f"{name} is always measured through plane: name in --models only weights of scale 1xN"
            )
        factor = read_card(find_weights(name).with_suffix(".json")).factor
        if factor[0] != 1:
            raise RequestError(f"{name} has scale {factor[0]}x{factor[1]}: through plane takes those of 1xN")
        if factor in own:
            raise RequestError(f"two models of --models have scale 1x{factor[1]}: name one")
        own[factor] = name
    networks = Networks(own, Engines("cpu"))
    cards: Cards = {}
    for r in factors:
        plan = networks.plan(Grid((24, 24, 24), np.diag([1.0, 1.0, r, 1.0])), 2, r)
        for step in plan.steps:
            for only in step.passes:
                card = networks.engines.load(only.model).card
                cards[card.name] = asdict(card)
    return own, cards


def parse_profile(text: str) -> SliceProfile:
    """A profile as it is named on the command line: ``gaussian:1.2``.

    Raises
    ------
    RequestError
        If it is none.
    """
    shape, _, thickness = text.partition(":")
    if shape not in ("gaussian", "box"):
        raise RequestError(f"no slice profile is called {shape!r}{did_you_mean(shape, ['gaussian', 'box'])}")
    try:
        width = float(thickness or 1)
    except ValueError:
        raise RequestError(
            f"{text!r} is no slice profile: give its shape and thickness, as in gaussian:1.2"
        ) from None
    return SliceProfile(shape, width)


def parse_stated(text: str) -> SliceProfile | None:
    """What is known of a profile, as it is named on the command line; None for ``unknown``."""
    return None if text == UNKNOWN else parse_profile(text)


def profile_name(profile: SliceProfile | None) -> str:
    """As `parse_stated` takes it."""
    return UNKNOWN if profile is None else f"{profile.shape}:{profile.thickness:g}"

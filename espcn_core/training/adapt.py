"""Fine-tune the weights for thick slices on the fine slices of the very scan that they are to make thin."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from espcn_core.degradation import SliceProfile
from espcn_core.errors import VolumeError
from espcn_core.grid import Grid
from espcn_core.models.cards import Card
from espcn_core.models.ranges import CONTRAST_RANGE, SPACING_RANGE
from espcn_core.models.trained import load_model, save_model
from espcn_core.training.config import TrainingConfig, parse_config
from espcn_core.training.data import PatchDataset, batches, without_metadata
from espcn_core.training.engine import Loop, Status
from espcn_core.training.fine_slices import adaptable, fine_slices, thick_pairs
from espcn_core.training.precision import choose_precision
from espcn_core.training.state import RunState
from espcn_core.training.validation import Score, measure, padded
from espcn_core.upscaling.plan import Plan
from espcn_core.upscaling.slices import evenly
from espcn_core.upscaling.torch_engine import choose_device
from espcn_core.upscaling.upscaler import run

Array = npt.NDArray[Any]

_EVERY, _MOST_HELD = 8, 8
"""One slice of so many is held out, but no more than so many."""

_LONGEST_PATCH = 128
"""Pixels, of a slice that is large enough."""

_EPOCH = 200
"""Steps from one look at the held-out slices to the next."""

_LOOP: dict[str, Any] = {"batch": 4, "patches_per_slice": 2, "clip": 0.5, "loss": "l1"}
"""Where the weights' own training does not say otherwise."""

_FIXED: dict[str, Any] = {
    "through_plane": True, "optimizer": "muon", "learning_rate": 1e-3, "ema": 0.99, "steps_per_epoch": _EPOCH,
    "precision": "float32", "seed": 0,
}  # fmt: skip

_SHAPES = {"gaussian": "gaussian", "box": "area"}


@dataclass(frozen=True)
class Adapted:
    """What came of it.

    Attributes
    ----------
    network : Module
        In evaluation mode. The one that it began with, if the held-out slices did not gain.
    card : Card
        It names neither the scan nor its file.
    gain : float
        Mean PSNR of the held-out slices in dB, less that of the weights that it began with; 0 if these were
        kept.
    steps : int
        That were taken.
    seconds : float
        From the slices to the last measurement.
    held_out : int
        Slices that were held out.
    """

    network: nn.Module
    card: Card
    gain: float
    steps: int
    seconds: float
    held_out: int


def adapt(
    array: Array,
    grid: Grid,
    plan: Plan,
    profile: SliceProfile | None,
    *,
    steps: int,
    minutes: float = 0.0,
    name: str = "",
    device: str = "auto",
    watch: Callable[[Status], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Adapted:
    """Train on a scan's own slices, made thick along one of their fine axes, what a plan does across them.

    Parameters
    ----------
    array : ndarray, shape (I, J, K, *rest)
        Real numbers; of further axes the first volume is taken.
    grid : Grid
    plan : Plan
        For that grid. Its first step along one axis alone is learned; the weights of that begin.
    profile : SliceProfile, optional
        Of the thick slices, if it is known; judged by what these weights make of them, as when they upscale.
    steps : int
        Of the optimiser, at most. The same number gives the same weights.
    minutes : float
        Bound on the time of the steps; 0 for none.
    name : str
        Of the weights; by default that of those that it begins with, and ``-adapted``.
    device : {"auto", "cpu", "cuda", "mps"}
    watch : callable
        Gets the `Status` every few steps; its gain is that of the held-out slices.
    stop : callable
        Asked after each step; True ends the training there, and what there is counts.

    Raises
    ------
    RequestError
        If the plan has no such step, or two stages of it, or the slices are too few or too small.
    VolumeError
        If the values are not real numbers.
    """
    if array.dtype.kind not in "iuf":
        raise VolumeError(f"values of type {array.dtype} cannot be learned from: only real numbers can")
    step, axis = adaptable(plan)
    volume = array[(slice(None),) * 3 + (0,) * (array.ndim - 3)]
    slices = fine_slices(volume, grid, axis)
    with without_metadata(), torch.random.fork_rng(devices=()):
        alone = Plan(plan.source, step.grid, (step,))
        judged = run(alone, volume, device=device, consistent=False, profile=profile)
        profile = judged.profile or SliceProfile()
        start = step.passes[0].model
        before, card = load_model(start)
        config = _config(card, start, profile, slices[0].shape[-2:], steps, minutes, name)
        return _tuned(before, card, config, slices, profile, steps, choose_device(device), watch, stop)


def _tuned(
    before: nn.Module,
    card: Card,
    config: TrainingConfig,
    slices: Sequence[Tensor],
    profile: SliceProfile,
    steps: int,
    device: torch.device,
    watch: Callable[[Status], None],
    stop: Callable[[], bool],
) -> Adapted:
    """Some slices are held out, the others trained on, and what gained on the former is kept."""
    started = time.monotonic()
    held = evenly(range(_EVERY // 2, len(slices), _EVERY), _MOST_HELD)
    seen = [{"fine": image} for n, image in enumerate(slices) if n not in held]
    pairs = thick_pairs([slices[n] for n in held], config.factor, profile)
    baseline = measure(padded(before.to(device), config.factor), pairs, device)
    precision = choose_precision(config.precision, device)
    state = RunState.fresh(config, device, precision)
    state.schedule.plan(steps)
    mean = padded(state.ema.ema_model, config.factor)

    def score() -> Score:
        return measure(mean, pairs, device)

    loop = Loop(
        config, state, device, precision, score, baseline, watch=watch, stop=stop,
        epoch_done=lambda found, loss: state.history.append({"psnr": found.psnr, "loss": loss}),
    )  # fmt: skip
    loop.run(batches(PatchDataset(seen, config, fitted=True), config, 0))
    gain = score().psnr - baseline.psnr
    better = gain > 0  # and not NaN
    kept, gain = (state.ema.ema_model, gain) if better else (before, 0.0)
    new = _card(card, config, profile, gain, state.step, len(seen), len(held))
    return Adapted(kept.cpu().eval(), new, gain, state.step, time.monotonic() - started, len(held))


def adapted_weights(
    array: Array, grid: Grid, plan: Plan, profile: SliceProfile | None, folder: Path, *, steps: int
) -> str:
    """`adapt` on the CPU, written into a folder; returns the path of the weights."""
    found = adapt(array, grid, plan, profile, steps=steps, device="cpu")
    return str(save_model(found.network, found.card, folder))


def _config(
    card: Card, start: str, profile: SliceProfile, shape: Sequence[int], steps: int, minutes: float, name: str
) -> TrainingConfig:
    """That of the weights' own training, as far as it goes for a few steps on one scan."""
    own = card.training.get("config", {})
    factor, kind = card.factor[1], _SHAPES[profile.shape]
    patch = min(_LONGEST_PATCH, *shape)
    values = {
        **{key: own.get(key, usual) for key, usual in _LOOP.items()},
        **_FIXED,
        "name": name or f"{card.name}-adapted",
        "model": card.architecture,
        "arguments": card.arguments,
        "scale": factor,
        "start": start,
        "degradation": kind,
        "mixture": {kind: 1},
        "thickness": [profile.thickness, profile.thickness],
        "epochs": math.ceil(steps / _EPOCH),
        "minutes": minutes,
        "patch": patch - patch % factor,
        "warmup": min(50, steps // 10),
    }
    return parse_config(values)


def _card(
    start: Card, config: TrainingConfig, profile: SliceProfile, gain: float, steps: int, seen: int, held: int
) -> Card:
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("data", "device")}
    training = {
        "data": "in-plane slices of the scan itself",
        "slices": seen,
        "held_out_slices": held,
        "start": start.name,
        "start_data": start.training.get("data", "not known"),
        "steps": steps,
        "profile": f"{profile.shape}:{profile.thickness:g}",
        **{key: start.training[key] for key in (SPACING_RANGE, CONTRAST_RANGE) if key in start.training},
        "config": {**settings, "start": start.name},  # as elsewhere: no folders of this machine
    }
    metrics = {
        "gain_over_start": round(gain, 4),
        "slices": held,
        "how": f"PSNR in dB less that of {start.name}, mean over held-out slices of the same scan, made "
        "thick along either axis; peak: range of the true slice. 0: they did not gain, and the weights are "
        "as before. It says little of the axis across the slices, whose truth nobody knows",
    }
    return dataclasses.replace(
        start, name=config.name, degradation=config.degradation, training=training, metrics=metrics, sha256=""
    )

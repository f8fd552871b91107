"""A run from its configuration to trained weights with a card, in a folder of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from espcn_core.errors import DataError, RequestError
from espcn_core.figshare import FigshareSource, Split, open_source, split
from espcn_core.figshare.folds import person
from espcn_core.files import clear_leftovers, complete_file
from espcn_core.models.eight_bits import holds_eight_bits, in_eight_bits
from espcn_core.models.espcn_r import EspcnR
from espcn_core.models.trained import load_model
from espcn_core.training.config import TrainingConfig, parse_config
from espcn_core.training.data import (
    Pair,
    PatchDataset,
    batches,
    cached_slices,
    validation_pairs,
    without_metadata,
)
from espcn_core.training.engine import Loop, Status
from espcn_core.training.keeper import Keeper, weights_path
from espcn_core.training.precision import choose_precision
from espcn_core.training.ranks import ALONE, Ranks
from espcn_core.training.state import CHECKPOINT, RunState, read_checkpoint
from espcn_core.training.validation import Score, bicubic, combined, measure, padded
from espcn_core.upscaling.slices import evenly
from espcn_core.upscaling.torch_engine import choose_device

CONFIG = "config.toml"

COMMAND = f"espcn-core train --config {CONFIG} --data PATH --out RUN"
"""A run again from the file that it leaves in its folder."""


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes
    ----------
    finished : bool
        False if it was stopped: it can be resumed.
    weights : Path or None
        The best weights so far, None before the first validation; their card lies beside them.
    score, baseline : Score or None
        Of these weights and of bicubic interpolation on all held-out slices, at the end of the run.
    """

    finished: bool
    weights: Path | None
    score: Score | None = None
    baseline: Score | None = None


def begin(config: TrainingConfig, out: Path) -> None:
    """Make the folder of a new run and put the configuration into it.

    Raises
    ------
    RequestError
        If the folder holds a run already, or no data set is named.
    """
    if (out / CHECKPOINT).exists():
        raise RequestError(f"{out} holds a run already: go on with it by --resume, or name another --out")
    if not config.data:
        raise RequestError("no data set is named: give its path with --data")
    if out.exists() and not out.is_dir():
        raise RequestError(f"{out} is a file: name a folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    with complete_file(out / CONFIG) as file:
        file.write(config.to_toml().encode())


def resumable(out: Path, **overrides: Any) -> tuple[TrainingConfig, dict[str, Any]]:
    """Configuration and checkpoint of a run to go on with; ``overrides`` may name data and device anew.

    Raises
    ------
    DataError
        If there is no checkpoint, or it is damaged.
    """
    checkpoint = read_checkpoint(out)
    return parse_config({**checkpoint["config"], **overrides}), checkpoint


def restartable(config: TrainingConfig, out: Path) -> dict[str, Any]:
    """Checkpoint of the run in a folder, if it is that of this configuration.

    Raises
    ------
    RequestError
        If it is not.
    DataError
        If the checkpoint is damaged.
    """
    stored, checkpoint = resumable(out, data=config.data, device=config.device)
    if stored != config:
        raise RequestError(f"{out} holds a run with other settings: name another --out")
    return checkpoint


def train(
    config: TrainingConfig,
    out: Path,
    checkpoint: dict[str, Any] | None = None,
    *,
    command: str = COMMAND,
    say: Callable[[str], None] = lambda _: None,
    watch: Callable[[Status], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> Result:
    """Train a network, from the start or from a checkpoint.

    Parameters
    ----------
    config : TrainingConfig
    out : Path
        Folder of the run (`begin`). Gets ``checkpoint.pt``, ``log.csv``, ``tensorboard`` and the best weights
        with their card, ``<name>.safetensors`` and ``<name>.json``.
    checkpoint : dict, optional
        From `resumable`.
    command : str
        How the run is started, for the card; a resumed run keeps what its checkpoint says.
    say : callable
        Gets sentences about what happens.
    watch : callable
        Gets the `Status` every few steps.
    stop : callable
        Asked after each step; if it answers True, the run saves a checkpoint and returns.
    ranks : Ranks
        The processes that share the run. Each reads the data and makes its part of every batch and of every
        validation; the first one alone writes. All of them stop where one is asked to.

    Raises
    ------
    RequestError
        If the processes cannot share a batch evenly, or the device.
    DataError
        If the data set cannot be read, or is not the one of the checkpoint.
    EspcnError
        If the loss or the weights are no longer finite.
    """
    if ranks.leads:
        clear_leftovers(out)
    device = choose_device(config.device)
    ranks = ranks.on(device)
    precision = choose_precision(config.precision, device)
    with without_metadata(), open_source(Path(config.data)) as source:
        patients = source.patients()
        sides = _sides(source, patients, config, checkpoint)
        # what a run started from need not be there when it goes on: the checkpoint holds all weights
        first = config if checkpoint is None else dataclasses.replace(config, start="")
        state = RunState.fresh(first, device, precision)
        if checkpoint is not None:
            state.load(checkpoint)
            command = checkpoint.get("command", COMMAND)
        say(
            f"{config.name} on {device.type} in {str(precision).removeprefix('torch.')}: "
            f"{len(sides.train)} slices to train, {len(sides.validation)} of fold {config.fold} held out"
        )
        if ranks.size > 1:
            say(f"{ranks.size} processes share each batch of {config.batch}")

        def held_out(indices: Sequence[int]) -> Iterator[Pair]:
            return validation_pairs(source, ranks.part(indices), config)

        def measured(upscale: Callable[[Tensor], Tensor], pairs: Iterable[Pair]) -> Score:
            return combined(measure(upscale, pairs, device), ranks)

        pairs = list(held_out(evenly(sides.validation, config.validation_slices or None)))
        baseline = measured(bicubic(config.factor), pairs)
        say(f"bicubic: {baseline.psnr:.2f} dB, SSIM {baseline.ssim:.4f} on {baseline.slices} held-out slices")
        slices = cached_slices(source, sides.train, config)
        left_out = len(sides.train) * len(config.shrinks or [config.shrink]) - len(slices)
        if left_out:
            say(f"{left_out} slices are smaller than a patch and left out")
        patches = PatchDataset(slices, config)
        if checkpoint is None and patches.adaptive:
            state.standardise(ranks.of_first(patches.fingerprints))
        keeper = None
        if ranks.leads:
            contrast = patches.contrast()
            keeper = Keeper(config, out, state, sides, patients, contrast, baseline, command, say)
        ema = padded(state.ema.ema_model, config.factor)
        loop = Loop(
            config,
            state,
            device,
            precision,
            validate=lambda: measured(ema, pairs),
            baseline=baseline,
            epoch_done=keeper.epoch_done if keeper else lambda score, loss: None,
            watch=watch,
            stop=lambda: ranks.any(stop()),
            ranks=ranks,
        )
        finished = loop.run(batches(patches, config, state.step, ranks))
        if keeper:
            keeper.close()
        ranks.wait()  # or torchrun, which ends all when one has ended, ends the one that writes
        weights = weights_path(config, out)
        if not finished:
            return Result(False, weights if state.history else None)
        best = ranks.of_first(partial(_best, weights, config, patches)).to(device)
        del slices, patches
        say(f"measuring the best weights on all {len(sides.validation)} held-out slices")
        score, all_baseline = (
            measured(upscale, held_out(sides.validation))
            for upscale in (padded(best, config.factor), bicubic(config.factor))
        )
        if keeper:
            keeper.keep(best, score, all_baseline)
        ranks.wait()
        return Result(True, weights, score, all_baseline)


def _best(weights: Path, config: TrainingConfig, patches: PatchDataset) -> nn.Module:
    """The network of the best weights; where it is asked for, with some that 8 bits hold."""
    network, _ = load_model(weights)
    if config.eight_bits and isinstance(network, EspcnR) and not holds_eight_bits(network):
        return in_eight_bits(network, patches.examples())
    return network


def _sides(
    source: FigshareSource,
    patients: dict[int, str],
    config: TrainingConfig,
    checkpoint: dict[str, Any] | None,
) -> Split:
    """The split of the checkpoint, or a new one; no patient may be on both sides."""
    if checkpoint is None:
        sides = split(source, config.fold)
    else:
        stored = checkpoint["split"]
        sides = Split(tuple(stored["train"]), tuple(stored["validation"]), stored["fold"], stored["by"])
        missing = {*sides.train, *sides.validation} - set(source.indices)
        if missing or any(patients[i] != stored["patients"][i] for i in stored["patients"]):
            raise DataError(
                f"{config.data} is not the data set that the run began with: name that with --data"
            )
    both = {person(patients[i]) for i in sides.train} & {person(patients[i]) for i in sides.validation}
    if both:
        raise DataError(f"patient {min(both)} is on both sides of fold {config.fold}: check cvind.mat")
    return sides

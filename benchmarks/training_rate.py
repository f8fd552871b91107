"""How much of the network's own rate is left when a training step also gets its data.

    python -m benchmarks.training_rate [--data PATH] [--config recipes/espcn-r-x4.toml] [--seconds 60]

Two things take turns in short blocks on the same network: the bare step (forward, backward, optimiser) with
one batch again and again, and the step as a run takes it, with fresh patches from the loader, the learning
rate, the running mean of the weights and the engine's own work. Printed are the medians over the blocks, and
the median of the ratio over the rounds. The ratio is meant to be at least 0.90.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from espcn_core.cli.process import prepare

prepare()  # as the command line does, before torch is imported

import torch

from espcn_core.figshare import open_source
from espcn_core.training.config import read_config
from espcn_core.training.data import PatchDataset, batches, cached_slices, without_metadata
from espcn_core.training.engine import Loop
from espcn_core.training.precision import choose_precision
from espcn_core.training.state import RunState
from espcn_core.training.validation import Score
from espcn_core.upscaling.torch_engine import choose_device

ROOT = Path(__file__).parents[1]
ROUNDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT / "tests/data/figshare", help="the data set")
    parser.add_argument("--config", type=Path, default=ROOT / "recipes/espcn-r-x4.toml", help="a recipe")
    parser.add_argument("--seconds", type=float, default=60, help="time of all blocks together")
    options = parser.parse_args()

    config = dataclasses.replace(read_config(options.config), steps_per_epoch=10**9, minutes=0.0)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    deadline = 0.0
    loop = Loop(
        config,
        RunState.fresh(config, device, precision),
        device,
        precision,
        validate=lambda: Score(0.0, 0.0, 0),
        baseline=Score(0.0, 0.0, 0),
        epoch_done=lambda *_: None,
        watch=lambda _: None,
        stop=lambda: time.monotonic() >= deadline,
    )

    def rate(take_steps: Callable[[], int], seconds: float) -> float:
        """Steps per second of a function that takes steps until the deadline and counts them."""
        nonlocal deadline
        started = time.monotonic()
        deadline = started + seconds
        steps = take_steps()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return steps / (time.monotonic() - started)

    with without_metadata(), open_source(options.data) as source:
        slices = cached_slices(source, source.indices, config)
        stream = iter(batches(PatchDataset(slices, config), config, 0))
        batch = next(stream)

        def bare() -> int:
            steps = 0
            while not loop.stop():
                loop.step(batch)
                steps += 1
            return steps

        def real() -> int:
            before = loop.state.step
            loop.run(stream)
            return loop.state.step - before

        block = options.seconds / ROUNDS / 2
        rates: dict[Callable[[], int], list[float]] = {bare: [], real: []}
        for kind in rates:
            rate(kind, block)  # the first steps are slower than all others
        for number in range(ROUNDS):
            for kind in (bare, real) if number % 2 else (real, bare):
                rates[kind].append(rate(kind, block))
        stream.close()

    ratio = statistics.median(b / a for a, b in zip(rates[bare], rates[real], strict=True))
    print(
        f"{config.name} on {device.type} in {str(precision).removeprefix('torch.')}, "
        f"{torch.get_num_threads()} threads: batches of {config.batch} x {config.patch} x {config.patch}, "
        f"{ROUNDS} blocks of {block:.3g} s each"
    )
    print(f"network alone        {statistics.median(rates[bare]):8.2f} steps/s")
    print(f"step with its data   {statistics.median(rates[real]):8.2f} steps/s")
    print(f"ratio {ratio:.3f}")


if __name__ == "__main__":
    main()

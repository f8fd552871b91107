"""Where the time of a run goes: a part of `benchmarks.speed`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from benchmarks.speed_files import FILES, head
from espcn_core import volumes
from espcn_core.upscaling.engine import Engine
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.upscaler import run


def parts(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds of a run's parts, for both kinds of .nii.gz files: starting, reading, networks, writing."""
    found = {}
    for task, (shape, spacing, _) in FILES.items():
        shape = (*shape[:2], 16 if options.quick else shape[2])
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "in.nii.gz"
            nib.save(nib.Nifti1Image(head(shape), np.diag([*spacing, 1.0])), source)
            found[task] = parts_of(source, task, options.device)
        print(
            f"\nseconds of {task} .nii.gz: { ({n: round(s, 2) for n, s in found[task].items()}) }", flush=True
        )
    return found


def parts_of(source: Path, task: str, device: str) -> dict[str, float]:
    """The same for one file, which is written beside itself."""
    seconds = {"start": starting()}
    engines, marks = Engines(device, "auto", "auto"), [time.perf_counter()]

    def mark(name: str) -> None:
        marks.append(time.perf_counter())
        seconds[name] = marks[-1] - marks[-2]

    volume = volumes.read(source)
    mark("read")
    request = Request(scale=2, plane="axial") if task == "x2" else Request(spacing="isotropic")
    plan = make_plan(volume.grid, request)
    models = {only.model for step in plan.steps for only in step.passes}
    with Counted([engines.load(model) for model in models]) as networks:
        mark("load")
        result = run(plan, volume.array, engines=engines)
        mark("run")
    seconds["networks, of it"] = networks.seconds
    volumes.write(volume.on(result.array, plan.target), source.with_name("out.nii.gz"))
    mark("write")
    return seconds


class Counted:
    """Adds up the time in which engines compute their networks, one or several at once."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.seconds = 0.0
        self._running, self._since, self._lock = 0, 0.0, threading.Lock()
        self._kinds = {type(engine): type(engine).start for engine in engines}

    def __enter__(self) -> Counted:
        for kind, start in self._kinds.items():
            kind.start = self._timed(start)  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        for kind, start in self._kinds.items():
            kind.start = start  # type: ignore[method-assign]

    def _timed(self, start: Callable[..., Any]) -> Callable[..., Any]:
        def timed(engine: Engine, padded: torch.Tensor) -> Any:
            self._count(1)
            try:
                return start(engine, padded)
            finally:
                self._count(-1)

        return timed

    def _count(self, more: int) -> None:
        with self._lock:
            now = time.perf_counter()
            if self._running:
                self.seconds += now - self._since
            self._since = now
            self._running += more


def starting() -> float:
    """Seconds from nothing to the first line of a command that needs torch."""
    code = (
        "from espcn_core.cli.process import import_less, leaving, prepare\n"
        "with leaving():\n    prepare()\n    import_less()\n    import espcn_core.cohort.run"
    )
    return min(seconds_of(code) for _ in range(4))


def seconds_of(code: str) -> float:
    """Of a process of its own."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started

"""Which engine is faster on this machine: measured once for each network, and remembered."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from espcn_core.files import complete_file
from espcn_core.models.trained import load_model
from espcn_core.upscaling.engine import Engine
from espcn_core.upscaling.precision import openvino_precision

_ROUNDS = 4


def is_openvino_faster(model: str, precision: str, by_torch: Callable[[], Engine]) -> bool:
    """Whether OpenVINO runs a network faster than torch does.

    The answer is kept in the user's cache folder, under the versions of both, the processor, the number of
    threads, the hash of the weights and what was asked for. Where it cannot be kept, it is measured each
    time; an OpenVINO that fails is not faster.

    Parameters
    ----------
    model : str
        Name of shipped weights, or a weight file.
    precision : str
        What is asked for (`openvino_precision`).
    by_torch : callable
        Gives the network, run by torch on the CPU, as it does with that precision; called if it is measured.
    """
    network, card = load_model(model)
    path = _remembered_in()
    known = _read(path)
    key = " ".join(
        [
            *(importlib.metadata.version(name) for name in ("torch", "openvino")),
            platform.processor() or platform.machine(),
            torch.backends.cpu.get_cpu_capability(),
            str(torch.get_num_threads()),
            precision,
            openvino_precision(precision, network),
            card.sha256[:16],
        ]
    )
    if key not in known:
        known[key] = _measured(model, precision, by_torch())
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with complete_file(path) as file:
                file.write(json.dumps(known, indent=1).encode())
    return known[key]


def _measured(model: str, precision: str, by_torch: Engine) -> bool:
    try:
        from espcn_core.upscaling.openvino_engine import OpenVINOEngine

        by_openvino = OpenVINOEngine(model, precision)
        batch = torch.linspace(0, 1, 2**14).reshape(1, 1, 128, 128).repeat(4, 1, 1, 1)
        engines = [engine.adapted(list(batch[:, 0])) for engine in (by_torch, by_openvino)]
        times: list[list[float]] = [[], []]
        for _ in range(_ROUNDS):
            for engine, found in zip(engines, times, strict=True):
                started = time.perf_counter()
                for _ in engine(batch):
                    pass
                found.append(time.perf_counter() - started)
    except Exception:  # whatever is wrong with a package that is not needed, torch does it
        return False
    return min(times[1]) < min(times[0])


def _remembered_in() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("espcn-core", appauthor=False) / "engines.json"


def _read(path: Path) -> dict[str, bool]:
    """What was measured before; nothing if the file is missing or is not what was written."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and all(isinstance(v, bool) for v in known.values()) else {}

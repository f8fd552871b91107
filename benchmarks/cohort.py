"""A cohort of small volumes, some of them bad: what comes out, memory, time per file, and a rerun.

python -m benchmarks.cohort
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil

SHAPE = (12, 10, 4)
AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])
ENGINE = ("--engine", "torch", "--precision", "fp32", "--device", "cpu")


def main(words: Sequence[str] | None = None) -> None:
    """Make the volumes, run the real command, and compare with a plain loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="volumes in all")
    parser.add_argument("--bad", type=int, default=137, help="of which bad")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--alone", type=int, default=10, help="volumes upscaled by a command of their own")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Print what came out."""
    model = small_model(folder)
    good, bad = make_cohort(folder / "in", options.count, options.bad)
    say(f"{len(good)} good volumes of {SHAPE}, {len(bad)} bad in {len(BAD)} ways")

    looped = plain_loop(folder, good, model)
    say(f"a loop of read, upscale, write: {1000 * looped / len(good):.1f} ms a file")

    call = ("upscale", folder / "in", "-o", folder / "out", "--model", model, *ENGINE, "--quiet")
    jobs = ("--jobs", options.jobs)
    run = follow([*call, *jobs, "--log", folder / "log"], folder / "log")
    each = 1000 * run.seconds / options.count
    say(f"--jobs {options.jobs}: {run.seconds:.1f} s, {each:.1f} ms a file in all")
    events = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    named = {Path(event["input"]).name for event in events if event.get("state") == "failed"}
    same = sum(digest(folder / "out" / path.name) == digest(folder / "loop" / path.name) for path in good)
    left = {path.name for path in (folder / "out").iterdir()} - {path.name for path in good}
    say(f"right, equal to those of the loop: {same} of {len(good)}")
    say(f"named as failed: {len(named)}, all of them bad: {named == {path.name for path in bad}}")
    say(f"exit code {run.code}; else in the output folder: {', '.join(sorted(left))}")
    say(f"memory of the parent: {run.first:.0f} MB at the first file, at most {run.most:.0f} MB")

    again = follow([*call, *jobs, "--existing", "resume", "--log", folder / "log2"], folder / "log2")
    counts = json.loads((folder / "log2").read_text().splitlines()[-1])
    states = ", ".join(f"{counts[state]} {state}" for state in ("done", "skipped", "failed"))
    say(f"rerun: {again.seconds:.1f} s, {states}")

    one = follow(["upscale", good[0], "-o", folder / "first", "--model", model, *ENGINE, "--quiet"])
    alone = [*call[:1], *good, *("-o", folder / "single"), *call[4:]]
    whole = follow(alone)
    over = (whole.seconds - one.seconds - looped * (len(good) - 1) / len(good)) / (len(good) - 1)
    say(f"one process: {whole.seconds:.1f} s; beyond the loop and the start of {one.seconds:.1f} s: "
        f"{1000 * over:.1f} ms a file")  # fmt: skip

    for path in good[:: max(1, len(good) // options.alone)][: options.alone]:
        follow(["upscale", path, "-o", folder / "alone" / path.name, "--model", model, *ENGINE, "--quiet"])
    lone = list((folder / "alone").iterdir())
    equal = sum(digest(path) == digest(folder / "out" / path.name) for path in lone)
    say(f"equal to those of a command of their own: {equal} of {len(lone)}")


def small_model(folder: Path) -> Path:
    """An untrained network of scale 2."""
    import torch

    from espcn_core.models.cards import Card
    from espcn_core.models.registry import build
    from espcn_core.models.trained import save_model

    torch.manual_seed(1)
    arguments = {"width": 8, "depth": 1}
    network = build("espcn-r", (2, 2), **arguments)
    torch.nn.init.normal_(network.get_parameter("sub_pixels.weight"), std=0.05)
    return save_model(network, Card("small", "espcn-r", (2, 2), "bicubic", arguments), folder)


def make_cohort(folder: Path, count: int, bad: int) -> tuple[list[Path], list[Path]]:
    """Good and bad volumes in a folder; the same every time."""
    folder.mkdir()
    draw = np.random.default_rng(7)
    places = set(draw.choice(count, bad, replace=False).tolist())
    right, wrong = [], []
    for number in range(count):
        values = draw.integers(0, 1000, SHAPE).astype(np.int16)
        whole = nib.Nifti1Image(values, AFFINE).to_bytes()
        if number in places:
            path = folder / f"{number:05}.nii{'.gz' * (number % 2)}"
            kinds = list(BAD.values())
            wrong.append(kinds[len(wrong) % len(kinds)](path, whole))
        else:
            path = folder / f"{number:05}.nii.gz"
            path.write_bytes(gzip.compress(whole, 1, mtime=0))
            right.append(path)
    return right, wrong


def _bytes(ending: str, change: Callable[[bytes], bytes]) -> Callable[[Path, bytes], Path]:
    def write(path: Path, whole: bytes) -> Path:
        path = path.with_name(path.name.partition(".")[0] + ending)
        path.write_bytes(change(whole))
        return path

    return write


def _patched(whole: bytes, at: int, new: bytes) -> bytes:
    return whole[:at] + new + whole[at + len(new) :]


def _link(path: Path, whole: bytes) -> Path:
    path.symlink_to("gone.nii")
    return path


def _pipe(path: Path, whole: bytes) -> Path:
    os.mkfifo(path)
    return path


def _int16(*numbers: int) -> bytes:
    return np.array(numbers, np.int16).tobytes()


BAD: dict[str, Callable[[Path, bytes], Path]] = {
    "cut short": _bytes(".nii", lambda whole: whole[:-100]),
    "compressed, cut short": _bytes(".nii.gz", lambda whole: gzip.compress(whole)[:-200]),
    "compressed, checksum differs": _bytes(".nii.gz", lambda whole: gzip.compress(whole)[:-8] + bytes(8)),
    "empty": _bytes(".nii", lambda whole: b""),
    "text": _bytes(".nii", lambda whole: b"not an image\n" * 100),
    "colours": _bytes(".nii", lambda whole: _patched(whole, 70, _int16(128, 24))),
    "complex numbers": _bytes(".nii", lambda whole: _patched(whole, 70, _int16(32, 64))),
    "huge": _bytes(".nii", lambda whole: _patched(whole, 40, _int16(3, 30000, 30000, 30000))),
    "compressed without saying so": _bytes(".nii", gzip.compress),
    "said to be compressed": _bytes(".nii.gz", lambda whole: whole),
    "a link to nowhere": _link,
    "a pipe": _pipe,
}


def plain_loop(folder: Path, files: Sequence[Path], model: Path) -> float:
    """Seconds of a loop without anything around it, in a process with one thread."""
    words = [[str(path) for path in files], str(folder / "loop"), str(model)]
    (folder / "loop.json").write_text(json.dumps(words))
    code = "import json, sys; from benchmarks.cohort import loop; loop(*json.load(open(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(folder / "loop.json")]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def loop(files: Sequence[str], target: str, model: str) -> None:
    """What `plain_loop` runs in the other process; prints seconds."""
    import torch

    from espcn_core import volumes
    from espcn_core.upscaling.engines import Engines
    from espcn_core.upscaling.plan import Request, make_plan
    from espcn_core.upscaling.upscaler import run

    torch.set_num_threads(1)
    Path(target).mkdir()
    engines = Engines("cpu")
    engines.load(model)
    started = time.perf_counter()
    for path in files:
        volume = volumes.read(path)
        plan = make_plan(volume.grid, Request(model=model))
        result = run(plan, volume.array, engines=engines)
        volumes.write(volume.on(result.array, plan.target), Path(target) / Path(path).name)
    print(time.perf_counter() - started)


class Followed:
    """A command that was run: its exit code, seconds, and memory in MB."""

    code: int
    seconds: float
    first = 0.0
    most = 0.0


def follow(words: Sequence[Any], log: Path | None = None) -> Followed:
    """Run ``espcn-core``; its memory is looked at from the first file in the log on."""
    found = Followed()
    started = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    process = subprocess.Popen(
        [sys.executable, "-m", "espcn_core", *map(str, words)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    memory = psutil.Process(process.pid)
    while process.poll() is None:
        time.sleep(0.02 if log is None else 0.1)
        if log is None or not log.exists():
            continue
        with open(log, "rb") as file:
            begun = file.read(4096).count(b"\n") > 1
        if begun:
            try:
                rss = memory.memory_info().rss / 1e6
            except psutil.Error:
                continue
            found.first = found.first or rss
            found.most = max(found.most, rss)
    found.seconds, found.code = time.perf_counter() - started, process.returncode
    return found


def digest(path: Path) -> str:
    """Of a file's bytes; empty if it is not there."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def say(line: str) -> None:
    """At once, for the whole takes minutes."""
    print(line, flush=True)


if __name__ == "__main__":
    main()

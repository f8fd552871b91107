"""Damaged inputs for every reader: each must be read, or refused in one sentence.

Run as ``python -m benchmarks.fuzz [--count N] [--seconds S] [--only NAME] [--seed N]``. Input i of a reader
depends on the seed and i alone. A worker process reads them one by one, and this one watches it: an input
that ends the worker or takes longer than five seconds costs a new worker. What fails is printed with the
line that repeats it, its files are kept in ``--keep``, and the exit code is 1. POSIX only.
"""

from __future__ import annotations

import argparse
import json
import mmap
import multiprocessing
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.fuzz_mutations import mutated
from benchmarks.fuzz_targets import CANARY, TARGETS, Target
from espcn_core.errors import EspcnError

SECONDS = 5.0
"""Longest time for one input."""

MEMORY = 64 << 20
"""Bytes by which the peak of a process may grow with one input, beyond twice what the input declares."""

ADDRESSES = 4 << 30
"""Bytes of address space that a worker may ask for, touched or not, beyond those of its start."""

LONGEST = 1000
"""Characters of a message."""

_STATE = struct.Struct("dqq")  # when the input began (0: at work on none), its number, and how many were read


def files_of(target: Target, name: str, seed: int, number: int, good: list[Any]) -> dict[str, bytes]:
    """The files of an input."""
    rng = random.Random(f"{seed} {name} {number}")
    return mutated(rng.choice(good), good, rng)


def work(name: str, seed: int, first: int, count: int, state: mmap.mmap, found: Path) -> None:
    """Read inputs one by one, in a process of its own; what fails is a line in the file ``found``."""
    target = TARGETS[name]
    good = target.inputs()
    warnings.simplefilter("always")
    warnings.simplefilter("ignore", ResourceWarning)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=found.parent))
    said = os.open(found.parent / "said", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    target_of_good = {part.name: part.packed(part.plain) for part in good[0]}
    _judged(target, _put(folder / "good", target_of_good), said)  # imports are no memory of an input
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + ADDRESSES, resource.RLIM_INFINITY))
    read = 0
    for number in range(first, first + count):
        place = _put(folder / str(number), files_of(target, name, seed, number, good))
        state[: _STATE.size] = _STATE.pack(time.monotonic(), number, read)
        wrong, accepted = _judged(target, place, said)
        read += accepted
        state[: _STATE.size] = _STATE.pack(0, number + 1, read)
        if wrong is not None:
            with found.open("a") as file:
                file.write(json.dumps({"number": number, "wrong": wrong}) + "\n")
        shutil.rmtree(place)


def _judged(target: Target, place: Path, said: int) -> tuple[str | None, bool]:
    """What is wrong with how an input was taken, and whether it was read."""
    before, declared, accepted, wrong = _peak(), 0, False, None
    size = sum(file.stat().st_size for file in place.iterdir())
    try:
        declared = target.read(place)
        accepted = True
    except EspcnError as error:
        text = str(error).replace(str(place), "")
        if CANARY.lower() in text.lower():
            wrong = f"the header's text is in the message: {text!r}"
        elif not text.isprintable() or len(text) > LONGEST:
            wrong = f"a message of {len(text)} characters is not one plain line: {text[:200]!r}"
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "espcn_core" in f.filename] or list(frames)
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        wrong = f"{type(error).__name__} at {where}: {str(error)[:200]!r}"
    grown = _peak() - before
    if grown > MEMORY + 2 * max(declared, size):
        wrong = wrong or f"the peak of memory grew by {grown >> 20} MB, for {max(declared, size)} bytes"
    if printed := os.fstat(said).st_size:
        text = os.pread(said, 300, 0).decode(errors="replace")
        wrong = wrong or f"{printed} bytes were printed: {text!r}"
        os.ftruncate(said, 0)
        os.lseek(said, 0, os.SEEK_SET)
    return wrong, accepted


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _put(place: Path, files: dict[str, bytes]) -> Path:
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


def watched(name: str, options: argparse.Namespace, count: int) -> tuple[int, int, list[tuple[int, str]]]:
    """How many inputs of a reader were run and how many of them read, and what failed."""
    context = multiprocessing.get_context("spawn")
    number, read, failed = options.first, 0, []
    end, started = options.first + count, time.monotonic()
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    while number < end:
        with tempfile.TemporaryDirectory(dir=base) as folder:
            found, shared = Path(folder) / "found", Path(folder) / "state"
            shared.write_bytes(_STATE.pack(0, number, 0))
            worker = context.Process(
                target=_mapped, args=(name, options.seed, number, end - number, shared, found)
            )
            worker.start()
            ended = None
            while worker.is_alive():
                worker.join(0.1)
                begun, number, more = _STATE.unpack(shared.read_bytes())
                if begun and time.monotonic() - begun > SECONDS:
                    ended = f"longer than {SECONDS:g} s"
                elif options.seconds and time.monotonic() - started > options.seconds:
                    ended = "out of time"
                if ended:
                    worker.kill()
                    worker.join()
            begun, number, more = _STATE.unpack(shared.read_bytes())
            read += more
            if found.exists():
                failed += [(line["number"], line["wrong"]) for line in map(json.loads, found.open())]
            if ended == "out of time":
                break
            if worker.exitcode != 0:
                if not begun and number == options.first:
                    raise SystemExit(f"{name}: the worker did not start (exit code {worker.exitcode})")
                failed.append((number, ended or f"the process ended with exit code {worker.exitcode}"))
                number += 1
    return number - options.first, read, failed


def _mapped(name: str, seed: int, first: int, count: int, shared: Path, found: Path) -> None:
    with shared.open("r+b") as file, mmap.mmap(file.fileno(), 0) as state:
        work(name, seed, first, count, state, found)


def main() -> None:
    options = _options()
    names = options.only or list(TARGETS)
    share = sum(TARGETS[name].share for name in names)
    failures = inputs = 0
    started = time.monotonic()
    for name in names:
        count = max(1, round(options.count * TARGETS[name].share / share))
        begun = time.monotonic()
        run, read, failed = watched(name, options, count)
        took = time.monotonic() - begun
        print(f"{name}: {run:,} inputs, {read:,} read, {run - read - len(failed):,} refused, "
              f"{len(failed)} failed, {run / took:,.0f} a second", flush=True)  # fmt: skip
        for number, wrong in _first_of_each(failed):
            _keep(options, name, number)
            repeat = f"--only {name} --seed {options.seed} --first {number} --count 1"
            print(f"  {wrong}\n  python -m benchmarks.fuzz {repeat}")
        inputs, failures = inputs + run, failures + len(failed)
    print(f"{inputs:,} inputs in {time.monotonic() - started:,.0f} s, {failures} failed")
    sys.exit(int(failures > 0))


def _first_of_each(failed: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """One input of each kind of failure."""
    seen = set()
    for number, wrong in sorted(failed):
        kind = wrong.partition(":")[0][:60]
        if kind not in seen:
            seen.add(kind)
            yield number, wrong


def _keep(options: argparse.Namespace, name: str, number: int) -> None:
    target = TARGETS[name]
    place = options.keep / f"{name}-{options.seed}-{number}"
    if not place.exists():
        options.keep.mkdir(parents=True, exist_ok=True)
        _put(place, files_of(target, name, options.seed, number, target.inputs()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=210_000, help="inputs of all readers together")
    parser.add_argument("--seconds", type=float, default=0, help="most time for each reader; 0 for none")
    parser.add_argument(
        "--only", action="append", choices=TARGETS, help="a reader; may be given several times"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to repeat one")
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz-failures"), help="folder for inputs that fail"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

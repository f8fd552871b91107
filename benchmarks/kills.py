"""A cohort that is killed, interrupted, out of space, or run twice: what is left, and what a rerun does.

    python -m benchmarks.kills

The parts with a file system of their own need the right to mount one, and say so if it is not there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cohort import ENGINE, digest, make_cohort, small_model

STEPS = (
    "os.fsync", "os.replace", "fcntl.flock", "pathlib.Path.mkdir", "espcn_core.cohort.work.hashed",
    *(f"espcn_core.cohort.manifest.Manifest.{name}"
      for name in ("__init__", "begin_run", "expect", "start", "finish", "__exit__")),
)  # fmt: skip

INJECTED = """
import importlib, os, signal, sys
place, call, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
del sys.argv[1:4]
for module in ("fcntl", "espcn_core.cohort.manifest", "espcn_core.cohort.work", "espcn_core.cli"):
    importlib.import_module(module)
owner, name = place.rsplit(".", 1)
parts = owner.split(".")
for n in range(len(parts), 0, -1):
    if ".".join(parts[:n]) in sys.modules:
        owner = sys.modules[".".join(parts[:n])]
        for part in parts[n:]:
            owner = getattr(owner, part)
        break
whole, calls = getattr(owner, name), 0
def killing(*args, **options):
    global calls
    calls += 1
    if calls == call and when == "before":
        os.killpg(0, signal.SIGKILL)
    result = whole(*args, **options)
    if calls == call:
        os.killpg(0, signal.SIGKILL)
    return result
setattr(owner, name, killing)
from espcn_core.cli import main
main()
"""


class Trial:
    """Inputs, their right results, and an output folder that is looked at after each accident."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.inputs, self.model = folder, folder / "in", small_model(folder)
        good, _ = make_cohort(self.inputs, count, 0)
        self.names = [path.name for path in good]
        right = folder / "right"
        assert self.start(right).wait() == 0
        self.right = {name: digest(right / name) for name in self.names}

    def start(
        self, out: Path, *words: Any, command: Sequence[str] = ("-m", "espcn_core")
    ) -> subprocess.Popen[str]:
        """A run in a process group of its own."""
        call = [sys.executable, *command, "upscale", self.inputs, "-o", f"{out}/", "--model", self.model]
        return subprocess.Popen(
            [*map(str, [*call, *ENGINE, "--quiet", "--existing", "resume", *words])],
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def wrong(self, out: Path) -> list[str]:
        """Names in an output folder that are not what a run without accidents gives."""
        return [p.name for p in out.iterdir() if p.name[0] != "." and digest(p) != self.right.get(p.name)]

    def completes(self, out: Path, *words: Any) -> bool:
        """Whether a rerun does the rest, and nothing is left but results and the manifest."""
        code = self.start(out, *words).wait()
        left = {path.name for path in out.iterdir()}
        return code == 0 and left == {*self.names, ".espcn-core.sqlite"} and not self.wrong(out)

    def fresh(self) -> Path:
        """An output folder that is not there yet."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        return out


def main(words: Sequence[str] | None = None) -> None:
    """Run all parts, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--count", type=int, default=200, help="volumes")
    options = parser.parse_args(words)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), options.count)
        say(f"{options.count} small volumes")
        at_random(trial, options.kills)
        at_each_step(trial)
        interrupted(trial, max(2, options.kills // 5))
        two_at_once(trial)
        deleted_input(trial)
        small_disks(trial)


def at_random(trial: Trial, kills: int) -> None:
    """SIGKILL of the whole group at random moments of runs of one process and of three."""
    draw, wrong, complete, parts = random.Random(3), 0, 0, []
    for number in range(kills):
        jobs = 1 + number % 2
        out = trial.fresh()
        process = trial.start(out, "--jobs", jobs)
        await_manifest(out)
        time.sleep(draw.uniform(0, 1.2 if jobs == 1 else 3.0))
        kill(process)
        parts.append(sum(path.name[0] != "." for path in out.iterdir()))
        wrong += len(trial.wrong(out))
        complete += trial.completes(out, "--jobs", jobs)
    inside = sum(0 < part < len(trial.names) for part in parts)
    say(f"{kills} kills at random, {inside} of them with some results there and some not: "
        f"{wrong} files wrong, {complete} reruns complete")  # fmt: skip


def at_each_step(trial: Trial) -> None:
    """SIGKILL before and after the first and a later call of everything that writes."""
    killed = wrong = complete = 0
    trials = [(step, call, when) for step in STEPS for call in (1, 5) for when in ("before", "after")]
    for step, call, when in trials:
        out = trial.fresh()
        process = trial.start(out, command=["-c", INJECTED, step, str(call), when])
        killed += process.wait() == -signal.SIGKILL
        wrong += len(trial.wrong(out)) if out.exists() else 0
        complete += trial.completes(out)
    say(f"{killed} kills at the steps of writing ({len(trials) - killed} have no such call): "
        f"{wrong} files wrong, {complete} of {len(trials)} reruns complete")  # fmt: skip


def interrupted(trial: Trial, times: int) -> None:
    """Ctrl-C of the whole group at random moments, once and twice."""
    for signals in (1, 2):
        draw, seconds, codes, wrong, complete, running = random.Random(5), [], [], 0, 0, 0
        for number in range(times):
            out = trial.fresh()
            process = trial.start(out, "--jobs", 1 + number % 2)
            await_manifest(out)
            time.sleep(draw.uniform(0, 1.0))
            sent = time.perf_counter()
            for _ in range(signals):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
                time.sleep(0.05)
            codes.append(process.wait())
            seconds.append(time.perf_counter() - sent)
            status = [sys.executable, "-m", "espcn_core", "status", str(out), "--json"]
            counts = json.loads(subprocess.run(status, check=True, capture_output=True).stdout)["counts"]
            there = sum(path.name[0] != "." for path in out.iterdir())
            running += not counts["done"] <= there <= counts["done"] + counts["waiting"]
            wrong += len(trial.wrong(out))
            complete += trial.completes(out)
        say(f"Ctrl-C {signals} time(s), {times} runs: at most {max(seconds):.1f} s, exit codes {set(codes)}, "
            f"{wrong} files wrong, {running} manifests wrong, {complete} reruns complete")  # fmt: skip


def two_at_once(trial: Trial) -> None:
    """Two runs into one folder at the same time."""
    out = trial.fresh()
    out.mkdir()
    both = [trial.start(out) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    codes = sorted(process.returncode for process in both)
    sentence = next(line for line in said if line).strip()
    say(
        f"two runs at once: exit codes {codes}, {len(trial.wrong(out))} files wrong: "
        f"{sentence.replace(str(out), 'OUT')}"
    )


def deleted_input(trial: Trial) -> None:
    """An input that goes while the run is on."""
    out, last = trial.fresh(), trial.inputs / trial.names[-1]
    content = last.read_bytes()
    process = trial.start(out)
    await_manifest(out)
    last.unlink()
    error = process.communicate()[1]
    wrong, code = trial.wrong(out), process.returncode
    last.write_bytes(content)
    say(f"input deleted during the run: exit code {code}, named: {last.name in error}, "
        f"{len(wrong)} files wrong, "
        f"rerun complete: {trial.completes(out)}")  # fmt: skip


def small_disks(trial: Trial) -> None:
    """Disks that are full, have no more inodes, or are read-only."""
    size = sum(path.stat().st_size for path in (trial.folder / "right").iterdir())
    blocks = len(trial.names) * 4096
    for what, small, large in (
        ("disk full", f"size={blocks // 2 + size // 4 + 200_000}", "size=64m"),
        ("no inode left", f"size=64m,nr_inodes={len(trial.names) // 2}", "size=64m,nr_inodes=100k"),
    ):
        with mounted(trial.folder / "disk", small) as out:
            if out is None:
                say(f"{what}: not tried, for nothing can be mounted here")
                continue
            process = trial.start(out, "--jobs", 2)
            error = process.communicate()[1].strip().splitlines()
            there, wrong = len([p for p in out.iterdir() if p.name[0] != "."]), trial.wrong(out)
            mount(out, f"remount,{large}")
            said = (error or [""])[-1].replace(str(out), "OUT")
            say(f"{what}: exit code {process.returncode}, {there} results there, {len(wrong)} files wrong, "
                f"rerun complete: {trial.completes(out)}; said: {said}")  # fmt: skip
    with mounted(trial.folder / "disk", "size=64m") as out:
        if out is None:
            say("read-only output: not tried, for nothing can be mounted here")
            return
        mount(out, "remount,ro")
        process = trial.start(out)
        error = process.communicate()[1].strip()
        left = list(out.iterdir())
        mount(out, "remount,rw")
        say(f"read-only output: exit code {process.returncode}, {len(left)} files there, "
            f"rerun complete: {trial.completes(out)}; said: {error.replace(str(out), 'OUT')}")  # fmt: skip


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[Path | None]:
    """A small file system in memory; None where that is not allowed."""
    place.mkdir(exist_ok=True)
    try:
        mount(place, options)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def mount(place: Path, options: str) -> None:
    """Mount or remount it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, capture_output=True)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the whole group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def await_manifest(out: Path) -> None:
    """Wait until a run writes into its folder."""
    end = time.monotonic() + 60
    while not (out / ".espcn-core.sqlite").exists() and time.monotonic() < end:
        time.sleep(0.01)


def say(line: str) -> None:
    """At once, for the whole takes minutes."""
    print(line, flush=True)


if __name__ == "__main__":
    main()

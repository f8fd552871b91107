"""A report of many volumes, whose pictures are as large as they get: bytes, time and memory, and Chromium.

python -m benchmarks.report_page
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil

from espcn_core.cohort.glance import Glance, glance_at
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.manifest import Manifest
from espcn_core.cohort.page import Call, write_page
from espcn_core.cohort.work import Outcome
from espcn_core.grid import Grid
from espcn_core.volumes import Volume

PLAN = "256 x 256 x 20 at 1 x 1 x 5 mm -> 512 x 512 x 20 at 0.5 x 0.5 x 5 mm: axial slices x2 by espcn-r-x2"
_TIMED = (
    '<script>addEventListener("load", () => document.body.replaceChildren('
    "`loaded in ${performance.now() / 1000} s`))</script>"
)


def main(words: Sequence[str] | None = None) -> None:
    """Make the page, and print what it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="volumes")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.count)


def measure(folder: Path, count: int) -> None:
    jobs = [Job(Path(f"sub-{n:05}_T1w.nii.gz"), folder / f"sub-{n:05}_T1w.nii.gz") for n in range(count)]
    glances = [noise(seed) for seed in range(10)]
    with Manifest(folder) as manifest:
        manifest.begin_run(1, "")
        manifest.expect(jobs, "", [1] * count)
        for outcome in outcomes(jobs, glances):
            manifest.finish(outcome, "{}")
    page = folder / "report.html"
    before, started = psutil.Process().memory_info().rss, time.perf_counter()
    write_page(page, jobs, folder, Call(["in"], "out", {"Scale": "2"}, 1.0))
    seconds, more = time.perf_counter() - started, psutil.Process().memory_info().rss - before
    print(f"{count} volumes: {page.stat().st_size / count / 1000:.1f} kB each")
    print(f"written in {seconds:.1f} s with {more / 1e6:.0f} MB more in memory")
    print(f"Chromium: {loaded(page)}")


def noise(seed: int) -> Glance:
    """Pictures of noise, which are as large as pictures may be."""
    grid = Grid((128, 128, 3), np.diag([1.0, 1.0, 5.0, 1.0]))
    values = np.random.default_rng(seed).normal(size=grid.shape)
    volumes = []
    for factor in ((1, 1, 1), (2, 2, 1)):
        finer = grid.finer(factor)
        array = np.repeat(np.repeat(values, factor[0], 0), factor[1], 1)
        volumes.append(Volume(np.asfortranarray(array), finer, None, 3))
    return glance_at(*volumes)


def outcomes(jobs: Sequence[Job], glances: Sequence[Glance]) -> Iterator[Outcome]:
    """One in a hundred failed."""
    for n, job in enumerate(jobs):
        if n % 100 == 0:
            yield Outcome(job, "failed", error=f"{job.source} is no volume: convert it")
            continue
        glance = dataclasses.replace(glances[n % len(glances)], difference=n / len(jobs) / 50)
        yield Outcome(job, "done", plan=PLAN, notes=("a sentence of a warning, " * 4,), glance=glance)


def loaded(page: Path) -> str:
    """What Chromium says after it has loaded a page from the disk."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        return "is not installed"
    timed = page.with_name("timed.html")
    timed.write_text(page.read_text().replace("</main>", f"</main>{_TIMED}"))
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", timed.as_uri()]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"loaded in [\d.]+", printed)
    return f"{float(found[0].split()[-1]):.1f} s to load" if found else "did not load it"


if __name__ == "__main__":
    main()

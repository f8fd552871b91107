"""What a cluster costs: the client and scheduler for each task, measured; then 100,000 volumes, simulated.

python -m benchmarks.cluster
"""

from __future__ import annotations

import argparse
import heapq
import math
import pickle
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from espcn_core.cohort import cluster, cluster_worker
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.manifest import Manifest
from espcn_core.cohort.stamps import Stamp
from espcn_core.cohort.work import Outcome, Wanted
from espcn_core.cohort.worker import Setup
from espcn_core.upscaling.plan import Request

STAMP = Stamp(10_000_000, 1_700_000_000_000_000_000, "a" * 64)
RESTART = 60.0  # seconds until a worker that died has another in its place
SPREAD = 0.5  # of the logarithm of a volume's time


def main(words: Sequence[str] | None = None) -> None:
    """Measure, then simulate with what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=int, default=3000, help="that do nothing, for the measurement")
    parser.add_argument("--volumes", type=int, default=100_000, help="in the simulation")
    parser.add_argument("--workers", type=int, default=64, help="in the simulation")
    parser.add_argument("--life", type=float, default=24.0, help="mean hours until a worker dies")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            Job(Path(folder, "in", f"{n}.nii.gz"), Path(folder, f"{n}.nii.gz")) for n in range(options.tasks)
        ]
        wall, busy = measure_tasks(jobs)
        noted = measure_manifest(Path(folder), jobs)
    serial = busy + noted
    print(f"{len(jobs)} tasks that do nothing: {1e3 * wall:.2f} ms each with two workers on this machine")
    print(
        f"client and scheduler, of a processor: {1e3 * busy:.2f} ms each; manifest: {1e3 * noted:.2f} ms each"
    )
    print(
        f"{options.volumes} volumes, {options.workers} workers, each of which dies every {options.life:g} h"
    )
    print("mean s  wall h  use %  lost volumes  workers at which client and scheduler are the limit")
    for mean in (2.0, 10.0, 60.0):
        took, use, lost = simulate(options.volumes, options.workers, mean, serial, 3600 * options.life)
        print(f"{mean:6.0f}  {took / 3600:6.2f}  {100 * use:5.1f}  {lost:12d}  {mean / serial:8.0f}")


def nothing(version: str, number: str, setup: bytes, job: bytes, folder: str | None) -> tuple[str, bytes]:
    """A task of the real shape and size."""
    outcome = Outcome(
        pickle.loads(job), "done", plan="scale 2 in plane 2 with espcn-r", voxels=10_000_000, place="cpu",
        models={"espcn-r": "b" * 64}, read=STAMP, wrote=(STAMP,),
    )  # fmt: skip
    return "outcome", pickle.dumps(outcome)


class Nobody(cluster_worker.Nobody):
    """Is told, and does nothing."""


def measure_tasks(jobs: list[Job]) -> tuple[float, float]:
    """Wall time for each task, and processor time of the process that holds client and scheduler, in s."""
    from distributed import LocalCluster

    cluster.do = nothing
    setup = Setup(Wanted(Request(scale=2)), ("cpu", "fp32", "torch"))
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:
        runner = cluster.Cluster(local.scheduler_address, setup, None, 1, Nobody(), print)
        list(runner.run(jobs[:50]))  # everything imported
        process = psutil.Process()
        before, started = sum(process.cpu_times()[:2]), time.perf_counter()
        states = [outcome.state for outcome in runner.run(jobs)]
        took, busy = time.perf_counter() - started, sum(process.cpu_times()[:2]) - before
    assert states == ["done"] * len(jobs)
    return took / len(jobs), busy / len(jobs)


def measure_manifest(folder: Path, jobs: list[Job]) -> float:
    """Wall time to note a job that was done, in s."""
    with Manifest(folder) as manifest:
        manifest.begin_run(2, "1.0")
        manifest.expect(jobs, "", [1] * len(jobs))
        started = time.perf_counter()
        for job in jobs:
            manifest.start(job)
            manifest.finish(Outcome(job, "done", voxels=1, read=STAMP, wrote=(STAMP,)), "{}")
        return (time.perf_counter() - started) / len(jobs)


def simulate(volumes: int, workers: int, mean: float, serial: float, life: float) -> tuple[float, float, int]:
    """Discrete events: each task passes one server for ``serial`` s, then a worker works on it.

    Times are log-normal around ``mean`` s; a worker dies after exponential times of ``life`` s, which loses
    its volume, that is done again, and `RESTART` s.

    Returns
    -------
    took : float
        Seconds until the last volume is done.
    use : float
        Part of the workers' time that went into volumes that count.
    lost : int
        Volumes that were begun in vain.
    """
    random_ = random.Random(0)
    free = [(0.0, random_.expovariate(1 / life)) for _ in range(workers)]  # when free, when it dies
    heapq.heapify(free)
    server = useful = end = 0.0
    left, lost = volumes, 0
    while left:
        now, death = heapq.heappop(free)
        server = max(server, now) + serial
        length = random_.lognormvariate(math.log(mean) - SPREAD**2 / 2, SPREAD)
        if server + length > death:
            lost += 1
            back = max(server, death) + RESTART
            heapq.heappush(free, (back, back + random_.expovariate(1 / life)))
            continue
        left -= 1
        useful += length
        end = max(end, server + length)
        heapq.heappush(free, (server + length, death))
    return end, useful / (workers * end), lost


if __name__ == "__main__":
    main()

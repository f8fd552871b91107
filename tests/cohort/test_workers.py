"""Worker processes: several at a time, killed, crashing, told to stop, and left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from espcn_core.cohort.worker import Setup
from espcn_core.cohort.workers import Workers
from espcn_core.errors import EspcnError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

ENGINES = ("cpu", "fp32", "torch")

SEEN = """
import os, time
from espcn_core.files import complete_file
whole = work.volumes.read
def hang(volume, path, *rest, **options):
    with complete_file(path) as file:
        file.write(b"half")
        file.flush()
        time.sleep(60)
def read(source):
    with open({folder!r} + "/" + source.name + ".tries", "a") as file:
        print(os.getpid(), os.environ["OMP_NUM_THREADS"], file=file)
    {then}
    return whole(source)
work.volumes.read = read
"""


def tries(folder: Path, name: str) -> list[tuple[int, int]]:
    """Process and threads of each attempt at a file."""
    lines = (folder / f"{name}.tries").read_text().splitlines()
    return [tuple(map(int, line.split())) for line in lines]


@pytest.fixture
def workers(wanted, watcher, program, tmp_path):
    def workers(then: str = "pass", count: int = 2, threads: int = 1, **setup) -> Workers:
        command = program(SEEN.format(folder=str(tmp_path), then=then))
        return Workers(command, Setup(wanted, ENGINES, **setup), count, threads, watcher)

    return workers


def test_workers_do_all_jobs_with_their_share_of_threads(workers, jobs, watcher, tmp_path):
    outcomes = list(workers(threads=3, hashes=True).run(jobs))
    assert {outcome.job for outcome in outcomes} == set(jobs)
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert all(outcome.seconds > 0 and outcome.plan == watcher.plans[outcome.job] for outcome in outcomes)
    assert all(outcome.read.sha256 and outcome.wrote[0].sha256 for outcome in outcomes)
    seen = [attempt for job in jobs for attempt in tries(tmp_path, job.source.name)]
    assert len(seen) == 5
    assert {threads for _, threads in seen} == {3}
    assert len({process for process, _ in seen}) <= 2
    assert os.getpid() not in {process for process, _ in seen}


def test_what_a_worker_prints_is_no_message(workers, jobs, capfd):
    (outcome,) = workers("print('chatter', flush=True); os.write(1, b'raw')").run(jobs[:1])
    assert outcome.state == "done"
    assert capfd.readouterr().out == ""


def test_a_bad_file_is_a_sentence_of_the_worker(workers, jobs):
    jobs[2].source.write_bytes(b"nothing")
    states = {outcome.job: outcome for outcome in workers().run(jobs)}
    assert [states[job].state for job in jobs] == ["done", "done", "failed", "done", "done"]
    assert str(jobs[2].source) in states[jobs[2]].error


def test_a_killed_worker_costs_one_file_which_is_tried_once_more_alone(workers, jobs, tmp_path):
    always = "source.name == '1.nii.gz'"
    once = "source.name == '3.nii.gz' and not os.path.exists(mark)"
    then = (
        f"mark = {str(tmp_path / 'killed')!r}; second = {once}\n"
        "    if second: open(mark, 'x').close()\n"
        f"    if second or {always}: os.kill(os.getpid(), 9)"
    )
    outcomes = {outcome.job: outcome for outcome in workers(then).run(jobs)}
    assert [outcomes[job].state for job in jobs] == ["done", "failed", "done", "done", "done"]
    lost = outcomes[jobs[1]].error
    assert lost.startswith(f"{jobs[1].source}: the worker was killed, probably for want of memory: use")
    assert len(tries(tmp_path, "1.nii.gz")) == 2
    assert len(tries(tmp_path, "3.nii.gz")) == 2
    assert len(tries(tmp_path, "0.nii.gz")) == 1
    again = [tries(tmp_path, name)[1][0] for name in ("1.nii.gz", "3.nii.gz")]
    others = {tries(tmp_path, job.source.name)[0][0] for job in jobs}
    assert not set(again) & others  # a new process, when the others had gone
    assert sorted(path.name for path in jobs[0].target.parent.iterdir()) == [
        "0.nii.gz", "2.nii.gz", "3.nii.gz", "4.nii.gz"
    ]  # fmt: skip


def test_a_crash_says_its_signal(workers, jobs):
    (outcome,) = workers("os.kill(os.getpid(), 11)").run(jobs[:1])
    assert outcome.error == f"{jobs[0].source}: the worker crashed (SIGSEGV): report this file"


def test_workers_that_do_not_start_end_the_run(wanted, watcher, jobs, program, capfd):
    broken = Workers(program("raise SystemExit(7)"), Setup(wanted, ENGINES), 2, 1, watcher)
    with pytest.raises(EspcnError, match=r"ended while it started \(exit code 7\)"):
        list(broken.run(jobs))


def test_closing_stops_workers_and_clears_what_they_wrote(workers, jobs):
    started = time.perf_counter()
    running = workers("if source.name[0] == '1': work.volumes.write = hang").run(jobs[:2])
    next(running)
    out = jobs[0].target.parent
    while len(list(out.iterdir())) < 2:  # one whole, one half
        assert time.perf_counter() - started < 30
        time.sleep(0.02)
    closing = time.perf_counter()
    running.close()
    assert time.perf_counter() - closing < 3
    assert [path.name for path in out.iterdir()] == ["0.nii.gz"]


def test_a_worker_gets_its_next_job_before_anybody_asks_for_it(workers, jobs):
    running = workers("if source.name[0] == '1': work.volumes.write = hang", count=1).run(jobs[:2])
    next(running)
    out, end = jobs[0].target.parent, time.monotonic() + 60
    while len(list(out.iterdir())) < 2:  # nobody asks
        assert time.monotonic() < end
        time.sleep(0.02)
    running.close()


RUN = """
import sys
from pathlib import Path
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.work import Wanted
from espcn_core.cohort.worker import Setup
from espcn_core.cohort.workers import Workers
from espcn_core.upscaling.plan import Request
class Watcher:
    def begin(self, *_): ...
    upscaled = written = finish = begin
model, source, target, *command = sys.argv[1:]
setup = Setup(Wanted(Request(model=model)), {engines!r})
print("go", flush=True)
list(Workers(command, setup, 2, 1, Watcher()).run([Job(Path(source), Path(target))] * 2))
"""


def test_workers_end_when_their_parent_is_killed(jobs, wanted, program, tmp_path):
    command = program(SEEN.format(folder=str(tmp_path), then="time.sleep(60)"))
    words = [sys.executable, "-c", RUN.format(engines=ENGINES), wanted.request.model]
    words += [str(jobs[0].source), str(jobs[0].target), *command]
    parent = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "0.nii.gz.tries").exists() or len(tries(tmp_path, "0.nii.gz")) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    end = time.monotonic() + 5
    alive = {process for process, _ in tries(tmp_path, "0.nii.gz")}
    while alive:
        assert time.monotonic() < end
        alive = {process for process in alive if _runs(process)}
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_signal_for_the_whole_group_is_for_the_parent(workers, jobs):
    """A terminal sends Ctrl-C to the workers too."""
    then = "os.kill(os.getpid(), 2); os.kill(os.getpid(), 15)"
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        outcomes = list(workers(then).run(jobs))
    finally:
        signal.signal(signal.SIGINT, before)
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert not heard
    assert threading.active_count() < 20

"""Jobs on the machines of a cluster, by Dask; all of them see the same files."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import pickle
import queue
import shutil
import signal
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from espcn_core import __version__
from espcn_core.cohort.cluster_worker import do, leave
from espcn_core.cohort.jobs import Job, clear_leftovers_of
from espcn_core.cohort.work import Outcome, Watcher, naming
from espcn_core.cohort.worker import Setup
from espcn_core.errors import CancelledError, EspcnError, RequestError

_PATIENCE = 1.5
"""Seconds that workers have to leave what they do, when they are told to."""

_CONNECT = 10
"""Seconds that a scheduler has to answer."""

_WAIT = 5.0
"""Seconds without a worker until that is said."""

_SLURM = "slurm"
_KILLED = "every worker that tried it was killed, probably for want of memory: give workers more memory"


class Cluster:
    """The workers of a Dask cluster, which come and go.

    Parameters
    ----------
    address : str
        Of a scheduler, such as tcp://host:8786; or slurm, to ask Slurm for workers by the user's own settings
        of dask-jobqueue.
    setup : Setup
    folder : Path, optional
        The output folder, with a manifest, which all workers must see.
    at_once : int
        How many workers Slurm is asked for.
    watcher : Watcher
        It is told what was done when it is done; `Watcher.finish` is not called.
    say : callable
        Gets a line if there is something to wait for.
    """

    def __init__(
        self,
        address: str,
        setup: Setup,
        folder: Path | None,
        at_once: int,
        watcher: Watcher,
        say: Callable[[str], None],
    ) -> None:
        self._address, self._folder, self._at_once = address, folder, at_once
        self._watcher, self._say = watcher, say
        self._number = uuid.uuid4().hex
        self._setup = pickle.dumps(_anywhere(setup))

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome, None, None]:
        """The outcomes, each when it is known.

        A job whose worker is lost is given to another, as often as the scheduler allows failures, and then
        once more, alone, after all others.

        Raises
        ------
        RequestError
            If there is no such scheduler, or a worker has another version or does not see the files.
        EspcnError
            If the scheduler is lost.
        """
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        left, given = deque(jobs), set[Job]()
        with contextlib.ExitStack() as stack:
            client = self._connect(stack)
            try:
                yield from self._rounds(client, left, given)
            except BaseException:
                self._stop(client)
                raise
            finally:
                clear_leftovers_of(given)

    def _connect(self, stack: contextlib.ExitStack) -> Any:
        """A client of the scheduler, which is closed with the stack."""
        try:
            from distributed import Client
        except ImportError:
            raise _missing() from None
        address: Any = self._address
        if address == _SLURM:
            address = stack.enter_context(contextlib.closing(_slurm(self._at_once)))
        try:
            client = Client(address, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise RequestError(
                f"--scheduler {self._address} does not answer ({type(error).__name__}): give the address "
                "that dask scheduler says, as in tcp://host:8786"
            ) from None
        stack.callback(_quietly, lambda: client.close(timeout=1))
        return client

    def _rounds(self, client: Any, left: deque[Job], given: set[Job]) -> Iterator[Outcome]:
        """Keep a few tasks for each worker until all are done.

        Dask suspects all tasks of a worker that is killed. So a job that is lost is done once more when all
        others are done, alone.
        """
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        running: dict[Any, Job] = {}
        lost, again = set[Job](), deque[Job]()
        room, looked, since, said = 1, 0.0, time.monotonic(), False
        while left or running or again:
            if not left and not running:
                left.append(again.popleft())
            now = time.monotonic()
            if now - looked >= 1:
                threads = self._threads(client)
                room, looked = sum(threads.values()) + 2 * len(threads), now
                since = now if threads else since
                if not threads and now - since >= _WAIT and not said:
                    self._say(f"{self._address} has no worker: waiting for one")
                said = not threads and now - since >= _WAIT
            while left and len(running) < max(1, room):
                job = left.popleft()
                given.add(job)
                future = client.submit(
                    do, __version__, self._number, self._setup, pickle.dumps(_absolute(job)),
                    None if self._folder is None else str(self._folder.absolute()),
                    pure=False,
                )  # fmt: skip
                running[future] = job
                future.add_done_callback(done.put)
            try:
                future = done.get(timeout=0.5)
            except queue.Empty:
                continue
            job = running.pop(future)
            outcome = self._outcome(client, future, job)
            if outcome is None:
                self._threads(client)
                if job not in lost:
                    lost.add(job)
                    again.append(job)
                    continue
                outcome = Outcome(job, "failed", error=naming(job, _KILLED))
            yield outcome

    def _threads(self, client: Any) -> dict[str, int]:
        """Of each worker."""
        try:
            found: dict[str, int] = client.nthreads()
        except Exception:
            raise self._lost() from None
        return found

    def _outcome(self, client: Any, future: Any, job: Job) -> Outcome | None:
        """What a task that is over says; None if its workers were killed, as they did it or after that."""
        from distributed import KilledWorker

        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                return None
            return Outcome(job, "failed", error=naming(job, _failed(error)))
        if client.status != "running":
            raise self._lost()
        if future.status != "finished":
            return None
        try:
            kind, value = future.result(timeout=_CONNECT)
        except Exception:
            return None
        if kind == "refused":
            raise RequestError(value)
        if kind == "stopped":
            raise CancelledError("the run was stopped on the cluster: call it again with --existing resume")
        outcome: Outcome = dataclasses.replace(pickle.loads(value), job=job)
        if outcome.plan is not None:
            self._watcher.begin(job, outcome.plan, outcome.place)
        return outcome

    def _lost(self) -> EspcnError:
        return EspcnError(
            f"the scheduler {self._address} is lost: call it again with --existing resume when it is there"
        )

    def _stop(self, client: Any) -> None:
        """Tell the workers to leave what they do, and wait a little until they have."""
        end = time.monotonic() + _PATIENCE

        def tell() -> None:
            while any(_values(client.run(leave, self._number, on_error="ignore"))):
                if time.monotonic() > end:
                    return
                time.sleep(0.05)

        thread = threading.Thread(target=_quietly, args=(tell,), daemon=True)
        thread.start()
        thread.join(_PATIENCE)


def _slurm(count: int) -> Any:
    """A scheduler in this process whose workers are jobs of Slurm."""
    try:
        with _signals_kept():
            from dask_jobqueue import SLURMCluster
    except ImportError:
        raise _missing() from None
    if shutil.which("sbatch") is None:
        raise RequestError("--scheduler slurm needs sbatch, which is not here: call it where Slurm is")
    try:
        cluster = SLURMCluster()
    except (ValueError, TypeError, OSError) as error:
        raise RequestError(
            f"--scheduler slurm cannot be used as jobqueue.yaml says ({' '.join(str(error).split())[:200]}): "
            "state cores and memory in jobqueue.slurm there"
        ) from None
    cluster.scale(jobs=count)
    return cluster


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """What is imported within may not take Ctrl-C and SIGTERM for itself, as dask_jobqueue does."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(kind) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            if signal.getsignal(kind) != handler:
                signal.signal(kind, handler)


def _missing() -> RequestError:
    return RequestError("--scheduler needs Dask: pip install espcn-core[cluster]")


def _failed(error: BaseException | None) -> str:
    """Of a task that raised, which ours do not: its text might quote a header, so the type is named."""
    return (
        f"a worker of the cluster cannot do it ({type(error).__name__}): see whether espcn_core is installed "
        "there, in this version"
    )


def _values(answers: Any) -> list[Any]:
    return list(answers.values()) if isinstance(answers, dict) else []


def _quietly(act: Callable[[], Any]) -> None:
    """Whatever goes wrong when there is nobody left to tell."""
    with contextlib.suppress(Exception):
        act()


def _absolute(job: Job) -> Job:
    """The same files from any working directory."""
    series = job.series
    if series is not None:
        series = dataclasses.replace(series, files=tuple(path.absolute() for path in series.files))
    return dataclasses.replace(
        job,
        source=job.source.absolute(),
        target=job.target.absolute(),
        trust=None if job.trust is None else job.trust.absolute(),
        sidecar=None if job.sidecar is None else job.sidecar.absolute(),
        series=series,
    )


def _anywhere(setup: Setup) -> Setup:
    """With a model's file named from the root."""
    model = setup.wanted.request.model
    if model is None or not Path(model).is_file():
        return setup
    request = dataclasses.replace(setup.wanted.request, model=str(Path(model).absolute()))
    return dataclasses.replace(setup, wanted=dataclasses.replace(setup.wanted, request=request))

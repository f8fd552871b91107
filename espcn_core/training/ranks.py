"""The processes that train one network together: what they share, and what the first of them does alone."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from espcn_core.errors import EspcnError, RequestError

T = TypeVar("T")

_PATIENCE = timedelta(minutes=10)
"""How long a process waits for one that neither answers nor has ended."""

_MOMENT = 0.1
"""Seconds that Python's lock is free at the end. A thread of gloo lets go of the last tensors after they were
exchanged, and needs the lock for it; if what it belongs to is removed before, by a thread that holds the lock
and waits for that one to end, neither goes on."""


@dataclass(frozen=True)
class Ranks:
    """One process among those of a run; alone by default, and then nothing here does anything.

    All of them must call what is not marked otherwise, in the same order.

    Attributes
    ----------
    rank : int
        Its number, from 0.
    size : int
        How many there are.
    group : ProcessGroup, optional
        Over which gradients go where the default one, gloo on the CPU, is not right.
    """

    rank: int = 0
    size: int = 1
    group: dist.ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def on(self, device: torch.device) -> Ranks:
        """The same, with the gradients of that device.

        Raises
        ------
        RequestError
            If processes cannot share it.
        """
        if self.size == 1 or device.type == "cpu":
            return self
        if device.type != "cuda":
            raise RequestError(
                f"device is {device.type}, where {self.size} processes cannot train: choose cpu"
            )
        return dataclasses.replace(self, group=dist.new_group(backend="nccl"))

    def share(self, batch: int) -> range:
        """Which pairs of each batch are this process's own.

        Raises
        ------
        RequestError
            If the batch cannot be dealt out evenly.
        """
        if batch % self.size:
            raise RequestError(
                f"batch is {batch}, which {self.size} processes cannot share evenly: "
                f"start {_largest_divisor(batch, self.size)}, or set batch to a whole multiple of {self.size}"
            )
        each = batch // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def part(self, items: Sequence[T]) -> Sequence[T]:
        """Which of some items are this process's own: every so many, so none if there are too few."""
        return items[self.rank :: self.size]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network, whose gradients become the mean over all processes."""
        if self.size == 1:
            return network
        # idist.auto_model would move it to a graphics card even where the CPU was asked for
        parallel = DistributedDataParallel(network, process_group=self.group)
        parallel.register_comm_hook(self.group, lambda group, bucket: _mean_in_order(bucket.buffer(), group))
        return parallel

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes of a tensor on the device of the gradients."""
        if self.size == 1:
            return value
        total = value.clone()
        dist.all_reduce(total, group=self.group)
        return total / self.size

    def sums(self, *values: float) -> list[float]:
        """The sum over all processes of each number."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        found: list[float] = total.tolist()
        return found

    def any(self, flag: bool) -> bool:
        """Whether it is true for one of them."""
        return self.sums(float(flag))[0] > 0

    def wait(self) -> None:
        """Go on when all are here."""
        self.sums(0.0)

    def of_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, or its error, for all; the others do not call ``make``."""
        if self.size == 1:
            return make()
        answer: list[Any] = [None, None]
        if self.leads:
            try:
                answer[0] = make()
            except (EspcnError, OSError) as error:
                answer[1] = error
        dist.broadcast_object_list(answer, src=0)
        if answer[1] is not None:
            raise answer[1]
        made: T = answer[0]
        return made


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process among those that torchrun has started, or alone.

    Each takes the graphics card of its number on the machine.

    Raises
    ------
    RequestError
        If there are more of them on a machine than graphics cards.
    EspcnError
        If another one has ended.
    """
    size = int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if size == 1:
        yield ALONE
        return
    here, cards = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if 0 < cards < here:
        raise RequestError(
            f"{here} processes are too many for a machine with {cards} graphics cards: start {cards}, "
            "or put CUDA_VISIBLE_DEVICES= before torchrun to train on the CPU"
        )
    try:
        with _without_slurm():
            idist.initialize("gloo", timeout=_PATIENCE)
        try:
            yield Ranks(dist.get_rank(), size)
        finally:
            time.sleep(_MOMENT)
        idist.finalize()
    except RuntimeError as error:
        if not _is_of_connection(error):
            raise
        raise EspcnError(
            f"process {os.environ['RANK']} has lost another process of the run, which failed or was killed: "
            "go on from the last checkpoint with --resume"
        ) from error


def restarted() -> bool:
    """Whether torchrun has started the processes again, after one of them failed."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextmanager
def _without_slurm() -> Iterator[None]:
    """Let ignite take torchrun's numbers: it insists that they are Slurm's, which counts one per machine."""
    job = os.environ.pop("SLURM_JOB_ID", None)
    try:
        yield
    finally:
        if job is not None:
            os.environ["SLURM_JOB_ID"] = job


def _is_of_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


def _mean_in_order(own: Tensor, group: dist.ProcessGroup | None) -> torch.futures.Future[Tensor]:
    """The mean of a bucket of gradients, added up from the first process to the last.

    The usual reduction adds in an order that depends on where a gradient lies in its bucket, and that is
    another one in the first step after a start: a run of three that is resumed would end elsewhere.
    """
    buckets = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
    dist.all_gather(buckets, own, group=group)
    total = buckets[0]
    for bucket in buckets[1:]:
        total += bucket
    future: torch.futures.Future[Tensor] = torch.futures.Future(
        devices=None if own.device.type == "cpu" else [own.device]
    )
    future.set_result(total.div_(len(buckets)))
    return future


def _largest_divisor(number: int, below: int) -> int:
    return next(n for n in range(below - 1, 0, -1) if number % n == 0)

"""The training loop: steps, a validation after each epoch, and an end that keeps to a bound on the time."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.nn import functional

from espcn_core.errors import EspcnError
from espcn_core.training.config import TrainingConfig
from espcn_core.training.data import Batch
from espcn_core.training.ranks import ALONE, Ranks
from espcn_core.training.state import RunState
from espcn_core.training.validation import Score

_PROBE = 30
"""Steps whose rate gives the first estimate of how many fit into the bound on the time."""

_LEAST_LEFT = 50
"""Steps that a run out of time still takes, so that the learning rate reaches its end."""

# ignite logs what it raises; without any handler Python would print that too, and so say it twice.
logging.getLogger("ignite").addHandler(logging.NullHandler())

_REPORT_EVERY = 5
"""Steps between two reports of the loss; on a GPU reading it means waiting for the step."""


@dataclass(frozen=True)
class Status:
    """Where a run is.

    Attributes
    ----------
    step, total : int
        Steps done, and steps of the whole run as planned now.
    loss : float
        Mean of the epoch so far.
    gain : float or None
        Last validation, dB over bicubic.
    seconds_left : float or None
        None while nothing is known of the rate.
    """

    step: int
    total: int
    loss: float
    gain: float | None
    seconds_left: float | None


@dataclass
class Loop:
    """Runs the steps that a state has left.

    Attributes
    ----------
    config : TrainingConfig
    state : RunState
    device : torch.device
    precision : torch.dtype
        What the layers compute in.
    validate : callable
        Score of the running mean of the weights.
    baseline : Score
        The same of bicubic interpolation.
    epoch_done : callable
        Called after each epoch with the score; keeps weights and checkpoint.
    watch : callable
        Gets the `Status` every few steps.
    stop : callable
        Asked after each step; True ends the run there.
    ranks : Ranks
        Processes that share each batch. All must get the same answers from ``validate`` and ``stop``.
    """

    config: TrainingConfig
    state: RunState
    device: torch.device
    precision: torch.dtype
    validate: Callable[[], Score]
    baseline: Score
    epoch_done: Callable[[Score, float], None]
    watch: Callable[[Status], None]
    stop: Callable[[], bool]
    ranks: Ranks = ALONE
    _network: nn.Module = field(init=False)
    _started: float = field(default=0.0, init=False)
    _mark: tuple[int, float] = field(default=(0, 0.0), init=False)

    def __post_init__(self) -> None:
        self._network = self.ranks.wrap(self.state.network)

    def run(self, batches: object) -> bool:
        """Take steps until the run is at its end; returns False if it was stopped before."""
        if self.finished:
            return True
        engine = Engine(lambda _, batch: self.step(batch))
        engine.load_state_dict(
            {
                "iteration": self.state.step,
                "epoch_length": self.config.steps_per_epoch,
                "max_epochs": self.config.epochs,
            }
        )
        engine.add_event_handler(Events.ITERATION_STARTED, self._set_momentum)
        self.state.schedule.attach(engine, Events.ITERATION_STARTED)
        self.state.ema.attach(engine, "ema_momentum")
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._after_step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._close_epoch)
        self._started = time.monotonic() - self.state.seconds
        self._mark = (self.state.step, self.state.seconds)
        self.state.network.train()
        engine.run(batches)
        self.state.seconds = self._seconds()
        return self.finished

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.state.step >= self.state.schedule.total

    def step(self, batch: Batch) -> Tensor:
        """One step of the optimiser on pairs of patches; returns the loss, over all of the batch."""
        state = self.state
        coarse, fine, traits = (tensor.to(self.device, non_blocking=True) for tensor in batch)
        told = (traits,) if traits.shape[1] else ()  # only adaptive networks take them
        narrow = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision if narrow else None, enabled=narrow):
            result = self._network(coarse, *told)
        loss = self._loss(result.float(), fine)
        state.optimizer.zero_grad()
        state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if self.config.clip:
            state.scaler.unscale_(state.optimizer)
            torch.nn.utils.clip_grad_norm_(state.network.parameters(), self.config.clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        loss = self.ranks.mean(loss.detach())
        state.loss_sum += loss
        return loss

    def _loss(self, result: Tensor, truth: Tensor) -> Tensor:
        if self.config.loss == "l1":
            return functional.l1_loss(result, truth)
        if self.config.loss == "mse":
            return functional.mse_loss(result, truth)
        return torch.sqrt((result - truth) ** 2 + 1e-6).mean()

    def _set_momentum(self, engine: Engine) -> None:
        """Let the mean follow the weights fast at first, so that it forgets where they started."""
        engine.state.ema_momentum = max(1 - self.config.ema, 9 / (10 + engine.state.iteration))

    def _after_step(self, engine: Engine) -> None:
        self.state.step = engine.state.iteration
        in_epoch = self.state.step % self.config.steps_per_epoch
        if self.config.minutes and self.state.step == _PROBE:
            self._plan()
        if in_epoch % _REPORT_EVERY == 0 or self.finished:
            self.watch(self._status())
        if in_epoch == 0:
            return  # the epoch is closed next, and after that the run may stop
        if self.finished:
            self._close_epoch(engine)
        elif self.stop():
            engine.terminate()

    def _close_epoch(self, engine: Engine) -> None:
        state = self.state
        steps = (state.step - 1) % self.config.steps_per_epoch + 1
        loss = state.loss_sum.item() / steps
        if not math.isfinite(loss):
            raise EspcnError(f"the loss is {loss} after {state.step} steps: make learning_rate smaller")
        state.loss_sum.zero_()
        score = self.validate()
        if math.isnan(score.psnr):
            raise EspcnError(f"the weights are NaN after {state.step} steps: make learning_rate smaller")
        state.seconds = self._seconds()
        if self.config.minutes and not self.finished:
            self._plan()
        self.epoch_done(score, loss)
        self.watch(self._status(loss))
        if self.finished or self.stop():
            engine.terminate()

    def _plan(self) -> None:
        """Move the end of the run to where the bound on the time will be, at the rate since the last plan."""
        (step, seconds), now = self._mark, self.ranks.of_first(self._seconds)
        if self.state.step > step:
            left = (60 * self.config.minutes - now) * (self.state.step - step) / (now - seconds)
            planned = self.state.schedule.total - self.state.step
            least = min(_LEAST_LEFT, planned)  # or short epochs would put off the end again and again
            total = self.state.step + max(least, int(left))
            self.state.schedule.plan(min(total, self.config.epochs * self.config.steps_per_epoch))
        self._mark = (self.state.step, now)

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _status(self, loss: float | None = None) -> Status:
        state = self.state
        if loss is None:
            steps = (state.step - 1) % self.config.steps_per_epoch + 1
            loss = state.loss_sum.item() / steps
        gain = state.history[-1]["psnr"] - self.baseline.psnr if state.history else None
        left = self._seconds() / state.step * (state.schedule.total - state.step)
        return Status(state.step, state.schedule.total, loss, gain, left)

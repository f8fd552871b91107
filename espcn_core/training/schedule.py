"""The learning rate over a run: a linear warm-up, then a cosine that reaches zero at the last step."""

from __future__ import annotations

import math

from ignite.handlers.param_scheduler import ParamScheduler
from torch.optim import Optimizer


class CosineSchedule(ParamScheduler):  # type: ignore[misc]
    """Sets the learning rate before each step; the end may be moved while it runs.

    The run's progress goes from 0 to 1 in equal parts per step that is left. When `plan` moves the end, the
    progress so far stays and what is left of it is spread over the new number of steps, so the rate never
    jumps and is zero at the end, wherever that is. All of it is in the state, so that a resumed run goes on
    with the same rates.

    Parameters
    ----------
    optimizer : Optimizer
    peak : float
        Learning rate at the end of the warm-up.
    warmup : int
        Steps of the linear rise.
    total : int
        Steps of the run.
    """

    def __init__(self, optimizer: Optimizer, *, peak: float, warmup: int, total: int) -> None:
        super().__init__(optimizer, "lr")
        self.peak = peak
        self.warmup = warmup
        self.total = total
        self.anchor_step = 0
        self.anchor_progress = 0.0
        self._state_attrs += ["peak", "warmup", "total", "anchor_step", "anchor_progress"]

    @property
    def progress(self) -> float:
        """Part of the run that is done, 0 to 1."""
        left = self.total - self.anchor_step
        done = min(1.0, (self.event_index - self.anchor_step) / left) if left > 0 else 1.0
        return self.anchor_progress + (1 - self.anchor_progress) * done

    def plan(self, total: int) -> None:
        """Let the run end after ``total`` steps."""
        progress = self.progress
        self.anchor_progress, self.anchor_step, self.total = progress, self.event_index, total

    def get_param(self) -> float:
        """The learning rate of the next step."""
        rise = min(1.0, (self.event_index + 1) / (self.warmup + 1))
        rate: float = self.peak * rise * 0.5 * (1 + math.cos(math.pi * self.progress))
        return rate

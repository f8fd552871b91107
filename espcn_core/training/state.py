"""Everything that changes during a run, and the checkpoint that holds it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ignite.handlers import EMAHandler
from torch import Tensor, nn

from espcn_core.errors import DataError, RequestError
from espcn_core.files import complete_file
from espcn_core.models.espcn_r import EspcnR
from espcn_core.models.registry import build
from espcn_core.models.trained import load_model
from espcn_core.training.config import TrainingConfig
from espcn_core.training.optimizer import build_optimizer
from espcn_core.training.schedule import CosineSchedule

CHECKPOINT = "checkpoint.pt"

_STATE = ("network", "ema", "optimizer", "schedule", "scaler", "step", "seconds", "loss_sum", "history")
_KEYS = frozenset((*_STATE, "best_psnr", "random", "config", "split"))
"""What a checkpoint must hold to be resumed from."""


@dataclass
class RunState:
    """The parts of a run that a checkpoint keeps.

    Attributes
    ----------
    network : Module
        The weights that are trained.
    ema : EMAHandler
        Holds their running mean, ``ema.ema_model``.
    optimizer : Optimizer
    schedule : CosineSchedule
    scaler : GradScaler
        Scales the loss where float16 is used; does nothing elsewhere.
    step : int
        Steps done.
    seconds : float
        Time of all steps and validations so far.
    loss_sum : Tensor
        Sum of the losses of the steps of the epoch that is under way, float64.
    history : list of dict
        One row for each epoch: the content of the CSV file.
    best_psnr : float
        In dB, of the weights that are kept.
    """

    network: nn.Module
    ema: EMAHandler
    optimizer: torch.optim.Optimizer
    schedule: CosineSchedule
    scaler: torch.amp.GradScaler
    step: int = 0
    seconds: float = 0.0
    loss_sum: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    history: list[dict[str, float]] = field(default_factory=list)
    best_psnr: float = float("-inf")

    @classmethod
    def fresh(cls, config: TrainingConfig, device: torch.device, precision: torch.dtype) -> RunState:
        """The state before the first step; the first weights depend on the seed alone."""
        torch.manual_seed(config.seed)
        network = build(config.model, config.factor, **config.arguments)
        if config.start:
            _start_from(network, config.start)
        layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
        network = network.to(device, memory_format=layout)  # type: ignore[call-overload]
        optimizer = build_optimizer(network, config, device)
        return cls(
            network,
            EMAHandler(network, momentum=1 - config.ema),
            optimizer,
            CosineSchedule(
                optimizer,
                peak=config.learning_rate,
                warmup=config.warmup,
                total=config.epochs * config.steps_per_epoch,
            ),
            torch.amp.GradScaler(device.type, enabled=precision == torch.float16),
            loss_sum=torch.zeros((), dtype=torch.float64, device=device if device.type != "mps" else "cpu"),
        )

    def standardise(self, fingerprints: Tensor) -> None:
        """Fit adaptive networks to the fingerprints of the run, (N, 22); not if they began from others."""
        for network in (self.network, self.ema.ema_model):
            adaptation = network.adaptation if isinstance(network, EspcnR) else None
            if adaptation is not None and not adaptation.centre.any():
                adaptation.standardise(fingerprints)

    def save(self, folder: Path, **more: Any) -> None:
        """Write the checkpoint, which replaces the former one only when it is complete."""
        parts = {name: getattr(self, name) for name in ("network", "optimizer", "schedule", "scaler")}
        content = {
            **{name: dict(part.state_dict()) for name, part in parts.items()},
            "ema": self.ema.ema_model.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "loss_sum": self.loss_sum.item(),
            "history": self.history,
            "best_psnr": self.best_psnr,
            "random": {"torch": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()},
            **more,
        }
        packed = io.BytesIO()
        torch.save(content, packed)
        with complete_file(folder / CHECKPOINT) as file:
            file.write(packed.getbuffer())

    def load(self, content: dict[str, Any]) -> None:
        """Take over the content of a checkpoint."""
        self.network.load_state_dict(content["network"])
        self.ema.ema_model.load_state_dict(content["ema"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])
        self.scaler.load_state_dict(content["scaler"])
        self.step = content["step"]
        self.seconds = content["seconds"]
        self.loss_sum.fill_(content["loss_sum"])
        self.history = content["history"]
        self.best_psnr = content["best_psnr"]
        torch.set_rng_state(content["random"]["torch"])
        if len(content["random"]["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(content["random"]["cuda"])


def _start_from(network: nn.Module, model: str) -> None:
    """Take over the trained weights of each layer that has the same name and shape."""
    trained, own = load_model(model)[0].state_dict(), network.state_dict()
    fitting = {name: trained[name] for name, value in own.items() if _same_shape(trained.get(name), value)}
    if not any(value.ndim == 4 for value in fitting.values()):
        raise RequestError(
            f"start is {model!r}: none of its convolutions has the shape of one of this network"
        )
    network.load_state_dict(own | fitting)


def _same_shape(one: Tensor | None, other: Tensor) -> bool:
    return one is not None and one.shape == other.shape


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """The content of a run's checkpoint, on the CPU.

    Raises
    ------
    DataError
        If there is none, or it is damaged.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        raise DataError(f"{folder} holds no checkpoint to resume from: start the run without --resume")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any of the layers that unpack it
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} is damaged: start the run again in another folder ({reason})") from error
    if not isinstance(content, dict) or not content.keys() >= _KEYS:
        raise DataError(f"{path} is not the checkpoint of a run: name another folder with --out")
    return content

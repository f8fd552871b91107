"""What a run leaves in its folder: log, TensorBoard events, the best weights and their card, a checkpoint."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

from torch import nn
from torch.utils.tensorboard import SummaryWriter

from espcn_core.figshare import SPACING, Split, as_runs
from espcn_core.files import complete_file
from espcn_core.models.cards import Card
from espcn_core.models.trained import save_model
from espcn_core.training.config import TrainingConfig
from espcn_core.training.state import RunState
from espcn_core.training.validation import Score

LOG = "log.csv"


class Keeper:
    """Writes into the folder of a run.

    Parameters
    ----------
    config : TrainingConfig
    out : Path
    state : RunState
    sides : Split
    patients : dict
        Patient of each slice.
    contrast : dict
        Within which bounds the coarse slices of the run lie, for the card.
    baseline : Score
        Bicubic interpolation on the slices that are validated after each epoch.
    command : str
        How the run was started, for the card.
    say : callable
        Gets a sentence after each epoch.
    """

    def __init__(
        self,
        config: TrainingConfig,
        out: Path,
        state: RunState,
        sides: Split,
        patients: dict[int, str],
        contrast: dict[str, list[float]],
        baseline: Score,
        command: str,
        say: Callable[[str], None],
    ) -> None:
        self.config = config
        self.out = out
        self.state = state
        self.sides = sides
        self.patients = {index: patients[index] for index in (*sides.train, *sides.validation)}
        self.contrast = contrast
        self.baseline = baseline
        self.command = command
        self.weights = weights_path(config, out)
        self._say = say
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=state.step + 1)

    def epoch_done(self, score: Score, loss: float) -> None:
        """Log an epoch, keep the weights if they are the best so far, and write the checkpoint."""
        state = self.state
        row = {
            "epoch": len(state.history) + 1,
            "step": state.step,
            "loss": loss,
            "learning_rate": state.optimizer.param_groups[0]["lr"],
            "psnr": score.psnr,
            "ssim": score.ssim,
            "gain": score.psnr - self.baseline.psnr,
        }
        state.history.append(row)
        with complete_file(self.out / LOG) as file:
            file.write(_csv(state.history).encode())
        for name in ("loss", "learning_rate", "psnr", "ssim", "gain"):
            self._board.add_scalar(name, row[name], state.step)
        self._board.flush()
        if score.psnr > state.best_psnr:
            state.best_psnr = score.psnr
            self.keep(state.ema.ema_model, score, self.baseline)
        self.checkpoint()
        self._say(
            f"epoch {row['epoch']}, step {state.step}: loss {loss:.5f}, {score.psnr:.2f} dB "
            f"({row['gain']:+.2f} over bicubic), SSIM {score.ssim:.4f}"
        )

    def checkpoint(self) -> None:
        """Write what a resumed run needs."""
        self.state.save(
            self.out,
            config=dataclasses.asdict(self.config),
            split={**dataclasses.asdict(self.sides), "patients": self.patients},
            command=self.command,
        )

    def keep(self, network: nn.Module, score: Score, baseline: Score) -> None:
        """Write weights and their card."""
        save_model(network, self._card(score, baseline), self.out)

    def close(self) -> None:
        """Write the checkpoint and let go of the files."""
        self.checkpoint()
        self._board.close()

    def _card(self, score: Score, baseline: Score) -> Card:
        config, sides = self.config, self.sides
        settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("data", "device")}
        settings["start"] = Path(config.start).name  # as elsewhere: no folders of this machine
        training = {
            "data": "figshare brain tumor dataset (Cheng 2017)",
            "doi": "10.6084/m9.figshare.1512427",
            "licence": "CC BY 4.0",
            "slices": len(sides.train),
            "trained_slices": ", ".join(as_runs(sides.train)),
            "patients": len({self.patients[index] for index in sides.train}),
            "held_out_fold": sides.fold,
            "folds_from": sides.by,
            "spacing_mm": SPACING * config.shrink,
            "coarse_spacing_mm": SPACING * config.shrink * config.scale,
            "spacing_range_mm": [
                round(SPACING * bound(config.shrinks or [config.shrink]) * config.scale, 3)
                for bound in (min, max)
            ],
            "contrast_range": self.contrast,
            "contrast": "contrast-enhanced T1, magnitude",
            "steps": self.state.step,
            "command": self.command,
            "config": settings,
        }
        metrics = {
            "psnr": round(score.psnr, 4),
            "ssim": round(score.ssim, 5),
            "bicubic_psnr": round(baseline.psnr, 4),
            "bicubic_ssim": round(baseline.ssim, 5),
            "gain": round(score.psnr - baseline.psnr, 4),
            "slices": score.slices,
            "fold": sides.fold,
            "how": "mean over whole held-out slices; peak: range of the true slice; "
            "weights chosen by the same measure on some of these slices",
        }
        return Card(
            name=config.name,
            architecture=config.model,
            factor=config.factor,
            degradation=config.degradation,
            arguments=config.arguments,
            training=training,
            metrics=metrics,
        )


def weights_path(config: TrainingConfig, out: Path) -> Path:
    """Where a run leaves its best weights."""
    return out / f"{config.name}.safetensors"


def _csv(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

"""The hyper-parameters of a run, and the TOML file that holds them."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from espcn_core.degradation import KINDS
from espcn_core.errors import RequestError, did_you_mean
from espcn_core.models.registry import ARCHITECTURES
from espcn_core.training.checks import at_least, checked, is_number, one_of, try_network

LOSSES = ("l1", "charbonnier", "mse")
OPTIMIZERS = ("adam", "muon")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")

_LONGEST = 1 << 20
"""Bytes of a file: more is no configuration."""


@dataclass(frozen=True)
class TrainingConfig:
    """All that decides what a run computes.

    Attributes
    ----------
    name : str
        What the trained weights are called; empty for ``<model>-x<scale>``.
    model : str
        Network, a key of `espcn_core.models.registry.ARCHITECTURES`.
    arguments : dict
        What the network's class takes beyond the factor, such as ``width`` and ``depth``.
    scale : int
        Fine pixels per coarse pixel along rows and columns.
    through_plane : bool
        Only the columns are coarse, as the slice axis of a scan of thick slices is. Then ``degradation`` and
        the kinds of ``mixture`` name the profile of the slices: ``gaussian``, or ``area`` for a box.
    thickness : list
        Between these two numbers lies the full width at half maximum of the profile in the steps, as a part
        of the distance between slices. Empty for 1, and without meaning but through plane.
    start : str
        Trained weights to start from: the name of shipped weights or a weight file. Layers of another shape
        start anew. Empty for fresh weights.
    degradation : str
        How coarse slices come from fine ones, a kind of `espcn_core.degradation.degrade`.
    mixture : dict
        Weight of each kind of degradation in the steps; empty for ``degradation`` alone. The validation
        keeps to ``degradation``.
    noise : float
        Half of the coarse slices in the steps get Rician noise of a standard deviation from 0 to this part
        of their range.
    contrast : float
        Part of the slices in the steps whose contrast is varied (`espcn_core.transforms.RandContrastd`).
    blur : float
        Some of the slices in the steps are smoothed first, by up to so many pixels
        (`espcn_core.transforms.RandSmoothd`). 0 for none.
    air : float
        Half of the slices in the steps get flat air, up to this part of their range
        (`espcn_core.transforms.RandFlatAird`).
    shrink : int
        Factor by which every slice is made smaller first, by antialiased bicubic: where a data set holds no
        signal in its finest pixels, there is nothing to learn from them.
    shrinks : list
        The same for the steps alone, any numbers of at least 1, each of which gives a set of slices of its
        own: so a network learns from several sharpnesses. Empty for ``shrink`` alone.
    data : str
        The data set: a folder, a zip file or a packed file.
    fold : int
        Fold of patients that are held out for validation, 1 to 5.
    epochs : int
        The run ends after so many epochs.
    steps_per_epoch : int
        Optimiser steps in an epoch; a validation follows each.
    minutes : float
        Bound on the time of all steps and validations, in minutes; 0 for none. The learning rate reaches
        its end at the bound.
    batch : int
        Pairs of patches in a step.
    patch : int
        Rows of a coarse patch, which is as high as it is wide once it is fine.
    patches_per_slice : int
        Pairs of patches of a batch that come from the same slice.
    optimizer : str
        ``adam``, or ``muon``: orthogonal steps for the inner convolutions, AdamW for the rest.
    learning_rate : float
        Peak learning rate; the cosine starts from it.
    warmup : int
        Steps in which the learning rate rises linearly to its peak.
    clip : float
        Largest norm of the gradient; a longer one is shortened to it. 0 for no bound.
    loss : str
        ``l1``, ``mse``, or ``charbonnier``: sqrt(d^2 + 1e-6).
    ema : float
        Decay per step of the running mean of the weights, which is what is validated and kept.
    eight_bits : bool
        Whether the weights are rounded at the end so that 8 bits hold them
        (`espcn_core.models.eight_bits`); for ``espcn-r`` alone.
    validation_slices : int
        Held-out slices that are measured after each epoch, evenly spread; 0 for all.
    precision : str
        ``float32``, ``bfloat16``, ``float16`` (CUDA only), or ``auto``: what
        `espcn_core.training.precision` finds to be fast on the device.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    seed : int
        Of the first weights, of the order of the slices and of all patches.
    """

    name: str = ""
    model: str = "espcn-r"
    arguments: dict[str, Any] = field(default_factory=dict)
    scale: int = 4
    through_plane: bool = False
    thickness: list[Any] = field(default_factory=list)
    start: str = ""
    degradation: str = "bicubic"
    mixture: dict[str, Any] = field(default_factory=dict)
    noise: float = 0.0
    contrast: float = 0.0
    blur: float = 0.0
    air: float = 0.0
    shrink: int = 1
    shrinks: list[Any] = field(default_factory=list)
    data: str = ""
    fold: int = 5
    epochs: int = 100
    steps_per_epoch: int = 500
    minutes: float = 0.0
    batch: int = 16
    patch: int = 48
    patches_per_slice: int = 4
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    warmup: int = 200
    clip: float = 0.0
    loss: str = "l1"
    ema: float = 0.999
    eight_bits: bool = False
    validation_slices: int = 40
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, checked(f.name, getattr(self, f.name), f.type))
        one_of("model", self.model, ARCHITECTURES)
        one_of("degradation", self.degradation, KINDS)
        for kind, weight in self.mixture.items():
            one_of("mixture", kind, KINDS)
            if not is_number(weight) or not 0 < weight < float("inf"):
                raise RequestError(
                    f"mixture gives {kind} the weight {weight!r}: it must be finite and more than 0"
                )
        if self.through_plane:
            for kind in (self.degradation, *self.mixture):
                one_of("the profile of thick slices", kind, ("gaussian", "area"))
        if self.thickness and not (
            len(self.thickness) == 2
            and all(is_number(value) for value in self.thickness)
            and 0 < self.thickness[0] <= self.thickness[1] < float("inf")
        ):
            raise RequestError(
                f"thickness is {self.thickness!r}: it must be two numbers above 0, the smaller one first"
            )
        for value in self.shrinks:
            if not is_number(value) or not 1 <= value <= 16:
                raise RequestError(f"shrinks holds {value!r}: it must be a number from 1 to 16")
        one_of("loss", self.loss, LOSSES)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("precision", self.precision, PRECISIONS)
        positive = ("shrink", "epochs", "steps_per_epoch", "batch", "patch", "patches_per_slice")
        at_least(self, 1, *positive)
        at_least(self, 0, "minutes", "warmup", "clip", "validation_slices", "seed")
        if self.blur and not 0.2 < self.blur <= 16:
            raise RequestError(f"blur is {self.blur}: it must be 0, or more than 0.2 and at most 16")
        for name in ("noise", "contrast", "air"):
            if not 0 <= getattr(self, name) <= 1:
                raise RequestError(f"{name} is {getattr(self, name)}: it must be from 0 to 1")
        if not 2 <= self.scale <= 16:
            raise RequestError(f"scale is {self.scale}: it must be from 2 to 16")
        if not 1 <= self.fold <= 5:
            raise RequestError(f"fold is {self.fold}: it must be from 1 to 5")
        if not self.learning_rate > 0:
            raise RequestError(f"learning_rate is {self.learning_rate}: it must be more than 0")
        if self.seed >= 2**63:
            raise RequestError(f"seed is {self.seed}: it must be less than 2**63")
        if not 0 < self.ema < 1:
            raise RequestError(f"ema is {self.ema}: it must be between 0 and 1")
        if self.batch % self.patches_per_slice:
            raise RequestError(
                f"batch is {self.batch}: it must be a whole multiple of "
                f"patches_per_slice, {self.patches_per_slice}"
            )
        if self.eight_bits and self.model != "espcn-r":
            raise RequestError(f"eight_bits is true: only espcn-r is rounded so, not {self.model}")
        if not self.name:
            through = "through-" if self.through_plane else ""
            object.__setattr__(self, "name", f"{self.model}-{through}x{self.scale}")
        if self.name != Path(self.name).name or self.name == ".." or "\0" in self.name:
            raise RequestError(f"name is {self.name!r}: it must be a file name without folders")
        try_network(self.model, self.factor, self.arguments)

    @property
    def factor(self) -> tuple[int, int]:
        """Fine pixels per coarse pixel along rows and columns."""
        return (1 if self.through_plane else self.scale), self.scale

    @property
    def patch_size(self) -> tuple[int, int]:
        """Rows and columns of a coarse patch."""
        return self.patch, max(1, self.patch * self.factor[0] // self.factor[1])

    def to_toml(self) -> str:
        """The text of a file that `read_config` turns into an equal configuration."""
        values = dataclasses.asdict(self)
        tables = {key: value for key, value in values.items() if isinstance(value, dict)}
        lines = [f"{key} = {_toml(value)}" for key, value in values.items() if key not in tables]
        for key, table in tables.items():
            if table:
                lines += ["", f"[{key}]", *(f"{name} = {_toml(value)}" for name, value in table.items())]
        return "\n".join(lines) + "\n"


def read_config(path: Path | None = None, **overrides: Any) -> TrainingConfig:
    """The configuration in a TOML file, or the default one, with some values replaced.

    Parameters
    ----------
    path : Path, optional
        TOML file with any of the fields of `TrainingConfig`.
    **overrides
        Values that win over the file; those that are None are left out.

    Raises
    ------
    RequestError
        If the file cannot be read, or a key or a value is not allowed.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            if path.stat().st_size > _LONGEST:
                raise ValueError(f"it is longer than {_LONGEST} bytes")
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RequestError(f"{path} is not there: give the path of a TOML file") from None
        except (OSError, ValueError, RecursionError) as error:
            raise RequestError(f"{path} is not a readable TOML file: {error}") from error
    try:
        return parse_config({**values, **{k: v for k, v in overrides.items() if v is not None}})
    except RequestError as error:
        raise RequestError(f"{path}: {error}" if path is not None else str(error)) from None
    except (ValueError, OverflowError):  # a whole number of thousands of digits cannot even be shown
        raise RequestError(f"{path}: it holds a number that is too large: look at all of them") from None


def parse_config(values: dict[str, Any]) -> TrainingConfig:
    """The configuration of a dictionary.

    Raises
    ------
    RequestError
        If a key is unknown or a value has the wrong type or is not allowed.
    """
    known = [f.name for f in dataclasses.fields(TrainingConfig)]
    for key in values:
        if key not in known:
            raise RequestError(f"no setting is called {key!r}{did_you_mean(key, known)}")
    return TrainingConfig(**values)


def _toml(value: Any) -> str:
    """A scalar or a list in TOML; its strings, numbers and truth values are JSON's, apart from DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

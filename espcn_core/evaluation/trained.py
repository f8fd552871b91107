"""What a model was trained on, as its card says it: one degradation or a mixture, with noise or without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from espcn_core.evaluation.cases import NOISE, NOISY


@dataclass(frozen=True)
class Trained:
    """How the coarse slices of a training came about.

    Attributes
    ----------
    kinds : tuple of str
        Of `espcn_core.degradation`.
    noise : float
        Largest standard deviation of the noise, as a share of the range; 0 without noise.
    contrast : float
        Share of the slices whose contrast was varied.
    """

    kinds: tuple[str, ...]
    noise: float
    contrast: float

    @property
    def is_specialist(self) -> bool:
        """Of one degradation, without noise."""
        return len(self.kinds) == 1 and not self.noise

    def on(self, degradation: str) -> bool:
        """Whether slices of a degradation, such as ``area`` or ``area+rician2``, were among them."""
        kind = degradation.removesuffix(NOISY)
        return kind in self.kinds and (kind == degradation or self.noise >= NOISE)

    def __str__(self) -> str:
        noise = f"noise up to {100 * self.noise:g} %" if self.noise else "no noise"
        kinds = self.kinds[0] if len(self.kinds) == 1 else f"a mixture of {', '.join(self.kinds)}"
        return f"{kinds}; {noise}{'; varied contrast' if self.contrast else ''}"

    @property
    def short(self) -> str:
        """For the row of a table."""
        kinds = f"{self.kinds[0]} alone" if len(self.kinds) == 1 else f"mixture of {len(self.kinds)}"
        return f"{kinds}{' + noise' if self.noise else ''}"


def trained(card: Mapping[str, Any]) -> Trained:
    """What the fields of a card say; a mixture takes the place of the one degradation of the validation."""
    config = card.get("training", {}).get("config", {})
    kinds = tuple(config.get("mixture") or (card["degradation"],))
    return Trained(kinds, float(config.get("noise", 0)), float(config.get("contrast", 0)))

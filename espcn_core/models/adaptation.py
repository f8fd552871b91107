"""What adapts the layers of a network to a volume: factors for their channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Adaptation(nn.Module):
    """From a fingerprint to a scale for each channel of each layer, by way of five numbers.

    Two buffers, ``centre`` and ``spread``, hold the mean and the standard deviation of the fingerprints of
    the training (`standardise`). What lies further out than three standard deviations is taken to lie there,
    and what is not a number at the centre.
    """

    def __init__(
        self,
        traits: int,
        layers: int,
        width: int,
        *,
        hidden: int = 12,
        codes: int = 5,
        mirrored: bool = False,
        jitter: float = 0.0,
    ) -> None:
        super().__init__()
        self.mirrored = mirrored
        self.shape = (layers, width // 2 if mirrored else width)
        self.jitter = jitter
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(traits))
        self.register_buffer("spread", torch.ones(traits))
        self.code = nn.Sequential(nn.Linear(traits, hidden), nn.ReLU(), nn.Linear(hidden, codes))
        self.changes = nn.Linear(codes, self.shape[0] * self.shape[1], bias=False)
        nn.init.normal_(self.changes.weight, std=0.02)

    def standardise(self, fingerprints: Tensor) -> None:
        """Set centre and spread by the fingerprints of the training, shape (N, traits)."""
        self.centre.copy_(fingerprints.nanmean(0).nan_to_num())
        self.spread.copy_((fingerprints - self.centre).nan_to_num().std(0) + 1e-3)

    def forward(self, fingerprint: Tensor) -> Tensor:
        """(B, traits) to (B, layers, width): scales about 1."""
        with torch.autocast(fingerprint.device.type, enabled=False):
            standard = (fingerprint.float() - self.centre) / self.spread
            if self.training and self.jitter:
                standard = standard + self.jitter * torch.randn_like(standard)
            standard = standard.clamp(-3, 3).nan_to_num()
            changes: Tensor = self.changes(self.code(standard)).reshape(-1, *self.shape)
            return 1 + (torch.cat([changes, changes.flip(-1)], dim=-1) if self.mirrored else changes)

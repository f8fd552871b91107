"""The optimizers, by name."""

from __future__ import annotations

import torch
from torch import nn

from espcn_core.errors import RequestError
from espcn_core.training.config import TrainingConfig


def build_optimizer(
    network: nn.Module, config: TrainingConfig, device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer of a configuration for a network that is on its device.

    Muon makes the steps of the inner convolutions orthogonal matrices, so that all directions of a layer
    learn at the same rate. They are scaled to the size that Adam's steps have (by 0.2 sqrt(max(rows,
    columns)), Liu et al. 2025, arXiv 2502.16982), so one learning rate serves both. The first and the last
    convolution, biases and slopes are left to AdamW without decay, as its author advises (Jordan 2024,
    kellerjordan.github.io/posts/muon).

    Raises
    ------
    RequestError
        If Muon is asked for and its package is not installed.
    """
    if config.optimizer == "adam":
        fused = device.type in ("cpu", "cuda")
        return torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=fused)
    try:
        from pytorch_optimizer import Muon
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise RequestError(f"training needs {package}: pip install 'espcn-core[train]'") from None
    kernels = [parameter for parameter in network.parameters() if parameter.ndim == 4]
    inner = {id(parameter) for parameter in kernels[1:-1]}
    muon = [p for p in network.parameters() if id(p) in inner]
    rest = [p for p in network.parameters() if id(p) not in inner]
    groups = [{"params": muon, "use_muon": True}, {"params": rest, "use_muon": False}]
    rate = config.learning_rate
    return Muon(groups, lr=rate, adamw_lr=rate, adamw_betas=(0.9, 0.999), use_adjusted_lr=True)

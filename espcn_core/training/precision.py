"""Which number format the layers of a network compute in during training."""

from __future__ import annotations

import torch

from espcn_core.errors import RequestError
from espcn_core.upscaling.precision import cpu_is_faster_in_bfloat16


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The format of a name; ``auto`` takes bfloat16 where the device is faster with it, then float16 on CUDA.

    Weights, loss and optimiser stay in float32 in any case (autocast).

    Raises
    ------
    RequestError
        If float16 is asked for on anything but CUDA.
    """
    if name == "auto":
        if device.type == "cpu":
            return torch.bfloat16 if cpu_is_faster_in_bfloat16() else torch.float32
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.float32
    if name == "float16" and device.type != "cuda":
        raise RequestError(f"float16 is trained on CUDA only, not on {device.type}: set precision to auto")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]

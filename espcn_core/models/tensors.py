"""Read the safetensors format with torch alone, so that upscaling needs no further package."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import torch
from torch import Tensor

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}

_MOST_HEADER = 1 << 20
"""Bytes. The format allows 10^8, but a network has few tensors, and JSON takes many times as much memory."""


def read_tensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Parameters
    ----------
    content : bytes
        Of the whole file: the size of a header in eight bytes (little-endian); the header in JSON, which has
        ``dtype``, ``shape`` and ``data_offsets`` of each tensor; and their values.

    Raises
    ------
    ValueError
        If it is none, or a tensor does not lie where the header says.

    Notes
    -----
    The format is described at https://github.com/huggingface/safetensors#format. Packages that write it are
    left out where weights are only read, as in 3D Slicer.
    """
    if len(content) < 8:
        raise ValueError("it is too short for a header")
    (size,) = struct.unpack("<Q", content[:8])
    if size > min(_MOST_HEADER, len(content) - 8):
        raise ValueError(f"its header of {size} bytes is longer than the file, or than {_MOST_HEADER} bytes")
    try:
        header = json.loads(content[8 : 8 + size].decode("utf-8"))
        header.pop("__metadata__", None)
        values = bytearray(memoryview(content)[8 + size :])
        tensors: dict[str, Tensor] = {}
        left = len(values)
        for name, entry in header.items():
            tensors[name] = _tensor(entry, values)
            left -= tensors[name].nbytes
            if left < 0:  # or a small file could fill any memory
                raise ValueError("its tensors share bytes, and together they are larger than the file")
        return tensors
    except (AttributeError, LookupError, TypeError, RecursionError, OverflowError, RuntimeError) as error:
        raise ValueError(f"its header is not one of tensors ({error!r})") from error


def _tensor(entry: dict[str, Any], values: bytearray) -> Tensor:
    kind, shape, (start, stop) = _TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (*shape, start, stop)):
        raise ValueError(f"shape {shape} and place {start} to {stop} are not all whole numbers")
    count = math.prod(shape)
    if stop > len(values) or stop - start != count * kind.itemsize:
        raise ValueError(f"{start} to {stop} of {len(values)} bytes do not hold {shape} of {entry['dtype']}")
    if not count:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(values, dtype=kind, count=count, offset=start).reshape(shape).clone()

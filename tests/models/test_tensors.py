"""The reader of safetensors files agrees with the package that writes them, and refuses all else."""

from __future__ import annotations

import json
import struct

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.models.cards import SHIPPED
from espcn_core.models.tensors import read_tensors

kinds = st.sampled_from(
    [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32]
)
shapes = st.lists(st.integers(0, 4), max_size=4)


def packed(header, values=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + values


@given(st.dictionaries(st.text(max_size=9), st.tuples(kinds, shapes), max_size=5), st.integers(0, 99))
def test_what_the_package_writes_is_read_again(parts, seed):
    random = torch.Generator().manual_seed(seed)
    parts.pop("__metadata__", None)
    tensors = {
        name: torch.randint(-99, 99, shape, generator=random).to(kind)
        for name, (kind, shape) in parts.items()
    }
    read = read_tensors(safetensors.torch.save(tensors, {"format": "pt"}))
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.safetensors")), ids=lambda path: path.stem)
def test_shipped_weights_are_read_as_the_package_reads_them(path):
    expected, read = safetensors.torch.load(path.read_bytes()), read_tensors(path.read_bytes())
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], expected[name]) for name in expected)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "too short"),
        (b"1234567", "too short"),
        (packed({}, size=99), "longer than the file"),
        (packed({}, size=2**63), "longer than the file"),
        (packed(b"{"), "Expecting"),
        (packed(b"\xff\xfe{}"), "utf-8"),
        (packed(b"[]"), "not one of tensors"),
        (packed(b"[" * 100_000), "recursion"),
        (packed({"a": 1}), "not one of tensors"),
        (packed({"a": {}}), "not one of tensors"),
        (packed({"a": {**ENTRY, "dtype": "F8"}}, bytes(8)), "'F8'"),
        (packed({"a": ENTRY}, bytes(7)), "0 to 8 of 7 bytes do not hold"),
        (packed({"a": {**ENTRY, "shape": [3]}}, bytes(8)), "do not hold"),
        (packed({"a": {**ENTRY, "shape": [10**18, 10**18]}}, bytes(8)), "do not hold"),
        (packed({"a": {**ENTRY, "shape": [-1, -2]}}, bytes(8)), "not all whole numbers"),
        (packed({"a": {**ENTRY, "data_offsets": [-8, 0]}}, bytes(8)), "not all whole numbers"),
        (packed({"a": {**ENTRY, "data_offsets": [0]}}, bytes(8)), "values to unpack"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(content, reason):
    with pytest.raises(ValueError, match=reason):
        read_tensors(content)

from __future__ import annotations

import pytest
import torch

from espcn_core.errors import RequestError
from espcn_core.training import precision as module
from espcn_core.training.precision import choose_precision

CPU, CUDA, MPS = (torch.device(kind) for kind in ("cpu", "cuda", "mps"))


@pytest.mark.parametrize("device", [CPU, CUDA, MPS], ids=str)
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken(name, device):
    assert choose_precision(name, device) == getattr(torch, name)


def test_float16_is_for_cuda():
    assert choose_precision("float16", CUDA) == torch.float16
    with pytest.raises(RequestError, match="float16 is trained on CUDA only, not on cpu"):
        choose_precision("float16", CPU)


@pytest.mark.parametrize("faster", [True, False])
def test_auto_on_a_cpu_is_what_is_faster(monkeypatch, faster):
    monkeypatch.setattr(module, "cpu_is_faster_in_bfloat16", lambda: faster)
    assert choose_precision("auto", CPU) == (torch.bfloat16 if faster else torch.float32)


@pytest.mark.parametrize(("has", "wanted"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_on_cuda(monkeypatch, has, wanted):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has)
    assert choose_precision("auto", CUDA) == wanted


def test_auto_elsewhere_is_float32():
    assert choose_precision("auto", MPS) == torch.float32

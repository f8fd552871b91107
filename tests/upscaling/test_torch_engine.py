from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from espcn_core.errors import EspcnError, RequestError
from espcn_core.upscaling.torch_engine import TorchEngine, choose_device

CPU = torch.device("cpu")


def upscaled(engine, batch, *say):
    """All pieces, put together; each pixel must come exactly once."""
    rows, columns = (n * r for n, r in zip(batch.shape[2:], engine.factor, strict=True))
    whole = torch.full((len(batch), 1, rows, columns), torch.nan)
    for piece in engine(batch, *say):
        part = whole[piece.numbers, :, piece.rows, piece.columns]
        assert part.isnan().all()
        assert part.shape == piece.image.shape
        part.copy_(piece.image)
    assert not whole.isnan().any()
    return whole


def test_a_bicubic_network_is_bicubic_up_to_the_edge(make_model):
    batch = torch.rand(3, 1, 20, 17)
    result = upscaled(TorchEngine(make_model(bicubic=True), CPU), batch)
    expected = functional.interpolate(batch, scale_factor=2, mode="bicubic", align_corners=False)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", ["espcn", "espcn-2016", "espcn-r"])
@pytest.mark.parametrize("factor", [(2, 2), (1, 4)])
def test_tiles_make_no_difference(make_model, architecture, factor):
    engine = TorchEngine(make_model(factor, architecture), CPU)
    batch = torch.rand(3, 1, 33, 50)
    whole = upscaled(engine, batch)
    assert whole.shape == (3, 1, 33 * factor[0], 50 * factor[1])
    for pixels in (4000, 1000, 200):
        engine.pixels_at_once = pixels
        torch.testing.assert_close(upscaled(engine, batch), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (2, 2)])
def test_tiny_slices_work(make_model, size):
    result = upscaled(TorchEngine(make_model(), CPU), torch.rand(1, 1, *size))
    assert result.shape == (1, 1, 2 * size[0], 2 * size[1])
    assert torch.isfinite(result).all()


def memory_for(engine, pixels, monkeypatch):
    """Make the network of an engine fail above a number of (padded) pixels, as a full device does."""
    network = engine.network

    def limited(batch):
        if batch[:, 0].numel() > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network(batch)

    monkeypatch.setattr(engine, "network", limited)


def test_too_little_memory_means_smaller_batches_then_tiles_and_is_said(make_model, monkeypatch):
    said = []
    engine = TorchEngine(make_model(), CPU)
    batch = torch.rand(8, 1, 64, 64)
    whole = upscaled(engine, batch)
    memory_for(engine, 80 * 80, monkeypatch)
    torch.testing.assert_close(upscaled(engine, batch, said.append), whole, rtol=0, atol=1e-5)
    assert "16,384 pixels at once" in said[0]
    assert len(said) <= 4
    count = len(said)
    upscaled(engine, batch, said.append)  # it has learned what fits
    assert len(said) == count


def test_no_memory_at_all_is_one_sentence(make_model, monkeypatch):
    engine = TorchEngine(make_model(), CPU)
    memory_for(engine, 10, monkeypatch)
    with pytest.raises(EspcnError, match="memory of device cpu is too small or in use: use --device cpu"):
        upscaled(engine, torch.rand(1, 1, 64, 64))


def test_devices_are_chosen_by_name(monkeypatch):
    assert choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(RequestError, match=r"no cuda device here \(found: cpu\)"):
        choose_device("cuda")
    with pytest.raises(RequestError, match="no device is called 'gpu'"):
        choose_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"

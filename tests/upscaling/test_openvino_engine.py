"""Networks that OpenVINO runs give what torch gives."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from espcn_core.errors import RequestError
from espcn_core.models.cards import shipped_cards
from espcn_core.upscaling.torch_engine import TorchEngine

pytest.importorskip("openvino")
from espcn_core.upscaling.openvino_engine import OpenVINOEngine, _some_tiles

CPU = torch.device("cpu")


@pytest.mark.parametrize("architecture", ["espcn", "espcn-2016", "espcn-r"])
@pytest.mark.parametrize("factor", [(2, 2), (1, 3), (3, 1)])
def test_all_networks_are_those_of_torch(make_model, whole, architecture, factor):
    model = make_model(factor, architecture)
    batch = torch.rand(3, 1, 21, 34)
    expected = whole(TorchEngine(model, CPU), batch)
    result = whole(OpenVINOEngine(model).adapted(batch[:, 0]), batch)
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", list(shipped_cards()))
@pytest.mark.parametrize(("precision", "least", "most"), [("fp32", 0, 1e-4), ("bf16", 1e-4, 0.08)])
def test_shipped_networks_are_as_near_to_float32_as_with_torch(name, precision, least, most, whole, heads):
    """Root mean square, in grey levels of 255; the study's network ends in a sigmoid and is further away."""
    by_torch, by_openvino = TorchEngine(name, CPU), OpenVINOEngine(name, precision)
    batch = heads(by_torch.factor)
    expected, result = (whole(e.adapted(batch[:, 0]), batch) for e in (by_torch, by_openvino))
    most *= 1 if name.startswith("espcn-r") else 4
    assert least <= 255 * (result - expected).square().mean().sqrt() < most


@pytest.mark.parametrize("name", ["espcn-r-x2", "espcn-r-x4", "espcn-r-through-x4"])
def test_eight_bits_are_further_away_but_no_seams_appear(name, whole, heads):
    batch = heads(TorchEngine(name, CPU).factor)
    expected = whole(TorchEngine(name, CPU).adapted(batch[:, 0]), batch)
    engine = OpenVINOEngine(name, "int8").adapted(batch[:, 0])
    result = whole(engine, batch)
    assert 0.05 < 255 * (result - expected).square().mean().sqrt() < 0.2
    engine.pixels_at_once = batch[0].numel() // 3
    assert 255 * (whole(engine, batch) - result).abs().max() < 0.5


def test_channels_of_unlike_ranges_keep_their_digits_in_eight_bits(make_model, whole):
    """One channel 50 times as wide, with weights of the next layer as small, changes nothing."""
    model = make_model((2, 2), "espcn-r")
    batch = torch.rand(32, 1, 40, 40)
    expected = whole(TorchEngine(model, CPU), batch)
    engine = OpenVINOEngine(model, "int8")
    plain = (whole(engine.adapted(batch[:, 0]), batch) - expected).square().mean().sqrt()
    with torch.no_grad():
        for before, after in itertools.pairwise(
            m for m in engine.network.modules() if isinstance(m, nn.Conv2d)
        ):
            before.weight[0] *= 50
            before.bias[0] *= 50
            after.weight[:, 0] /= 50
    uneven = (whole(engine.adapted(batch[:, 0]), batch) - expected).square().mean().sqrt()
    assert uneven < 1.2 * plain


@pytest.mark.parametrize(("count", "few"), [(16, 8), (12, 3), (1, 1)])
def test_of_the_slices_that_show_its_ranges_one_is_kept_at_a_time(heads, count, few):
    images = heads((2, 2))[:, 0]
    alive, most = weakref.WeakSet(), []

    class Made(Sequence):
        def __len__(self):
            return count

        def __getitem__(self, number):
            if number >= len(self):
                raise IndexError
            image = images[number % len(images)].clone()
            alive.add(image)
            most.append(len(alive))
            return image

    OpenVINOEngine("espcn-r-x2", "int8").adapted(Made())
    assert len(most) == count + 1 + 2 * few  # one more tells the size
    assert max(most) <= 2  # the last one goes when the next one is there


def test_of_large_slices_some_tiles_are_looked_at_and_of_small_ones_all():
    assert len(_some_tiles(16, (256, 256))) == len(set(_some_tiles(16, (200, 130)))) == 32
    assert {number for number, _, _ in _some_tiles(16, (256, 256))} == {1, 3, 5, 7, 9, 11, 13, 15}
    assert _some_tiles(1, (100, 130)) == [(0, 0, 0), (0, 0, 128)]
    large = _some_tiles(1, (3072, 3072))
    assert len(set(large)) == 32
    assert len({column for _, _, column in large}) > 12  # spread over all of it
    assert large == _some_tiles(1, (3072, 3072))


@pytest.mark.parametrize("name", ["espcn-r-x2", "espcn-r-through-x4"])
def test_what_the_volume_showed_nothing_of_is_not_computed_in_eight_bits(name, whole, heads):
    """One bright spot in a slice that was not looked at; cut off, it would be 20 grey levels off."""
    known = heads(TorchEngine(name, CPU).factor)
    batch = known.clone()
    row, column = (n // 2 for n in batch.shape[2:])
    batch[1, :, row, column] = 4 * known.max()
    exact = TorchEngine(name, CPU).adapted(known[:, 0])
    engine = OpenVINOEngine(name, "int8").adapted(known[:, 0])
    expected, result = whole(exact, batch), whole(engine, batch)
    down, across = engine.factor
    near = (
        1,
        0,
        slice((row - 5) * down, (row + 6) * down),
        slice((column - 5) * across, (column + 6) * across),
    )
    torch.testing.assert_close(result[near], expected[near], rtol=0, atol=1e-5)
    engine._ordinary = None
    assert 255 * (whole(engine, batch)[near] - expected[near]).abs().max() > 20
    assert 255 * (whole(engine, batch)[0] - result[0]).abs().max() < 1


def test_eight_bits_are_for_networks_that_add_to_an_interpolation():
    with pytest.raises(RequestError, match="espcn-x4 loses too much in int8: use --precision bf16 or fp32"):
        OpenVINOEngine("espcn-x4", "int8")


def test_a_piece_keeps_its_values_when_the_next_one_is_computed(make_model):
    batch = torch.rand(4, 1, 16, 16)
    engine = OpenVINOEngine(make_model()).adapted(batch[:, 0])
    engine.pixels_at_once = 256
    pieces = list(engine(batch))
    assert len(pieces) == 4
    alone = [next(engine(batch[n : n + 1])).image for n in range(4)]
    for piece, image in zip(pieces, alone, strict=True):
        torch.testing.assert_close(piece.image, image, rtol=0, atol=1e-6)


def test_it_computes_for_a_volume_alone(make_model):
    with pytest.raises(RuntimeError, match="after it was adapted"):
        list(OpenVINOEngine(make_model())(torch.rand(1, 1, 8, 8)))


def test_the_engine_of_one_volume_is_not_that_of_another(whole, heads):
    batch = heads((2, 2))
    engine = OpenVINOEngine("espcn-r-x2")
    first = engine.adapted(batch[:, 0])
    before = whole(first, batch)
    engine.adapted(torch.rand(3, 40, 40))
    torch.testing.assert_close(whole(first, batch), before, rtol=0, atol=0)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of threads")
def test_processes_side_by_side_are_not_bound_to_the_same_cores():
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("needs two cores")
    batch = torch.rand(4, 1, 256, 256)
    engine = OpenVINOEngine("espcn-r-x2").adapted(batch[:, 0])
    runs = threading.Thread(target=lambda: list(engine(batch)))
    runs.start()
    while runs.is_alive():
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                assert os.sched_getaffinity(int(task.name)) == cores


def test_openvino_reports_to_nobody():
    code = (
        "import sys, espcn_core.upscaling.openvino_engine\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"

"""What is constant is left out, and nothing shows it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espcn_core.degradation import degrade
from espcn_core.grid import Grid
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model
from espcn_core.upscaling.constant import SparingEngine, varying_box
from espcn_core.upscaling.engine import Engine
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.torch_engine import TorchEngine
from espcn_core.upscaling.upscaler import run


class Counting(Engine):
    """An engine in float64 that keeps the sizes that it was given, without padding."""

    def __init__(self, model: str) -> None:
        super().__init__(model, "cpu", 2**16)
        self.network.double()
        self.given = []

    @torch.inference_mode()
    def start(self, padded):
        count, _, height, width = padded.shape
        self.given.append((count, height - 2 * self.radius, width - 2 * self.radius))
        fine = self.network(padded.double()).float()
        return lambda: fine

    def free(self) -> None:
        raise AssertionError


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    torch.manual_seed(1)
    arguments = {"width": 4, "depth": 2}
    network = build("espcn-r", (2, 3), **arguments)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    card = Card("m", "espcn-r", (2, 3), "bicubic", arguments)
    made = Counting(str(save_model(network, card, tmp_path_factory.mktemp("models"))))
    assert made.radius == 4
    return made


def together(pieces, shape):
    """The fine slices, each voxel of which must be there once."""
    count, _, height, width = shape
    image = torch.full((count, 1, 2 * height, 3 * width), torch.nan)
    for piece in pieces:
        part = image[piece.numbers, :, piece.rows, piece.columns]
        assert part.shape == piece.image.shape
        assert part.isnan().all()
        part[...] = piece.image
    assert not image.isnan().any()
    return image


def spared(engine, batch):
    """The sizes that a network is given without what is constant, once the result is the same."""
    engine.given.clear()
    image = together(SparingEngine(engine)(batch, lambda sentence: None), batch.shape)
    given = list(engine.given)
    torch.testing.assert_close(image, together(engine(batch), batch.shape), rtol=0, atol=1e-6)
    return given


@st.composite
def boxes(draw):
    """A constant batch, and a box in it."""
    shape = [draw(st.integers(1, most)) for most in (4, 50, 40)]
    box = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        box.append(slice(start, draw(st.integers(start, n))))
    return torch.full((shape[0], 1, *shape[1:]), draw(st.sampled_from([0.0, -0.3, 1.7]))), box


@settings(max_examples=150)
@given(boxes(), st.booleans())
def test_a_box_of_noise_anywhere_in_a_constant_batch(engine, drawn, dense):
    batch, (numbers, rows, columns) = drawn
    part = batch[numbers, :, rows, columns]
    noise = torch.rand(part.shape, generator=torch.Generator().manual_seed(part.numel()))
    part += noise if dense else noise * (noise > 0.9)
    spared(engine, batch)


@pytest.mark.parametrize("row", [0, 20, 59])
@pytest.mark.parametrize("column", [0, 20, 49])
def test_one_pixel_that_differs(engine, row, column):
    batch = torch.zeros(3, 1, 60, 50)
    batch[1, 0, row, column] = 1
    given = spared(engine, batch)
    if (row, column) == (0, 0):  # the border is taken from the first slice, which is constant
        assert given == [(1, 8, 8), (1, 1, 1)]
    assert max(n * height * width for n, height, width in given) <= 16 * 16
    only = batch[1:2].clone()
    given = spared(engine, only)
    assert ((1, 60, 50) in given) == ((row, column) == (0, 0))  # here no pixel is known to be the border


def test_what_is_all_constant_costs_one_pixel_for_each_value(engine):
    sparing = SparingEngine(engine)
    engine.given.clear()
    for value in (0.0, 0.25, 0.0, 0.25):
        batch = torch.full((5, 1, 30, 20), value)
        image = together(sparing(batch, lambda sentence: None), batch.shape)
        assert len(image[..., ::2, ::3].unique()) == 1
    assert engine.given == [(1, 1, 1), (1, 1, 1)]


def test_slices_of_other_constants_are_given_to_the_network(engine):
    batch = torch.zeros(2, 1, 30, 20)
    batch[1] = 1
    assert spared(engine, batch) == [(1, 30, 20), (1, 1, 1)]


def test_constant_slices_at_the_ends_are_left_out_and_those_between_are_not(engine):
    batch = torch.zeros(9, 1, 60, 50)
    batch[3, 0, 20:30, 20:25] = 1
    batch[6, 0, 40, 30] = 2
    assert spared(engine, batch) == [(4, 32, 24), (1, 1, 1)]  # 29 rows and 19 columns, in steps of 8


def test_a_box_that_is_nearly_all_is_not_worth_a_new_size(engine):
    batch = torch.zeros(1, 1, 60, 50)
    batch[0, 0, 2:60, 1:50] = torch.rand(58, 49)
    assert spared(engine, batch) == [(1, 60, 50)]


def test_nothing_that_is_not_a_number_is_taken_for_constant():
    image = np.full((1, 30, 20), np.nan, np.float32)
    assert varying_box(image, 4) == (slice(0, 1), slice(0, 30), slice(0, 20))


def test_the_pieces_of_a_box_are_where_it_is(engine, monkeypatch):
    monkeypatch.setattr(engine, "pixels_at_once", 100)
    batch = torch.zeros(4, 1, 60, 50)
    batch[1:3, 0, 22:40, 18:33] = torch.rand(2, 18, 15)
    given = spared(engine, batch)
    assert len(given) > 10
    assert sum(n * height * width for n, height, width in given[:-1]) == 2 * 32 * 24


SHIPPED = ["espcn-r-x2", "espcn-r-x4", "espcn-r-through-x4", "espcn-x4"]


@pytest.fixture(scope="module")
def sample():
    """Slices of 128 x 128 as if without the skull, air exactly 0, the first and the last one all air."""
    path = Path(__file__).parents[2] / "resources" / "sample_t1ce.nii.gz"
    values = np.asarray(nib.load(path).dataobj).astype(np.float32)
    fine = torch.from_numpy(values.transpose(2, 0, 1).copy())
    coarse = degrade(fine[:, None], (4, 4), "area")[:, 0].numpy()
    down, across = (np.linspace(-1, 1, n) for n in coarse.shape[1:])
    coarse[:, (down[:, None] / 0.55) ** 2 + (across / 0.7) ** 2 > 1] = 0
    coarse[coarse < 20] = 0
    coarse[[0, -1]] = 0
    return np.asfortranarray(coarse.transpose(1, 2, 0).round().astype(np.int16) * 16)


@pytest.mark.parametrize(("precision", "close"), [("fp32", 1e-6), ("bf16", 1e-5)])
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_give_the_same_volume(name, precision, close, sample, monkeypatch):
    pixels, start = [0], TorchEngine.start

    def counting(engine, padded):
        pixels[-1] += padded.numel()
        return start(engine, padded)

    monkeypatch.setattr(TorchEngine, "start", counting)
    engines = Engines("cpu", precision)
    rows, columns = engines.load(name).factor
    scale, spacing = ((1, 1, columns), columns) if rows == 1 else ((rows, columns, 1), 1)
    plan = make_plan(Grid(sample.shape, np.diag([1, 1, spacing, 1])), Request(scale=scale, model=name))
    less = run(plan, sample, dtype=np.float32, engines=engines).array
    pixels.append(0)
    monkeypatch.setattr("espcn_core.upscaling.sweep.SparingEngine", lambda engine: engine)
    every = run(plan, sample, dtype=np.float32, engines=engines).array
    assert pixels[0] < 0.75 * pixels[1]
    slack = close * float(sample.max())
    off = np.abs(less - every)
    if rows == 1:  # what two planes made is kept in float16: its last bit may be rounded to the other side
        assert np.mean(off > slack) < 1e-4
        slack = float(sample.max()) / 2**13
    assert off.max() <= slack
    ties = every[np.rint(less) != np.rint(every)] % 1
    np.testing.assert_allclose(ties, 0.5, atol=slack)

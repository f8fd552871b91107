"""What a run costs, by counts that do not vary; how long it takes is for `benchmarks.speed`.

A number that has grown is a copy, a pass or a layer that somebody has added. One that has shrunk is to be
written down here, so that it stays. They are the same on every processor: counted is what torch's operations
return, not what they allocate inside, which is up to the library that each processor has.
"""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.models.cards import shipped_cards
from espcn_core.models.espcn_r import EspcnR
from espcn_core.models.fingerprint import _layout, fingerprint
from espcn_core.upscaling import upscaler
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request, make_plan

CARDS = shipped_cards()

NETWORKS = {
    "espcn-r-through-x2": (322452.875, 2652.42),
    "espcn-r-through-x3": (323311.3125, 1822.2),
    "espcn-r-through-x4": (324169.75, 1407.08),
    "espcn-r-through-x5": (325028.1875, 1158.01),
    "espcn-r-through-x6": (325886.625, 991.969),
    "espcn-r-through-x7": (326745.0625, 873.365),
    "espcn-r-through-x8": (327603.5, 784.412),
    "espcn-r-x2-bicubic": (100433.25, 399.016),
    "espcn-r-x2": (100433.25, 413.124),
    "espcn-r-x3-bicubic": (102254.8125, 186.238),
    "espcn-r-x3": (102254.8125, 192.613),
    "espcn-r-x4-bicubic": (183344.25, 156.488),
    "espcn-r-x4": (183344.25, 158.145),
    "espcn-x4": (87191, 120.846),
}
"""Multiplications of each shipped model per coarse voxel, and bytes that its operations return per fine one.

Of 32 x 24 x 8 voxels in float32, padding and, through thick slices, both planes included.
"""

PEAKS = {"espcn-r-x2": 1.223, "espcn-r-through-x4": 2.115}
"""Bytes that numpy has at most beside the input, per byte of the result, of 96 x 80 x 20 voxels in int16."""

PASSES = {"espcn-r-x2": (4.5, 1.5, 1.0), "espcn-r-through-x4": (15 + 8 / 15, 14 + 8 / 15, 1.0)}
"""How often each of 24 x 20 x 64 voxels is read, and goes through the intensity map and back.

Reading twice is for the range, once and a bit for its percentiles, and sixteen slices are looked at before
the others. Of thick slices the farthest voxel is looked for; they are taken from what each plane makes, added
again, and compared with the result, slice by slice.
"""


def task(name, shape):
    """A plan for a model, and noise to upscale: thick slices for models that make them thin."""
    rows, columns = CARDS[name].factor
    scale, spacing = ((1, 1, columns), columns) if rows == 1 else ((rows, columns, 1), 1)
    array = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16, order="F")
    grid = Grid(shape, np.diag([1, 1, spacing, 1]))
    return make_plan(grid, Request(scale=scale, plane="auto", model=name)), array


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing by more, and wait for them on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_list_is_complete():
    assert set(NETWORKS) == set(CARDS)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_multiply_and_return_no_more(name):
    multiplications, returned = by_torch(name)
    assert multiplications == pytest.approx(NETWORKS[name][0], rel=1e-6)
    assert returned == pytest.approx(NETWORKS[name][1], rel=0.003)


@pytest.mark.parametrize("name", PEAKS)
def test_there_are_no_more_copies_of_the_volume(name):
    assert by_numpy(name) == pytest.approx(PEAKS[name], rel=0.02)


@pytest.mark.parametrize("name", PASSES)
def test_the_volume_is_read_and_mapped_no_more_often(name):
    assert passes(name) == pytest.approx(PASSES[name], rel=0.001)


def test_the_fingerprint_of_a_large_slice_is_no_more_than_some_images_of_it():
    """Of 14 squares of frequency and a corner it needs one mean each, and no mask each."""
    image = torch.rand(256, 256)
    _layout.cache_clear()
    with Counted() as counted:
        fingerprint([image])
    assert counted.bytes / 256**2 == pytest.approx(14.64, rel=0.01)


def test_what_is_constant_is_not_computed():
    assert by_torch("espcn-r-x2", air=True)[0] < 0.4 * NETWORKS["espcn-r-x2"][0]


def test_one_more_copy_in_a_network_is_noticed(monkeypatch):
    forward = EspcnR.forward
    monkeypatch.setattr(EspcnR, "forward", lambda self, x: forward(self, x.clone()))
    multiplications, returned = by_torch("espcn-r-x2")
    assert multiplications == NETWORKS["espcn-r-x2"][0]
    assert returned > 1.0035 * NETWORKS["espcn-r-x2"][1]


def test_one_more_layer_is_noticed(monkeypatch):
    forward = EspcnR.forward
    monkeypatch.setattr(EspcnR, "forward", lambda self, x: forward(self, x) + 0 * forward(self, x))
    assert by_torch("espcn-r-x2")[0] > 1.5 * NETWORKS["espcn-r-x2"][0]


def test_one_more_copy_of_a_slice_is_noticed(monkeypatch):
    inverse = IntensityMap.inverse
    monkeypatch.setattr(IntensityMap, "inverse", lambda self, array, *to: inverse(self, array.copy(), *to))
    assert by_numpy("espcn-r-x2") > 1.04 * PEAKS["espcn-r-x2"]


def test_one_more_copy_of_the_volume_is_noticed(monkeypatch):
    values = upscaler.Values
    monkeypatch.setattr(upscaler, "Values", lambda array, *others: values(array.copy(), *others))
    for name in PEAKS:
        assert by_numpy(name) > 1.04 * PEAKS[name]


def test_one_more_pass_is_noticed(monkeypatch):
    count = upscaler.count_nonfinite
    monkeypatch.setattr(upscaler, "count_nonfinite", lambda array: count(array) + 0 * int(array.max()))
    assert passes("espcn-r-x2")[0] == pytest.approx(PASSES["espcn-r-x2"][0] + 1)


def test_one_more_map_is_noticed(monkeypatch):
    monkeypatch.setattr(
        "espcn_core.upscaling.sweep.fill_gaps", lambda image: IntensityMap(0.0, 1.0).forward(image)
    )
    assert passes("espcn-r-x2")[1] == pytest.approx(2 * PASSES["espcn-r-x2"][1])


class Counted(TorchDispatchMode):
    """Counts the multiplications of convolutions, and the bytes of every new tensor that torch returns."""

    def __init__(self):
        super().__init__()
        self.multiplications = self.bytes = 0

    def __torch_dispatch__(self, operation, types, given=(), named=None):
        made = operation(*given, **(named or {}))
        if "conv" in operation.name():
            (count, _, rows, columns), weight = given[0].shape, given[1]
            self.multiplications += count * rows * columns * weight.numel()
        views = storages((given, named))
        self.bytes += sum(size for place, size in storages(made).items() if place not in views)
        return made


def storages(tree):
    """Where the tensors in it lie, and their bytes."""
    return {
        leaf.untyped_storage().data_ptr(): leaf.nbytes
        for leaf in tree_leaves(tree)
        if isinstance(leaf, torch.Tensor)
    }


def by_torch(name, air=False):
    """Multiplications of the convolutions per coarse voxel, and bytes of what torch returns per fine one."""
    plan, array = task(name, (32, 24, 8))
    if air:
        array[:24] = array[:, :, :4] = 0
    engines = Engines("cpu", "fp32")
    upscaler.run(plan, array, engines=engines)  # what is kept for later runs is made
    with Counted() as counted:
        made = upscaler.run(plan, array, engines=engines).array
    return counted.multiplications / array.size, counted.bytes / made.size


def by_numpy(name):
    """Bytes that numpy has at most beside the input, per byte of the result."""
    plan, array = task(name, (96, 80, 20))
    engines = Engines("cpu", "fp32")
    engines.load(name).pixels_at_once = 96 * 80  # a batch is a slice, so that what is done with it shows
    upscaler.run(plan, array, engines=engines)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("espcn_core.intensity._SAMPLE", 10_000)  # of a large volume they are a small part
        patched.setattr("espcn_core.upscaling.sweep._LOOKED_AT", 2)
        patched.setattr("espcn_core.upscaling.finish._MOST_TOGETHER", 1)
        tracemalloc.start()
        made = upscaler.run(plan, array, engines=engines).array
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return most / made.nbytes


class Watched(np.ndarray):
    """An array that counts the values that numpy's functions and methods read of it, its views and copies.

    What `np.array` and torch read of it is not seen.
    """

    read = 0

    def __getitem__(self, key):
        return self._kept(np.asarray(self)[key])

    def astype(self, *given, **named):
        return self._kept(np.asarray(self).astype(*given, **named))

    def copy(self, order="C"):
        self._count(self)
        return np.asarray(self).copy(order).view(Watched)

    def __array_ufunc__(self, ufunc, method, *inputs, **named):
        for given in inputs:
            self._count(given)
        return getattr(ufunc, method)(*map(plain, inputs), **named)

    def __array_function__(self, function, types, given, named):
        made = function(*map(plain, given), **{key: plain(value) for key, value in named.items()})
        return self._kept(made)

    def _kept(self, made):
        """A view stays watched; anything else has been read."""
        if isinstance(made, np.ndarray) and np.may_share_memory(made, np.asarray(self)):
            return made.view(Watched)
        self._count(self)
        return made

    @staticmethod
    def _count(given):
        if isinstance(given, Watched):
            Watched.read += given.size


def plain(given):
    if isinstance(given, (list, tuple)):
        return type(given)(map(plain, given))
    return np.asarray(given) if isinstance(given, Watched) else given


def passes(name):
    """How often each voxel is read, and goes through the intensity map and, of the result, back."""
    plan, array = task(name, (24, 20, 64))
    engines = Engines("cpu", "fp32")
    values = Counter()
    with pytest.MonkeyPatch.context() as patched:
        for method in ("forward", "inverse"):
            patched.setattr(IntensityMap, method, counted(getattr(IntensityMap, method), values))
        Watched.read = 0
        made = upscaler.run(plan, array.view(Watched), engines=engines).array
    return Watched.read / array.size, values["forward"] / array.size, values["inverse"] / made.size


def counted(method, values):
    def counting(self, array, *given):
        values[method.__name__] += array.size
        return method(self, array, *given)

    return counting

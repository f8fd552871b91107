import threading
import time

import numpy as np
import pytest
import torch

from espcn_core.errors import CancelledError
from espcn_core.grid import Grid
from espcn_core.upscaling import blend, sweep
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.parallel import spread, threads_for
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.upscaler import run


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items_from_several_threads():
    meet = threading.Barrier(3, timeout=10)

    def work(item):
        meet.wait()
        time.sleep(0.01 * (6 - item))
        return item, threading.get_ident(), torch.get_num_threads()

    items, threads, shares = zip(*spread(work, range(6), 3), strict=True)
    assert items == tuple(range(6))
    assert len(set(threads)) == 3
    assert threading.get_ident() not in threads
    assert set(shares) == {1}


def test_an_error_ends_all():
    begun = []

    def work(item):
        begun.append(item)
        if item == 1:
            raise ValueError("of item 1")
        time.sleep(0.02)

    with pytest.raises(ValueError, match="of item 1"):
        list(spread(work, range(100), 3))
    assert len(begun) < 20


def test_who_stops_to_listen_ends_all():
    begun = []
    results = spread(lambda item: (begun.append(item), time.sleep(0.02)), range(100), 3)
    next(results)
    results.close()
    before = len(begun)
    assert before < 20
    time.sleep(0.1)
    assert len(begun) == before


def test_a_second_one_at_the_same_time_keeps_to_its_own_thread():
    results = spread(lambda item: item, range(6), 3)
    next(results)
    assert set(spread(lambda _: threading.get_ident(), range(6), 3)) == {threading.get_ident()}
    results.close()
    assert threading.get_ident() not in set(spread(lambda _: threading.get_ident(), range(6), 3))


def test_few_items_are_left_to_the_threads_of_torch():
    assert [threads_for(count) for count in (0, 1, 11, 12, 1000)] == [1, 1, 1, 3, 3]
    torch.set_num_threads(16)
    assert [threads_for(count) for count in (15, 16)] == [1, 4]
    torch.set_num_threads(1)
    assert threads_for(1000) == 1
    torch.set_num_threads(3)


REQUESTS = {"x2": Request(scale=2), "isotropic": Request(spacing="isotropic")}


@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("request_", REQUESTS)
def test_several_threads_change_no_bit(monkeypatch, engine, request_):
    if engine == "openvino":
        pytest.importorskip("openvino")
    rng = np.random.default_rng(0)
    array = rng.normal(size=(40, 36, 28)).astype(np.float32)
    grid = Grid(array.shape, np.diag([1, 1, 3.0, 1]))
    plan = make_plan(grid, REQUESTS[request_])
    engines = Engines("cpu", "fp32", engine)
    for step in plan.steps:
        for only in step.passes:
            engines.load(only.model).pixels_at_once = 2**11
    asked = []

    def of(threads):
        def threads_for(count):
            asked.append(count)
            return threads

        for module in (sweep, blend):
            monkeypatch.setattr(module, "threads_for", threads_for)
        return run(plan, array, engines=engines)

    alone, together = of(1), of(3)
    assert np.array_equal(alone.array, together.array)
    assert alone.deviation == together.deviation
    assert together.array.flags.f_contiguous
    assert min(asked) > 6


def test_a_run_in_several_threads_can_be_stopped():
    array = np.random.default_rng(0).normal(size=(24, 24, 64)).astype(np.float32)
    plan = make_plan(Grid(array.shape, np.eye(4)), Request(scale=2))
    engines = Engines("cpu", "fp32", "torch")
    engines.load(plan.steps[0].passes[0].model).pixels_at_once = 2**10
    seen = []
    with pytest.raises(CancelledError):
        run(plan, array, engines=engines, progress=lambda done, total: seen.append(done) or len(seen) < 3)
    assert len(seen) == 3

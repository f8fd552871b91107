from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.training.schedule import CosineSchedule

PEAK = 0.02


def make(warmup, total):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    return CosineSchedule(optimizer, peak=PEAK, warmup=warmup, total=total)


def rates(schedule, steps):
    """The learning rates of the next steps."""
    taken = []
    for _ in range(steps):
        schedule(None)
        taken.append(schedule.optimizer.param_groups[0]["lr"])
    return taken


def test_it_rises_then_falls_to_zero():
    taken = rates(make(10, 100), 100)
    assert taken[:11] == sorted(taken[:11])
    assert taken[10:] == sorted(taken[10:], reverse=True)
    assert taken[0] == pytest.approx(PEAK / 11)
    assert max(taken) == pytest.approx(PEAK, rel=0.05)
    assert 0 < taken[-1] < 1e-3 * PEAK


def test_without_a_warm_up_it_is_a_cosine():
    wanted = [PEAK * (1 + math.cos(math.pi * step / 50)) / 2 for step in range(50)]
    assert rates(make(0, 50), 50) == pytest.approx(wanted)


@given(
    st.integers(0, 20),
    st.integers(1, 300),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 300)), max_size=5),
)
def test_wherever_the_end_is_moved_the_rate_never_jumps_and_ends_at_zero(warmup, total, plans):
    schedule = make(warmup, total)
    for steps, more in plans:
        rates(schedule, min(steps, schedule.total - schedule.event_index))
        before = schedule.get_param(), schedule.progress
        schedule.plan(schedule.event_index + more)
        assert (schedule.get_param(), schedule.progress) == pytest.approx(before)
    left = schedule.total - schedule.event_index
    tail = rates(schedule, left)
    assert schedule.progress == pytest.approx(1)
    assert schedule.get_param() == pytest.approx(0, abs=1e-9)
    assert all(0 <= rate <= PEAK for rate in tail)
    if schedule.event_index - left > warmup:
        assert tail == sorted(tail, reverse=True)


@given(st.integers(0, 100), st.integers(101, 200))
def test_a_restored_schedule_goes_on_with_the_same_rates(steps, planned):
    first, second = make(5, 100), make(50, 7)
    rates(first, steps // 2)
    first.plan(planned)
    rates(first, steps // 2)
    second.load_state_dict(first.state_dict())
    assert rates(second, 20) == rates(first, 20)


def test_after_the_end_the_rate_stays_zero():
    schedule = make(0, 3)
    rates(schedule, 3)
    assert rates(schedule, 2) == pytest.approx([0, 0])
    schedule.plan(5)
    assert schedule.progress == 1

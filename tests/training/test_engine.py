"""The loop alone, with constant batches, scores that are given and a clock that counts steps."""

from __future__ import annotations

import itertools
import logging

import pytest
import torch

from espcn_core.errors import EspcnError
from espcn_core.models.fingerprint import length
from espcn_core.training.engine import Loop
from espcn_core.training.state import RunState
from espcn_core.training.validation import Score

CPU = torch.device("cpu")
SECONDS_PER_STEP = 0.125


@pytest.fixture
def make_loop(make_config):
    """A loop on a fresh state; what it reports is kept in ``loop.scores`` and ``loop.seen``."""

    def make(stop=lambda: False, psnr=lambda: 31.0, precision=torch.float32, state=None, **changes):
        config = make_config(**{"scale": 2, **changes})
        state = state or RunState.fresh(config, CPU, precision)
        scores, seen = [], []

        def epoch_done(score, loss):
            scores.append((state.step, loss))
            state.history.append({"psnr": score.psnr})

        loop = Loop(
            config,
            state,
            CPU,
            precision,
            validate=lambda: Score(psnr(), 0.9, 1),
            baseline=Score(30.0, 0.8, 1),
            epoch_done=epoch_done,
            watch=seen.append,
            stop=stop,
        )
        loop.scores, loop.seen = scores, seen
        return loop

    return make


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(1)
    coarse, fine = (torch.rand(2, 1, side, side, generator=random) for side in (8, 16))
    return coarse, fine, torch.rand(2, length(False), generator=random)


@pytest.fixture
def clock(monkeypatch):
    """Every step takes the same time, so that what depends on time can be foreseen."""
    monkeypatch.setattr(Loop, "_seconds", lambda loop: SECONDS_PER_STEP * loop.state.step)


def run(loop, batch):
    return loop.run(itertools.repeat(batch))


def test_all_steps_are_taken_with_a_validation_after_each_epoch(make_loop, batch):
    loop = make_loop(epochs=3, steps_per_epoch=4)
    assert run(loop, batch)
    assert loop.state.step == 12
    assert [step for step, _ in loop.scores] == [4, 8, 12]
    assert loop.state.schedule.event_index == 12
    assert loop.state.optimizer.param_groups[0]["lr"] < 1e-3


def test_the_schedule_sets_the_rate_of_every_group(make_loop, batch):
    loop = make_loop(epochs=1, steps_per_epoch=6, optimizer="muon")
    rates = []
    step = loop.step

    def followed(pair):
        rates.append([group["lr"] for group in loop.state.optimizer.param_groups])
        return step(pair)

    loop.step = followed
    run(loop, batch)
    assert [len(set(row)) for row in rates] == [1] * 6
    assert [len(row) for row in rates] == [2] * 6
    assert len({row[0] for row in rates}) > 3


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps(make_loop, batch):
    loop = make_loop(epochs=2, steps_per_epoch=3)
    losses = []
    step = loop.step
    loop.step = lambda pair: losses.append(step(pair)) or losses[-1]
    run(loop, batch)
    means = [float(torch.stack(losses[i : i + 3]).double().mean()) for i in (0, 3)]
    assert [loss for _, loss in loop.scores] == pytest.approx(means)
    assert means[1] < means[0]


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("l1", lambda d: d.abs()),
        ("mse", lambda d: d * d),
        ("charbonnier", lambda d: (d * d + 1e-6).sqrt()),
    ],
)
def test_losses(make_loop, batch, name, of):
    loop = make_loop(loss=name)
    with torch.no_grad():
        wanted = of(loop.state.network(batch[0]) - batch[1]).mean()
    assert float(loop.step(batch)) == pytest.approx(float(wanted), rel=1e-5)


def test_a_long_gradient_is_shortened(make_loop, batch):
    norms = {}
    for clip in (0, 1e-3):
        loop = make_loop(clip=clip)
        loop.step(batch)
        gradients = [p.grad for p in loop.state.network.parameters() if p.grad is not None]
        norms[clip] = float(torch.nn.utils.get_total_norm(gradients))
    assert norms[0] > 1e-3
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)


def test_the_mean_follows_fast_at_first_and_slowly_later(make_loop, batch):
    """By 9 / (10 + n) of the way in step n, until that is less than 1 - ema."""
    loop = make_loop(epochs=1, steps_per_epoch=8, ema=0.4)
    wanted = loop.state.network.sub_pixels.bias.detach().clone()
    step = loop.step

    def followed(pair):
        loss = step(pair)
        share = max(0.6, 9 / (10 + loop.state.step + 1))
        wanted.lerp_(loop.state.network.sub_pixels.bias.detach(), share)
        return loss

    loop.step = followed
    run(loop, batch)
    mean = loop.state.ema.ema_model.sub_pixels.bias
    torch.testing.assert_close(mean.detach(), wanted, rtol=1e-5, atol=1e-8)
    assert not torch.equal(mean, loop.state.network.sub_pixels.bias)


def test_layers_compute_in_the_precision_and_weights_stay_in_float32(make_loop, batch):
    loop = make_loop(precision=torch.bfloat16)
    seen = []
    loop.state.network.sub_pixels.register_forward_hook(lambda *arguments: seen.append(arguments[2].dtype))
    loss = loop.step(batch)
    assert seen == [torch.bfloat16]
    assert loss.dtype == torch.float32
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in loop.state.network.parameters())


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 8, 11])
def test_a_stop_ends_the_run_after_the_step(make_loop, batch, steps):
    loop = make_loop(stop=lambda: loop.state.step >= steps, epochs=3, steps_per_epoch=4)
    assert not run(loop, batch)
    assert loop.state.step == steps
    assert len(loop.scores) == steps // 4


def test_a_stop_at_the_very_end_is_the_end(make_loop, batch):
    loop = make_loop(stop=lambda: loop.state.step >= 8, epochs=2, steps_per_epoch=4)
    assert run(loop, batch)


def test_nothing_is_left_to_do_after_the_end(make_loop, batch):
    loop = make_loop(epochs=1, steps_per_epoch=4)
    run(loop, batch)
    weights = [p.clone() for p in loop.state.network.parameters()]
    assert run(loop, batch)
    assert loop.state.step == 4
    assert all(torch.equal(a, b) for a, b in zip(weights, loop.state.network.parameters(), strict=True))


def test_the_status_says_where_the_run_is(make_loop, batch, clock):
    loop = make_loop(epochs=2, steps_per_epoch=10)
    run(loop, batch)
    assert [status.step for status in loop.seen] == [5, 10, 10, 15, 20, 20]
    assert [status.gain for status in loop.seen] == [None, None, 1, 1, 1, 1]
    assert all(status.total == 20 for status in loop.seen)
    assert [status.seconds_left for status in loop.seen] == [
        SECONDS_PER_STEP * (20 - status.step) for status in loop.seen
    ]
    assert loop.seen[2].loss == loop.scores[0][1]
    assert all(0 < status.loss < 1 for status in loop.seen)


# A bound on the time


@pytest.mark.parametrize("steps_per_epoch", [15, 100, 1000])
@pytest.mark.parametrize("minutes", [0.25, 0.5, 1])
def test_a_run_ends_where_the_time_does(make_loop, batch, clock, steps_per_epoch, minutes):
    loop = make_loop(epochs=100, steps_per_epoch=steps_per_epoch, minutes=minutes)
    assert run(loop, batch)
    assert loop.state.step == 60 * minutes / SECONDS_PER_STEP
    assert loop.scores[-1][0] == loop.state.step
    assert loop.state.schedule.progress == 1


def test_epochs_are_a_bound_too(make_loop, batch, clock):
    loop = make_loop(epochs=4, steps_per_epoch=20, minutes=60)
    assert run(loop, batch)
    assert loop.state.step == 80


@pytest.mark.parametrize("steps_per_epoch", [7, 20, 50, 64, 1000])
def test_a_run_out_of_time_ends_soon_whatever_the_length_of_its_epochs(
    make_loop, batch, clock, steps_per_epoch
):
    loop = make_loop(epochs=1000, steps_per_epoch=steps_per_epoch, minutes=0.01)
    assert run(loop, batch)
    assert loop.state.step <= 30 + 50


def test_a_bound_on_the_time_survives_a_stop(make_loop, batch, clock):
    changes = {"epochs": 100, "steps_per_epoch": 20, "minutes": 0.5}
    straight = make_loop(**changes)
    run(straight, batch)
    first = make_loop(stop=lambda: first.state.step >= 107, **changes)
    assert not run(first, batch)
    second = make_loop(state=first.state, **changes)
    assert run(second, batch)
    assert second.state.step == straight.state.step == 240
    pairs = zip(second.state.network.parameters(), straight.state.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_time_is_counted(make_loop, batch):
    loop = make_loop(epochs=1, steps_per_epoch=2)
    loop.state.seconds = 100.0
    run(loop, batch)
    assert 100 < loop.state.seconds < 160


# Numbers that are none


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_one_sentence(make_loop, batch, value):
    loop = make_loop(epochs=3, steps_per_epoch=4)
    poisoned = (batch[0], batch[1] * value, batch[2])
    with pytest.raises(EspcnError, match=r"the loss is (nan|inf) after 4 steps: make learning_rate smaller"):
        run(loop, poisoned)
    assert not loop.scores


def test_weights_that_are_no_numbers_are_one_sentence(make_loop, batch):
    with pytest.raises(EspcnError, match="the weights are NaN after 4 steps: make learning_rate smaller"):
        run(make_loop(epochs=3, steps_per_epoch=4, psnr=lambda: float("nan")), batch)


def test_an_error_is_not_printed_by_the_engine_too(make_loop, batch, capfd, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a program that has set up no logging
    loop = make_loop(epochs=1, steps_per_epoch=2)
    with pytest.raises(EspcnError):
        run(loop, (batch[0], batch[1] * float("nan"), batch[2]))
    assert capfd.readouterr().err == ""

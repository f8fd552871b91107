from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from espcn_core.evaluation.statistics import (
    RESAMPLES,
    SEED,
    Aggregate,
    aggregate,
    compare,
    holm,
    patient_means,
    rank_biserial,
    wilcoxon,
)

numbers = st.floats(-50, 50)


def test_slices_of_a_patient_count_once():
    values = np.array([30.0, 32.0, 34.0, 40.0])
    means = patient_means(values, ["A", "A", "A", "B"])
    assert means.tolist() == [32, 40]
    assert aggregate(means).mean == 36  # 34 by slice


def test_what_is_not_finite_is_left_out():
    values = np.array([30.0, math.inf, math.nan, math.inf])
    means = patient_means(values, ["A", "A", "B", "C"])
    assert means[0] == 30
    assert np.isnan(means[1:]).all()
    assert aggregate(means).patients == 1


@given(st.lists(numbers, min_size=2, max_size=12), st.randoms())
def test_the_order_of_the_slices_does_not_matter(values, random):
    patients = [f"P{i % 3}" for i in range(len(values))]
    order = list(range(len(values)))
    random.shuffle(order)
    shuffled = patient_means(np.array(values)[order], [patients[i] for i in order])
    assert np.allclose(shuffled, patient_means(np.array(values), patients))


def test_aggregate_by_hand():
    found = aggregate(np.array([1.0, 2.0, 3.0, 10.0]))
    assert (found.patients, found.mean, found.median) == (4, 4, 2.5)
    assert found.sd == pytest.approx(math.sqrt((9 + 4 + 1 + 36) / 3))
    assert found.low < found.mean < found.high


def test_the_same_numbers_give_the_same_interval():
    values = np.random.default_rng(1).normal(33, 2, 40)
    assert aggregate(values) == aggregate(values.copy())


@pytest.mark.parametrize("patients", [2, 3, 9, 50])
def test_the_interval_is_that_of_scipy(patients):
    values = np.random.default_rng(patients).exponential(2, patients)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=np.random.default_rng(SEED)
    ).confidence_interval
    found = aggregate(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_the_interval_is_about_that_of_the_t_distribution():
    values = np.random.default_rng(1).normal(33, 2, 60)
    low, high = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
    found = aggregate(values)
    assert found.low == pytest.approx(low, abs=0.1)
    assert found.high == pytest.approx(high, abs=0.1)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    random = np.random.default_rng(0)
    found = [aggregate(random.exponential(1, 30)) for _ in range(200)]
    assert 0.88 <= np.mean([one.low <= 1 <= one.high for one in found]) <= 0.99


def test_one_patient_has_a_mean_and_no_interval():
    found = aggregate(np.array([3.0]))
    assert (found.mean, found.median) == (3, 3)
    assert all(math.isnan(value) for value in (found.sd, found.low, found.high))


def test_no_patient_has_nothing():
    found = aggregate(np.array([math.nan]))
    assert found.patients == 0
    assert math.isnan(found.mean)


def test_equal_patients_have_an_interval_without_width():
    assert aggregate(np.full(5, 3.0)) == Aggregate(5, 3, 0, 3, 3, 3)


def test_wilcoxon_is_the_exact_one():
    # All of 8 differences positive: 2 of the 256 assignments of signs are as far out.
    assert wilcoxon(np.arange(1.0, 9.0)) == pytest.approx(2 / 256)


def test_wilcoxon_leaves_zeros_out():
    assert wilcoxon(np.array([0, 0, 1.0, 2.0, 3.0])) == pytest.approx(2 / 8)


def test_rank_biserial_by_hand():
    # Ranks 1 to 4; the smallest is negative: (9 - 1) / 10.
    assert rank_biserial(np.array([-1.0, 2.0, 3.0, 4.0])) == pytest.approx(0.8)
    assert rank_biserial(np.array([1.0, 2.0])) == 1
    assert rank_biserial(np.array([-1.0, -2.0])) == -1


@given(st.lists(numbers, min_size=1, max_size=20))
def test_rank_biserial_is_the_statistic_of_scipy(values):
    differences = np.array(values)
    kept = differences[differences != 0]
    if len(kept):
        total = len(kept) * (len(kept) + 1) / 2
        positive = stats.wilcoxon(kept, alternative="greater", method="asymptotic").statistic
        assert rank_biserial(differences) == pytest.approx(2 * positive / total - 1)
    assert rank_biserial(-differences) == pytest.approx(-rank_biserial(differences))


def test_equal_methods_do_not_differ():
    values = np.array([30.0, 31.0, 32.0])
    found = compare(values, values, ["A", "B", "C"])
    assert (found.wilcoxon, found.rank_biserial, found.difference.mean) == (1, 0, 0)
    assert found.mann_whitney == 1


def test_nothing_to_compare():
    nothing = np.full(3, math.nan)
    found = compare(nothing, np.ones(3), ["A", "B", "C"])
    assert (found.slices, found.difference.patients) == (0, 0)
    assert math.isnan(found.wilcoxon)
    assert math.isnan(found.rank_biserial)
    assert math.isnan(found.mann_whitney)


def test_only_slices_that_both_have_are_compared():
    first = np.array([30.0, 90.0, math.inf, 34.0])
    second = np.array([29.0, math.nan, 50.0, 32.0])
    found = compare(first, second, ["A", "A", "B", "B"])
    assert found.slices == 2
    assert found.difference.mean == 1.5


def test_pairs_show_what_mann_whitney_misses():
    """Patients differ by far more than the methods do, and the methods differ in every patient."""
    hard = np.random.default_rng(2).normal(33, 3, 20)
    found = compare(hard + 0.1, hard, [f"P{i:02}" for i in range(20)])
    assert found.wilcoxon < 0.001
    assert found.rank_biserial == 1
    assert found.mann_whitney > 0.5


def test_slices_do_not_make_patients():
    """Three patients cannot show much, however many slices are cut from them; Mann-Whitney believes them."""
    random = np.random.default_rng(3)
    patients = np.repeat(["A", "B", "C"], 100)
    first = random.normal(33, 1, 300)
    found = compare(first + 1, first + random.normal(0, 0.1, 300), patients.tolist())
    assert found.wilcoxon == 0.25
    assert found.mann_whitney < 0.001


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_holm_does_not_count_what_was_not_tested():
    adjusted = holm([0.01, math.nan, 0.04])
    assert adjusted[::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted[1])
    assert holm([]) == []

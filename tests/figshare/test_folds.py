from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.errors import DataError, RequestError
from espcn_core.figshare import FigshareSource, as_runs, from_runs, open_source, split, unseen
from espcn_core.figshare.folds import person


class _Table:
    """A source of which only patients and folds are asked."""

    def __init__(self, patients: dict[int, str], folds: dict[int, int] | None) -> None:
        self._patients, self._folds = patients, folds

    def patients(self) -> dict[int, str]:
        return self._patients

    def folds(self) -> dict[int, int] | None:
        return self._folds


def _source(patients: dict[int, str], folds: dict[int, int] | None = None) -> FigshareSource:
    return cast(FigshareSource, _Table(patients, folds))


def test_the_published_folds_are_kept(figshare_dir: Path) -> None:
    with open_source(figshare_dir) as source:
        folds = source.folds() or {}
        for fold in range(1, 6):
            made = split(source, fold)
            assert made.by == "cvind"
            assert made.fold == fold
            assert made.validation == tuple(i for i in source.indices if folds[i] == fold)
            assert made.train == tuple(i for i in source.indices if folds[i] != fold)
        assert split(source) == split(source, 1)


many_patients = st.lists(st.integers(0, 30), min_size=20, max_size=200)


@given(numbers=many_patients, data=st.data())
def test_no_patient_is_on_both_sides_and_no_slice_is_lost(numbers: list[int], data: st.DataObject) -> None:
    patients = {i: f"MR{number:04}{'AB'[i % 2]}" for i, number in enumerate(numbers, start=1)}
    folds = data.draw(
        st.none() | st.dictionaries(st.sampled_from(sorted(patients)), st.integers(1, 5), min_size=1)
    )
    validated: Counter[int] = Counter()
    for fold in range(1, 6):
        try:
            made = split(_source(patients, folds), fold)
        except DataError:
            continue
        assert sorted((*made.train, *made.validation)) == sorted(patients)
        sides = [{person(patients[i]) for i in side} for side in (made.train, made.validation)]
        assert not sides[0] & sides[1]
        validated.update(made.validation)
    assert max(validated.values(), default=0) <= 1


@given(counts=st.lists(st.integers(1, 40), min_size=5, max_size=60), seed=st.integers(0, 9))
def test_patients_dealt_out_fill_five_like_folds(counts: list[int], seed: int) -> None:
    owners = [str(number) for number, count in enumerate(counts) for _ in range(count)]
    patients = dict(enumerate(owners, start=1))
    sizes = []
    for fold in range(1, 6):
        made = split(_source(patients), fold, seed)
        assert made == split(_source(dict(reversed(patients.items()))), fold, seed)
        assert made.by == "PID"
        sizes.append(len(made.validation))
    assert sum(sizes) == len(patients)
    assert max(sizes) - min(sizes) <= max(counts)


def test_the_seed_deals_anew() -> None:
    patients = {i: str(i // 3) for i in range(1, 200)}
    assert split(_source(patients), seed=0) != split(_source(patients), seed=1)


def test_a_patient_in_two_folds_goes_where_most_slices_are() -> None:
    patients = {1: "100A", 2: "100B", 3: "100", 4: "200", 5: "300", 6: "300"}
    folds = {1: 2, 2: 1, 3: 2, 4: 1, 5: 3, 6: 1}
    assert split(_source(patients, folds), 2).validation == (1, 2, 3)
    assert split(_source(patients, folds), 1).validation == (4, 5, 6)  # of two with as many, the lower


def test_a_patient_without_a_fold_only_trains() -> None:
    patients = defaultdict(str, {1: "a1", 2: "a1", 3: "b2", 4: "c3"})
    folds = {1: 1, 3: 2}
    assert split(_source(patients, folds), 1).train == (3, 4)
    assert split(_source(patients, folds), 2).train == (1, 2, 4)


def test_folds_of_zeros_are_no_folds() -> None:
    assert split(_source({1: "a", 2: "b", 3: "c"}, {})).by == "PID"


@pytest.mark.parametrize("fold", [0, 6, -1])
def test_a_fold_that_does_not_exist(fold: int) -> None:
    with pytest.raises(RequestError, match=f"no fold {fold}"):
        split(_source({1: "a", 2: "b"}), fold)


def test_too_few_patients() -> None:
    with pytest.raises(DataError, match="no slice to train with, of 1 patients"):
        split(_source({1: "a", 2: "a"}))
    with pytest.raises(DataError, match="no slice to validate with"):
        split(_source({1: "a", 2: "b"}), 5)


def test_a_patient_with_a_trained_slice_is_not_unseen(figshare_dir):
    with open_source(figshare_dir) as source:
        fold_5 = split(source, 5).validation
        assert unseen(source, fold_5, split(source, 5).train) == fold_5
        assert unseen(source, fold_5, {2002}) == ()  # the three slices are of one patient
        assert unseen(source, (57, 58, 143), {58, 3000}) == (143,)


@given(st.sets(st.integers(1, 60)))
def test_runs_are_the_numbers_they_were_made_of(numbers):
    runs = as_runs(numbers)
    assert from_runs(", ".join(runs)) == numbers
    assert len(runs) == sum(n - 1 not in numbers for n in numbers)


def test_runs_by_hand():
    assert as_runs([3, 1, 2, 7]) == ["1-3", "7"]
    with pytest.raises(ValueError, match="invalid literal"):
        from_runs("many")

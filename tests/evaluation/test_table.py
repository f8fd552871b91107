from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from espcn_core.errors import RequestError
from espcn_core.evaluation.table import make_table


def test_every_record_is_in_its_place(about, records):
    table = make_table(about, records)
    for record in records[::97]:
        place = table.cases.index(record.case)
        assert table.patients[place] == record.patient
        assert table.get(record.degradation, record.method, record.region, "psnr")[place] == record.psnr


def test_the_order_of_the_records_does_not_matter(about, records):
    there, back = make_table(about, records), make_table(about, records[::-1])
    assert (there.cases, there.patients) == (back.cases, back.patients)
    assert np.array_equal(there.values, back.values, equal_nan=True)


def test_a_region_that_a_slice_does_not_have_is_nan(about, records):
    table = make_table(about, records)
    without = np.array(table.patients) == "P00000"
    tumor = table.get("bicubic", "espcn-r-x4", "tumor", "psnr")
    assert np.array_equal(np.isnan(tumor), without)


def test_cases_are_sorted_by_number(about, records):
    assert list(make_table(about, records).cases) == sorted({r.case for r in records}, key=int)


def test_the_gain_of_an_exact_result_is_nan(about, records):
    exact = [
        dataclasses.replace(r, psnr=math.inf) if r.case == "1" and r.region == "image" else r for r in records
    ]
    gain = make_table(about, exact).gain("bicubic", "espcn-r-x4", "image")
    assert np.isnan(gain).tolist() == [True] + [False] * (len(gain) - 1)


def test_the_report_is_about_the_first_model(about, plain, records):
    assert make_table(about, records).main == "espcn-r-x4"
    assert make_table(*plain).main == "nearest"


def test_bicubic_must_be_there(about, records):
    methods = tuple(name for name in about.methods if name != "bicubic")
    few = [record for record in records if record.method != "bicubic"]
    with pytest.raises(RequestError, match="bicubic"):
        make_table(dataclasses.replace(about, methods=methods), few)


def test_no_records_are_no_report(about):
    with pytest.raises(RequestError, match="nothing was measured"):
        make_table(about, [])

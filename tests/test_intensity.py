"""The map to the networks' range is robust, linear and undone without a trace."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from espcn_core.intensity import IntensityMap, _percentile, cast, count_nonfinite

rng = np.random.default_rng(5)
HEAD = rng.gamma(2, 200, (30, 31, 8)).astype(np.int16)
TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=40)
LIMITS = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6)).map(lambda ends: (ends[0], sum(ends)))


@st.composite
def images(draw, dtypes):
    """Arrays of any layout, whose edges are what a type holds, infinities and NaN too."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    array = draw(arrays.arrays(dtype, draw(SHAPES)))
    return draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray, np.transpose]))(array)


def test_the_range_of_an_ordinary_volume_is_exact():
    image = rng.uniform(-40, 900, (20, 20, 20))
    fitted = IntensityMap.fit(image)
    assert (fitted.low, fitted.high) == (image.min(), image.max())


def test_a_hot_voxel_does_not_squeeze_the_rest():
    hot = HEAD.astype(np.float32)
    calm = IntensityMap.fit(hot)
    hot[3, 4, 5] = 1000 * hot.max()
    fitted = IntensityMap.fit(hot)
    assert fitted.high < 2 * calm.high
    back = fitted.inverse(fitted.forward(hot), hot.dtype)
    np.testing.assert_allclose(back, hot, rtol=1e-5, atol=1e-3)  # and it comes back hot


@given(st.floats(0.01, 100), st.floats(-1e4, 1e4))
def test_scale_and_offset_make_no_difference(gain, offset):
    first = IntensityMap.fit(HEAD).forward(HEAD)
    moved = HEAD * gain + offset
    np.testing.assert_allclose(IntensityMap.fit(moved).forward(moved), first, atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_comes_back(dtype):
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    top = min(info.max, 2**45) if info else 3e4
    bottom = max(info.min, -(2**45)) if info else -3e4
    array = np.linspace(bottom, top, 4096).astype(dtype).reshape(16, 16, 16)
    fitted = IntensityMap.fit(array)
    back = fitted.inverse(fitted.forward(array), dtype)
    assert back.dtype == dtype
    step = (float(top) - float(bottom)) * 2**-23 + (0.5 if info else 0)
    np.testing.assert_allclose(back.astype(np.float64), array.astype(np.float64), atol=step)


@pytest.mark.parametrize("value", [0, 7, -1024])
def test_constant_volumes_stay_constant(value):
    array = np.full((5, 6, 7), value, dtype=np.int16)
    fitted = IntensityMap.fit(array)
    np.testing.assert_array_equal(fitted.forward(array), 0)
    np.testing.assert_array_equal(fitted.inverse(fitted.forward(array), np.int16), array)


def test_a_volume_that_is_almost_all_air_keeps_its_range():
    array = np.zeros((40, 40, 40))
    array[20, 20, 20] = 5
    assert IntensityMap.fit(array) == IntensityMap(0, 5)


def test_values_that_are_not_finite_do_not_count():
    array = HEAD.astype(np.float32)
    calm = IntensityMap.fit(array)
    array[0, 0, :3] = [np.nan, np.inf, -np.inf]
    assert count_nonfinite(array) == 3
    assert count_nonfinite(HEAD) == 0
    fitted = IntensityMap.fit(array)
    assert fitted.low == pytest.approx(calm.low, abs=5)
    assert fitted.high == pytest.approx(calm.high, rel=0.01)
    assert IntensityMap.fit(np.full((3, 3, 3), np.nan)) == IntensityMap(0, 1)


def test_a_large_volume_has_the_map_of_all_its_voxels():
    array = rng.normal(1000, 100, (160, 160, 160)).astype(np.float32)
    fitted = IntensityMap.fit(array)
    floor, ceiling = np.percentile(array, [0.1, 99.9])
    reach = (ceiling - floor) / 2
    assert fitted.low == pytest.approx(max(array.min(), floor - reach), rel=0.01)
    assert fitted.high == pytest.approx(min(array.max(), ceiling + reach), rel=0.01)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 7, 1000, 65536])
def test_percentiles_of_ordered_values_are_those_of_numpy_to_the_last_bit(dtype, count):
    ordered = np.sort((1000 * np.abs(rng.normal(size=count))).astype(dtype))
    percents = [0.1, 50, 99.9]
    assert [_percentile(ordered, p) for p in percents] == np.percentile(ordered, percents).tolist()


@pytest.mark.parametrize("dtype", TYPES[:8])
def test_integers_are_clipped_and_never_wrapped(dtype):
    info = np.iinfo(dtype)
    for kind in (np.float32, np.float64):
        low, high, half = cast(np.array([-1e30, 1e30, 2.5], dtype=kind), dtype)
        assert low == info.min
        assert 0 <= info.max - int(high) <= info.max * 2.0**-22
        assert half == 2
    assert cast(np.array([-5, 300], dtype=np.int64), np.uint8).tolist() == [0, 255]
    assert cast(np.array([2**63], dtype=np.uint64), np.int8).tolist() == [127]


def test_nan_has_no_integer():
    with pytest.raises(ValueError, match="NaN"):
        cast(np.array([np.nan]), np.int16)


def test_large_arrays_are_read_slab_by_slab_to_the_same_end(monkeypatch):
    array = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    array[1, 2, 3], array[:, :, 4] = np.inf, np.nan
    fitted, count = IntensityMap.fit(array), count_nonfinite(array)
    monkeypatch.setattr("espcn_core.intensity._SMALL", 10)
    assert IntensityMap.fit(array) == fitted
    assert count_nonfinite(array) == count == 43


def mapped_in_steps(fitted, array):
    """`IntensityMap.forward`, with a new array for each step."""
    wide = array.dtype.itemsize > 2 and array.dtype != np.float32
    array = array.astype(np.float64 if wide else np.float32)
    moved = (array - array.dtype.type(fitted.low)).astype(array.dtype)
    return (moved / array.dtype.type(fitted.high - fitted.low)).astype(np.float32)


def cast_in_steps(array, dtype):
    """`cast`, with a new array for each step."""
    if dtype.kind == "f":
        return array.astype(dtype)
    assert not np.isnan(array).any()
    info = np.iinfo(dtype)
    top = info.max
    while float(array.dtype.type(top)) > info.max:
        top = int(np.nextafter(array.dtype.type(top), array.dtype.type(0)))
    return np.clip(np.rint(array), array.dtype.type(info.min), array.dtype.type(top)).astype(dtype)


def same_bits(one, other):
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    np.testing.assert_array_equal(np.signbit(one), np.signbit(other))
    np.testing.assert_array_equal(one, other)


@np.errstate(all="ignore")
@given(images(TYPES), LIMITS)
def test_a_map_that_works_in_place_gives_the_same_bits(array, limits):
    fitted, before = IntensityMap(*limits), array.copy()
    mapped = fitted.forward(array)
    same_bits(mapped, mapped_in_steps(fitted, array))
    assert not np.shares_memory(mapped, array)
    same_bits(array, before)


@np.errstate(all="ignore")
@given(images(["float32"]), st.sampled_from(TYPES), LIMITS)
def test_its_inverse_gives_the_same_bits_and_leaves_what_it_reads(array, dtype, limits):
    fitted, before, dtype = IntensityMap(*limits), array.copy(), np.dtype(dtype)
    kind = np.float64 if dtype.itemsize > 2 and dtype != np.float32 else np.float32
    values = array.astype(kind) * kind(fitted.high - fitted.low) + kind(fitted.low)
    if dtype.kind != "f" and np.isnan(values).any():
        with pytest.raises(ValueError, match=f"NaN has no value in {dtype}"):
            fitted.inverse(array, dtype)
    else:
        back = fitted.inverse(array, dtype)
        same_bits(back, cast_in_steps(np.asarray(values), dtype))
        assert not np.shares_memory(back, array)
    same_bits(array, before)


@np.errstate(all="ignore")
@given(images(["float32", "float64"]), st.sampled_from(TYPES))
def test_a_cast_gives_the_same_bits_and_leaves_what_it_reads(array, dtype):
    before, dtype = array.copy(), np.dtype(dtype)
    if dtype.kind == "f" or not np.isnan(array).any():
        same_bits(cast(array, dtype), cast_in_steps(array, dtype))
    same_bits(array, before)


@given(images(TYPES[:8]), st.sampled_from(TYPES[:8]))
def test_integers_that_another_type_cannot_hold_are_at_its_ends(array, dtype):
    info = np.iinfo(dtype)
    ends = [min(max(int(value), info.min), info.max) for value in array.flat]
    before = array.copy()
    np.testing.assert_array_equal(cast(array, dtype).flatten(), np.array(ends, dtype))
    np.testing.assert_array_equal(array, before)


def test_an_inverse_makes_one_working_copy_and_the_result():
    array = rng.uniform(size=(300, 400)).astype(np.float32)
    assert peak(lambda: IntensityMap(0, 900).inverse(array, np.int16)) < 4 + 2 + 0.1
    assert peak(lambda: IntensityMap(0, 900).inverse(array, np.float32)) < 4 + 0.1
    assert peak(lambda: IntensityMap(0, 900).inverse(array, np.int32)) < 8 + 4 + 0.1
    assert peak(lambda: IntensityMap(0, 900).forward(array.astype(np.int16))) < 2 + 4 + 0.1


def peak(job):
    """Bytes at most for each of 300 x 400 values."""
    tracemalloc.start()
    job()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / (300 * 400)

"""Distances between arrays, against NumPy and by their own laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen3moe.measure import NAN_DISTANCE, cosine, first_difference, max_abs, ulp_distance

floats = st.floats(width=32, allow_nan=False)
any_bits = st.integers(0, 2**32 - 1)


def f32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def from_bits(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint32).view(np.float32)


def ulp(a: np.ndarray, b: np.ndarray) -> int:
    return int(ulp_distance(a, b)[0])


@given(floats.filter(math.isfinite))
def test_the_next_float_is_one_ulp_away(value: float) -> None:
    start = f32(value)
    with np.errstate(over="ignore"):
        away = np.nextafter(start, np.copysign(np.float32(np.inf), start), dtype=np.float32)
    assert ulp(start, away) == 1


@given(any_bits, any_bits)
def test_zero_distance_means_equal_bits(a: int, b: int) -> None:
    assert (ulp(from_bits(a), from_bits(b)) == 0) == (a == b)


@given(any_bits, any_bits)
def test_distance_is_symmetric(a: int, b: int) -> None:
    assert ulp(from_bits(a), from_bits(b)) == ulp(from_bits(b), from_bits(a))


@given(floats, floats, floats)
def test_distances_add_up_along_the_line(a: float, b: float, c: float) -> None:
    low, middle, high = (f32(v) for v in sorted((a, b, c)))
    if 0.0 in (a, b, c):
        return  # sorting leaves the order of -0 and +0 open
    assert ulp(low, middle) + ulp(middle, high) == ulp(low, high)


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        (f32(0.0), f32(-0.0), 1),
        (f32(1.0), f32(1.0000001), 1),
        (f32(-1.0), f32(-1.0000001), 1),
        (f32(np.inf), f32(np.finfo(np.float32).max), 1),
        (from_bits(1), from_bits(0x80000001), 3),
        (f32(np.nan), f32(1.0), NAN_DISTANCE),
        (f32(np.nan), f32(np.nan), 0),
        (from_bits(0x7FC00000), from_bits(0x7FC00001), NAN_DISTANCE),
        (from_bits(0x7FC00000), from_bits(0xFFC00000), NAN_DISTANCE),
    ],
)
def test_distances_by_hand(a: np.ndarray, b: np.ndarray, distance: int) -> None:
    assert ulp(a, b) == distance


def test_nan_is_further_than_any_two_numbers() -> None:
    assert ulp(f32(-np.inf), f32(np.inf)) < NAN_DISTANCE


def test_cosine() -> None:
    assert cosine(f32(1, 0), f32(0, 1)) == 0
    assert cosine(f32(1, 2), f32(-1, -2)) == pytest.approx(-1)
    assert cosine(f32(1, 2), f32(2, 4)) == pytest.approx(1)
    assert cosine(f32(0, 0), f32(0, 0)) == 1
    assert cosine(f32(0, 0), f32(1, 0)) is None
    assert cosine(f32(np.nan, 1), f32(1, 1)) is None


def test_cosine_is_computed_in_float64() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 10000), dtype=np.float32)
    x, y = a.tolist(), b.tolist()
    dot, xx, yy = (math.fsum(p * q for p, q in zip(*pair, strict=True)) for pair in ((x, y), (x, x), (y, y)))
    assert cosine(a, b) == pytest.approx(dot / math.sqrt(xx * yy), rel=1e-12)


def test_max_abs() -> None:
    assert max_abs(f32(1, -2), f32(1.5, 2)) == 4
    assert max_abs(f32(np.inf, 1), f32(np.inf, 1)) == 0
    assert math.isnan(max_abs(f32(np.nan, 1), f32(1, 1)))
    assert max_abs(np.array([3, 1]), np.array([1, 1])) == 2


def test_first_difference_is_in_c_order_and_by_bits() -> None:
    a = np.zeros((2, 3), dtype=np.float32)
    assert first_difference(a, a.copy()) is None
    b = a.copy()
    b[1, 0] = 1
    b[0, 2] = -0.0
    assert first_difference(a, b) == (0, 2)
    nan = np.full(2, np.nan, dtype=np.float32)
    assert first_difference(nan, nan.copy()) is None

"""X16 against float64: the values are the nearest integers but for ties that its own roundings decide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qwen3moe import _core
from tests.arithmetic import reference

arithmetic = _core.arithmetic
SIMD = arithmetic.simd()

any_float = st.floats(width=32, allow_nan=True, allow_infinity=True)
normal_float = st.floats(-1e6, 1e6, width=32)
blocks = st.one_of(
    hnp.arrays(np.float32, st.integers(1, 600), elements=any_float),
    hnp.arrays(np.float32, st.integers(1, 600), elements=normal_float),
)


def check(x):
    expected_values, expected_scales, expected_sums = reference.quantise(x)
    for simd in SIMD:
        values, scales, sums = arithmetic.quantise(x, simd)
        np.testing.assert_array_equal(values, expected_values)
        np.testing.assert_array_equal(reference.canonical(scales), reference.canonical(expected_scales))
        np.testing.assert_array_equal(sums, expected_sums)
    for i, block in enumerate(np.split(x, range(256, x.size, 256))):
        check_block(block, values[256 * i : 256 * i + block.size], scales[i])


def check_block(x, values, scale):
    """By the definition, in float64."""
    amax = np.abs(x).max()
    if not amax <= 2.0**100:  # too large, infinite or NaN
        assert np.isnan(scale) and (values == 0).all()
    elif amax < 2.0**-60:
        assert scale == 0 and (values == 0).all()
    else:
        assert np.abs(values).max() == 32512
        ideal = x.astype(np.float64) * 32512 / np.float64(amax)
        assert (np.abs(values - ideal) <= 0.5 + 32512 * 2.0**-21).all()
        assert scale == pytest.approx(float(amax) / 32512, rel=2.0**-22)
        # so a value comes back within half a step of the block
        assert (np.abs(values * np.float64(scale) - x) <= 0.502 * float(amax) / 32512).all()


@given(blocks)
def test_any_block(x):
    check(x)


@given(hnp.arrays(np.float32, 256, elements=normal_float), st.integers(-70, 105))
def test_any_size(x, exponent):
    with np.errstate(over="ignore"):
        check(np.ldexp(x, exponent).astype(np.float32))


EDGES = {
    "zeros": np.zeros(256),
    "negative zeros": -np.zeros(256),
    "denormals": np.full(256, 1e-40),
    "at the floor": np.r_[2.0**-60, np.zeros(255)],
    "under the floor": np.r_[np.nextafter(np.float32(2.0**-60), np.float32(0)), np.zeros(255)],
    "at the limit": np.r_[-(2.0**100), np.ones(255)],
    "over the limit": np.r_[np.nextafter(np.float32(2.0**100), np.float32(np.inf)), np.ones(255)],
    "NaN": np.r_[np.nan, np.ones(255)],
    "infinity": np.r_[np.ones(255), -np.inf],
    "an outlier": np.r_[np.full(255, 1e-3), 1e4],
    "ties": np.r_[32512, np.arange(255) + 0.5],
    "negative ties": np.r_[-32512, -(np.arange(255) + 0.5)],
    "one value": np.array([-3.25]),
    "257 values": np.arange(257) - 128.0,
}


@pytest.mark.parametrize("case", EDGES)
def test_edges(case):
    check(EDGES[case].astype(np.float32))


def test_ties_go_to_even():
    values, scales, _ = arithmetic.quantise(EDGES["ties"].astype(np.float32))
    assert reference.bits(scales)[0] == reference.bits(np.float32(32512) * reference.floats(0x38010204))
    np.testing.assert_array_equal(values[1:], np.rint(np.arange(255) + 0.5))


def test_a_spoilt_block_leaves_the_others():
    x = np.ones(512, np.float32)
    x[0] = np.nan
    values, scales, _ = arithmetic.quantise(x)
    assert np.isnan(scales[0]) and (values[:256] == 0).all()
    assert scales[1] > 0 and (values[256:] == 32512).all()


def test_every_value_splits_into_two_digits():
    q = np.arange(-32512, 32513)
    for simd in SIMD:
        high = arithmetic.unary("x16_high", q.astype(np.uint32), simd).view(np.int32)
        low = arithmetic.unary("x16_low", q.astype(np.uint32), simd).view(np.int32)
        assert (256 * high + low == q).all()
        assert high.min() == -127 and high.max() == 127
        assert low.min() == -128 and low.max() == 127


@pytest.mark.parametrize("n", [1, 15, 16, 255, 256, 257, 1000])
def test_variants_agree_on_any_length(n):
    x = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    check(x)

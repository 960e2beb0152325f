"""Every function: equal to the reference in bits, to the true value within its bound, to itself on every variant."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qwen3moe import _core
from tests.arithmetic import reference
from tests.arithmetic.contract import CONTRACT, FUNCTIONS

arithmetic = _core.arithmetic
SIMD = arithmetic.simd()
ARITY = dict(arithmetic.functions())
UNARY = [name for name, arity in ARITY.items() if arity == 1]


def bits_of(x):
    return int(np.float32(x).view(np.uint32))


@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("name", ARITY)
def test_equals_the_reference(name, simd):
    arguments = arithmetic.selftest_arguments(name)
    assert arguments.shape == (1024, ARITY[name])
    np.testing.assert_array_equal(arithmetic.call(name, arguments, simd), reference.call(name, arguments))


def test_the_reference_knows_every_function():
    assert set(reference.FUNCTIONS) == set(ARITY)


@pytest.mark.parametrize("name", UNARY)
def test_equals_the_reference_at_every_exponent(name):
    def differences(bits):
        bits = bits[reference.DOMAINS[name](bits)] if name in reference.DOMAINS else bits
        return int((arithmetic.unary(name, bits, SIMD[-1]) != reference.call(name, bits[:, None])).sum())

    assert worst_over(differences, some_of) == 0


# ---- accuracy, in units of 2^-24 of the true value. `slow` takes every float, the default some of every exponent.


def true_sigmoid(x):
    return 1 / (1 + np.exp(-x))


TRUE = {
    "exp": np.exp,
    "recip": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": true_sigmoid,
    "silu": lambda x: x * true_sigmoid(x),
}
ACCURACY = {name: f["accuracy"] for name, f in FUNCTIONS.items() if "accuracy" in f}
assert set(TRUE) == set(ACCURACY)


def some_of(high):
    """4,000 floats of one sign and exponent: both ends, and runs of neighbours between."""
    starts = np.random.default_rng(high).integers(0, (1 << 23) - 500, 6)
    runs = np.concatenate([[0, (1 << 23) - 500], starts])[:, None] + np.arange(500)
    return (np.unique(runs) | high << 23).astype(np.uint32)


def all_of(high):
    return np.arange(high << 23, (high + 1) << 23, dtype=np.uint64).astype(np.uint32)


def worst_over(check, chunk):
    """The largest of check(bits) over the 512 signs and exponents."""
    with ThreadPoolExecutor(2) as pool:
        return max(pool.map(lambda high: check(chunk(high)), range(512)))


def relative_error(name, bits):
    x = bits.view(np.float32)
    inside = (x >= reference.floats(ACCURACY[name]["first"])) & (x <= reference.floats(ACCURACY[name]["last"]))
    if name == "silu":
        inside &= np.abs(x) >= 2.0**-100
    if not inside.any():
        return 0.0
    x = x[inside]
    y = arithmetic.unary(name, x, SIMD[-1]).view(np.float32)
    assert np.isfinite(y).all()
    with np.errstate(over="ignore", under="ignore"):
        expected = TRUE[name](x.astype(np.float64))
        error = np.abs(y - expected) / np.abs(expected)
    return float(error.max()) * 2**24


def check_accuracy(name, chunk):
    worst = worst_over(lambda bits: relative_error(name, bits), chunk)
    print(f"{name}: {worst:.3f}")
    assert worst <= ACCURACY[name]["bound"]


@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy(name):
    check_accuracy(name, some_of)


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy_of_every_float(name):
    check_accuracy(name, all_of)


def falls_of_exp(bits):
    """How often exp falls between neighbours of a rising array."""
    x = np.append(bits, bits[-1] + np.uint32(1)) if bits[-1] != 0xFFFFFFFF else bits  # and over to the next chunk
    x = x[(x & 0x7FFFFFFF) <= 0x7F800000]
    y = arithmetic.unary("exp", x, SIMD[-1]).view(np.float32)
    steps = np.diff(y) * np.where(x[1:] >> 31, np.float32(-1), np.float32(1))
    return int((steps < 0).sum())


def test_exp_rises():
    assert worst_over(falls_of_exp, some_of) == 0


@pytest.mark.slow
def test_exp_rises_between_any_two_floats():
    assert worst_over(falls_of_exp, all_of) == 0


@pytest.mark.parametrize("simd", SIMD)
def test_exp_at_its_ends(simd):
    x = np.array([-np.inf, -1e30, -64.000008, -64, 0, -0.0, 88, 89, 1e30, np.inf], np.float32)
    y = arithmetic.unary("exp", x, simd).view(np.float32)
    assert (y[:3] == 0).all() and y[3] > 0
    assert (y[4:6] == 1).all()
    assert (y[6:] == y[6]).all()


@pytest.mark.parametrize("name", ["exp", "sigmoid", "silu", "half", "bfloat", "settle"])
def test_nan_gives_nan(name):
    nan = np.array([0x7FC00000, 0xFFC12345, 0x7F800001] if name not in ("half",) else [0x7E00, 0xFE01], np.uint32)
    if name == "bfloat":
        nan >>= 16
        nan |= 1
    for simd in SIMD:
        assert (arithmetic.unary(name, nan, simd) == 0x7FC00000).all()


# ---- halves


@pytest.mark.parametrize("simd", SIMD)
def test_every_half_is_exact(simd):
    halves = np.arange(1 << 16, dtype=np.uint32)
    expected = reference.canonical(halves.astype(np.uint16).view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(arithmetic.unary("half", halves, simd), expected)


@pytest.mark.parametrize("simd", SIMD)
def test_every_half_comes_back(simd):
    halves = np.arange(1 << 16, dtype=np.uint32)
    halves = halves[(halves & 0x7FFF) <= 0x7C00]
    np.testing.assert_array_equal(arithmetic.unary("to_half", arithmetic.unary("half", halves), simd), halves)


def wrong_halves(bits):
    return int((arithmetic.unary("to_half", bits, SIMD[-1]) != reference.to_half(bits.view(np.float32))).sum())


def test_to_half_as_numpy():
    assert worst_over(wrong_halves, some_of) == 0


@pytest.mark.slow
def test_to_half_as_numpy_for_every_float():
    assert worst_over(wrong_halves, all_of) == 0


# ---- the same bits on every variant


@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("name", UNARY)
def test_variants_give_the_golden_hash_of_a_stretch(name, simd):
    golden = CONTRACT["exhaustive"][name]["stretch"]
    assert arithmetic.unary_hash(name, 0x3E800000, 1 << 24, f"cpu:{simd}") == golden


@pytest.mark.slow
@pytest.mark.parametrize("name", UNARY)
def test_variants_give_the_golden_hash_of_every_input(name):
    golden = CONTRACT["exhaustive"][name]
    for simd in SIMD:
        assert arithmetic.unary_hash(name, 0, golden["inputs"], f"cpu:{simd}") == golden["hash"]


def test_a_hash_is_a_sum_over_its_parts():
    def lanes(hash_):
        return np.array([hash_ & 0xFFFFFFFF, hash_ >> 32], np.uint64)

    first, count = bits_of(1.0), 100_000
    whole = lanes(arithmetic.unary_hash("exp", first, count))
    parts = lanes(arithmetic.unary_hash("exp", first, 777))
    parts = parts + lanes(arithmetic.unary_hash("exp", first + 777, count - 777))
    assert (whole == parts % 2**32).all()


def test_a_hash_sees_one_changed_result():
    assert arithmetic.unary_hash("exp", bits_of(1.0), 1) != arithmetic.unary_hash("exp", bits_of(1.0) + 1, 1)

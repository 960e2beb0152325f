"""The quantisers by themselves: the error they leave, and blocks at the edges of what a type can say."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from qwen3moe import _core
from qwen3moe.errors import ArgumentError, NumericalError

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_K", "Q5_K", "Q6_K")

# The error relative to the root mean square that llama.cpp's quantisers leave on these matrices without an importance
# matrix: ggml_quantize_chunk of the commit 4227c9b, dequantised by gguf 0.19.
THEIRS = {
    "normal": {"F16": 0.0002079, "Q8_0": 0.0053674, "Q4_K": 0.0714415, "Q5_K": 0.0361730, "Q6_K": 0.0177655},
    "heavy tails": {"F16": 0.0002073, "Q8_0": 0.0072761, "Q4_K": 0.0866269, "Q5_K": 0.0437525, "Q6_K": 0.0227749},
    "uniform": {"F16": 0.0001847, "Q8_0": 0.0037711, "Q4_K": 0.0546125, "Q5_K": 0.0276343, "Q6_K": 0.0132600},
    "outliers": {"F16": 0.0002027, "Q8_0": 0.0081479, "Q4_K": 0.0819111, "Q5_K": 0.0412490, "Q6_K": 0.0241682},
    "positive": {"F16": 0.0002078, "Q8_0": 0.0053604, "Q4_K": 0.0423096, "Q5_K": 0.0208062, "Q6_K": 0.0177225},
}


@pytest.fixture(scope="module")
def matrices():
    random, shape = np.random.default_rng(1), (512, 1024)
    found = {
        "normal": random.standard_normal(shape),
        "heavy tails": random.standard_t(4, shape),
        "uniform": random.uniform(-1, 1, shape),
        "outliers": random.standard_normal(shape),
    }
    found["outliers"][:, 7] *= 20
    found["positive"] = np.abs(random.standard_normal(shape))
    return {name: matrix.astype(np.float32) for name, matrix in found.items()}


def dequantised(type_name, raw):
    """By an independent reader."""
    return quants.dequantize(raw, GGMLQuantizationType[type_name]).reshape(-1)


def round_trip(type_name, x):
    return dequantised(type_name, _core.quantise(type_name, np.asarray(x, np.float32), 1))


def error(type_name, x):
    x = np.asarray(x, np.float32).ravel()
    off = round_trip(type_name, x).astype(np.float64) - x
    return np.sqrt(np.square(off).mean() / np.square(x.astype(np.float64)).mean())


@pytest.mark.parametrize("type_name", ["F16", "Q8_0", "Q4_K", "Q5_K", "Q6_K"])
@pytest.mark.parametrize("name", THEIRS)
def test_the_error_is_no_larger_than_llama_cpps(matrices, name, type_name):
    assert error(type_name, matrices[name]) <= THEIRS[name][type_name] + 5e-8  # the last digit of the figures


def test_more_bits_leave_less_error(matrices):
    errors = [error(type_name, matrices["normal"]) for type_name in ("Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16", "F32")]
    assert errors == sorted(errors, reverse=True) and errors[-1] == 0


@pytest.mark.parametrize("scale", [2e-4, 1e-2, 1.0, 1e3])  # the first has halves with a bit or two as scales
@pytest.mark.parametrize("type_name", ["Q8_0", "Q4_K", "Q5_K", "Q6_K"])
def test_the_error_does_not_depend_on_the_scale(matrices, type_name, scale):
    x = matrices["normal"][:64]
    assert error(type_name, x * np.float32(scale)) == pytest.approx(error(type_name, x), rel=0.05)


@pytest.mark.parametrize("type_name", TYPES)
def test_zeros(type_name):
    assert not round_trip(type_name, np.zeros(512)).any()


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("value", [1.0, -1.0, 0.375, -100.0])
def test_a_constant(type_name, value):
    np.testing.assert_allclose(round_trip(type_name, np.full(256, value)), value, rtol=0.005)


@pytest.mark.parametrize("type_name", TYPES)
@pytest.mark.parametrize("at", [0, 31, 32, 100, 255])
@pytest.mark.parametrize("value", [5.0, -5.0])
def test_one_value_among_zeros(type_name, at, value):
    x = np.zeros(256)
    x[at] = value
    np.testing.assert_allclose(round_trip(type_name, x), x, atol=0.01)


@pytest.mark.parametrize("type_name", ["Q4_K", "Q5_K", "Q6_K", "Q8_0"])
def test_every_place_keeps_its_value(type_name):
    """Bits of the numbers of places, so that two places changed for one another would show, in any packing."""
    places = np.arange(256)
    for bit in range(8):
        x = np.where(places >> bit & 1, 3.0, -1.0)
        assert np.array_equal(round_trip(type_name, x) > 1, x > 1), bit


@pytest.mark.parametrize("type_name", ["Q4_K", "Q5_K", "Q6_K"])
def test_groups_of_very_different_size(type_name):
    """Each group of 32 has a scale of its own, so the small ones are not lost beside the large."""
    sizes = np.repeat([1.0, 0.5, 0.25, 0.7, 1.0, 0.3, 0.9, 0.4], 32)
    x = sizes * np.random.default_rng(3).standard_normal(256)
    off = np.sqrt(np.square((round_trip(type_name, x) - x) / sizes).reshape(8, 32).mean(1))
    assert off.max() < 3 * off.min()


@pytest.mark.parametrize("type_name", TYPES)
def test_small_and_large_values(type_name):
    for scale in (1e-30, 1e-12, 6e-5, 60000.0):
        x = np.random.default_rng(4).uniform(-1, 1, 256) * scale
        got = round_trip(type_name, x)
        assert np.isfinite(got).all() and np.abs(got).max() <= 1.07 * scale + 1e-7


@pytest.mark.parametrize("type_name", TYPES)
def test_the_same_for_any_threads(matrices, type_name):
    x = matrices["normal"].ravel()[: 256 * 37]
    raw = [_core.quantise(type_name, x, threads).tobytes() for threads in (1, 2, 3, 64)]
    assert len(set(raw)) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65505.0, -1e30])
@pytest.mark.parametrize("type_name", ["F16", "Q8_0", "Q4_K", "Q5_K", "Q6_K"])
def test_what_no_half_can_hold_is_refused(type_name, value):
    x = np.zeros(256, np.float32)
    x[77] = value
    with pytest.raises(NumericalError, match=f"expected a number that {type_name} can hold"):
        _core.quantise(type_name, x, 1)


@pytest.mark.parametrize("type_name", ["F32", "BF16"])
def test_what_is_not_finite_is_refused(type_name):
    assert round_trip(type_name, np.full(4, 1e30))[0] == pytest.approx(1e30, rel=0.01)
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(NumericalError):
            _core.quantise(type_name, np.full(4, value, np.float32), 1)


def test_refused_arguments():
    with pytest.raises(ArgumentError, match="no quantiser for Q2_K"):
        _core.quantise("Q2_K", np.zeros(256, np.float32), 1)
    with pytest.raises(ArgumentError, match="no type is called 'Q9'"):
        _core.quantise("Q9", np.zeros(256, np.float32), 1)
    with pytest.raises(ArgumentError, match="255 values are no whole blocks of Q4_K"):
        _core.quantise("Q4_K", np.zeros(255, np.float32), 1)


@pytest.mark.parametrize("type_name", TYPES)
def test_nothing(type_name):
    assert len(_core.quantise(type_name, np.zeros(0, np.float32), 4)) == 0

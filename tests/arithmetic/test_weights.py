"""Every weight type: as floats it is what GGUF says, and its dot product has the contract's bits on every variant."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from qwen3moe import _core
from qwen3moe.errors import ArgumentError
from tests.arithmetic import formats, reference

arithmetic = _core.arithmetic
SIMD = arithmetic.simd()
QUANTISABLE = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16"]


def gguf_floats(name, data):
    with np.errstate(all="ignore"):
        return quants.dequantize(data, GGMLQuantizationType[name]).astype(np.float32)


def same_bits(a, b):
    np.testing.assert_array_equal(reference.canonical(a), reference.canonical(b))


def columns_of(name):
    """Widths that end inside a block of 256 where the type has smaller blocks."""
    if name in formats.FLOATS:
        return [1, 255, 256, 257, 2048]
    return [256, 512, 2048] if formats.FORMATS[name].block == 256 else [32, 96, 256, 288, 1024]


# ---- as floats


@pytest.mark.parametrize("halves", ["finite", "subnormal"])
@pytest.mark.parametrize("name", formats.TYPES)
def test_dequantise_as_gguf(name, halves):
    data = formats.random_rows(name, 64, 512, np.random.default_rng(1), halves)
    for simd in SIMD:
        same_bits(arithmetic.dequantise(name, data, 512, simd), gguf_floats(name, data))


@pytest.mark.parametrize("name", QUANTISABLE)
def test_dequantise_what_gguf_quantised(name):
    x = np.random.default_rng(2).standard_normal((16, 256)).astype(np.float32)
    data = quants.quantize(x, GGMLQuantizationType[name]).view(np.uint8)
    w = arithmetic.dequantise(name, data, 256)
    same_bits(w, gguf_floats(name, data))
    assert np.corrcoef(w.ravel(), x.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("name", formats.FORMATS)
def test_the_reference_reads_blocks_as_gguf(name):
    data = formats.random_rows(name, 8, 512, np.random.default_rng(3), "real")
    b = formats.unpack(name, data)
    plus = b.dmin.astype(np.float64)[:, None] * b.minimum * (1 if formats.FORMATS[name].block == 32 else -1)
    w = b.d.astype(np.float64)[:, None] * b.scale * b.q + plus
    expected = gguf_floats(name, data).astype(np.float64)
    np.testing.assert_allclose(w.reshape(expected.shape), expected, rtol=1e-6, atol=1e-6 * np.abs(w).max())


# ---- dot products


def activations(kind, n, columns, rng):
    x = rng.standard_normal((n, columns)).astype(np.float32)
    if kind == "outliers":
        x[:, :: max(1, columns // 5)] *= 300
    if kind == "sizes":  # every block of another size, one of them zero
        x *= np.exp2(rng.integers(-40, 40, (n, columns // 32 + 1))).repeat(32, axis=1)[:, :columns].astype(np.float32)
        x[0] = 0
    return x


@pytest.mark.parametrize("kind", ["normal", "outliers", "sizes"])
@pytest.mark.parametrize("name", formats.TYPES)
def test_dot_has_the_bits_of_the_reference(name, kind):
    rng = np.random.default_rng(4)
    for columns in columns_of(name):
        rows, n = 5, 3
        data = formats.random_rows(name, rows, columns, rng, "finite" if kind == "sizes" else "real")
        x = activations(kind, n, columns, rng)
        expected = np.array([[formats.dot_row(name, row, v) for row in data] for v in x], np.float32)
        for simd in SIMD:
            same_bits(arithmetic.dot(name, data, rows, columns, x, simd), expected)


@pytest.mark.parametrize("name", formats.TYPES)
def test_dot_does_not_depend_on_what_is_beside_it(name):
    rng = np.random.default_rng(5)
    columns, rows, n = 512, 7, 37
    data = formats.random_rows(name, rows, columns, rng, "real")
    x = activations("normal", n, columns, rng)
    whole = arithmetic.dot(name, data, rows, columns, x)
    for simd in SIMD:
        same_bits(arithmetic.dot(name, data, rows, columns, x, simd), whole)
        for t, r in ((0, 0), (36, 6), (31, 3), (32, 4)):
            alone = arithmetic.dot(name, data[r : r + 1], 1, columns, x[t : t + 1], simd)
            same_bits(alone[0, 0], whole[t, r])


@pytest.mark.parametrize("blocks", [1, 2, 3, 7, 9, 16])
@pytest.mark.parametrize("name", [name for name in formats.FORMATS if formats.FORMATS[name].block == 256])
def test_dot_of_many_tokens_is_that_of_each(name, blocks):
    """Row lengths that divide vectors of blocks and that do not; rows and tokens that end within a tile."""
    rng = np.random.default_rng(7)
    columns, rows, n = 256 * blocks, 37, 100
    data = formats.random_rows(name, rows, columns, rng, "real")
    x = activations("outliers", n, columns, rng)
    expected = arithmetic.dot(name, data, rows, columns, x)
    for t in (0, 99):
        row = np.array([formats.dot_row(name, row, x[t]) for row in data[[0, 36]]], np.float32)
        same_bits(expected[t, [0, 36]], row)
    for simd in SIMD:
        same_bits(arithmetic.dot(name, data, rows, columns, x, simd), expected)
        for t in (0, 50, 99):
            same_bits(arithmetic.dot(name, data, rows, columns, x[t : t + 1], simd)[0], expected[t])


@pytest.mark.parametrize("name", formats.TYPES)
def test_dot_is_the_real_value(name):
    rng = np.random.default_rng(6)
    columns, rows = 2048, 16
    data = formats.random_rows(name, rows, columns, rng, "real")
    x = activations("outliers", 1, columns, rng)
    w = gguf_floats(name, data).astype(np.float64)
    y = arithmetic.dot(name, data, rows, columns, x)[0]
    if name in formats.FLOATS:
        used = x[0].astype(np.float64)
    else:
        values, scales, _ = arithmetic.quantise(x[0])
        used = values.astype(np.float64) * scales.astype(np.float64).repeat(256)
    exact = w @ used
    sizes = np.array([formats.magnitude(name, row, used) for row in data])
    assert (np.abs(y - exact) <= 1e-6 * sizes).all()
    # and with the activations as they were: X16 costs less than a thousandth of the vectors' lengths
    true = w @ x[0].astype(np.float64)
    assert (np.abs(y - true) <= 1e-3 * np.linalg.norm(w, axis=1) * np.linalg.norm(x[0].astype(np.float64))).all()


@pytest.mark.parametrize("size, zero", [(2.0**-49, False), (2.0**-52, True), (2.0**-70, True)])
def test_tiny_products_of_floats_become_zero(size, zero):
    """Under 2^-100 a device that flushes denormals could differ: there a product is 0 everywhere."""
    x = np.full((1, 4), size, np.float32)
    for simd in SIMD:
        y = arithmetic.dot("F32", x.view(np.uint8), 1, 4, x, simd)[0, 0]
        assert reference.bits(y) == (0 if zero else reference.bits(np.float32(4 * size * size)))


# ---- the bounds: no sum of products leaves int32


def extreme_block(name):
    """One block whose every |scale * q| is the largest that its bits allow, with its minima."""
    f = formats.FORMATS[name]
    b = np.zeros(f.bytes, np.uint8)
    if name == "Q8_0":
        b[2:] = 0x80
    elif name in ("Q2_K", "Q4_1", "Q5_1", "Q4_K", "Q5_K"):
        b[:] = 0xFF
    elif name in ("Q4_0", "Q5_0", "Q3_K", "IQ4_NL", "IQ4_XS"):
        b[:] = 0x00
    elif name == "Q6_K":
        b[192:208] = 0x80
    for at in f.halves:
        b[at : at + 2] = (0x00, 0x3C)  # 1.0
    if name == "IQ4_XS":
        b[2:4] = 0
    return b


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", formats.FORMATS)
def test_extreme_blocks_do_not_overflow(name, sign):
    f = formats.FORMATS[name]
    columns = 256
    data = np.tile(extreme_block(name), (1, columns // f.block))
    b = formats.unpack(name, data)
    scale, q = f.extremes
    assert (np.abs(b.scale * b.q) == scale * q).all()
    assert f.block * scale * q * 128 < 2**31 and 256 * 63 * 32512 < 2**31
    x = np.full((1, columns), sign * 32512, np.float32)  # every X is +-32512, and dx is 1 within rounding
    values, scales, sums = arithmetic.quantise(x[0])
    assert (values == sign * 32512).all() and (sums == sign * 32512 * 16).all()
    # in Python's own integers
    total = sum(int(s) * int(v) * sign * 32512 for s, v in zip(b.scale.ravel(), b.q.ravel(), strict=True))
    minimum = sum(int(m) * sign * 32512 for m in b.minimum.ravel()) * (1 if f.block == 32 else -1)
    for simd in SIMD:
        y = arithmetic.dot(name, data, 1, columns, x, simd)
        same_bits(y[0, 0], formats.dot_row(name, data[0], x[0]))
        assert y[0, 0] == pytest.approx((total + minimum) * float(scales[0]), rel=1e-6)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_activations_that_are_not_finite_spoil_their_row_only(name):
    rng = np.random.default_rng(7)
    data = formats.random_rows(name, 3, 512, rng, "real")
    x = activations("normal", 4, 512, rng)
    clean = arithmetic.dot(name, data, 3, 512, x)
    x[1, 300], x[2, 5] = np.nan, np.inf
    for simd in SIMD:
        y = arithmetic.dot(name, data, 3, 512, x, simd)
        assert np.isnan(y[1:3]).all()
        same_bits(y[[0, 3]], clean[[0, 3]])


# ---- refusals


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: arithmetic.dequantise("Q4_X", b"", 256), "no weight type"),
        (lambda: arithmetic.dequantise("Q4_K", b"\0" * 143, 256), "143 bytes; expected a multiple of 144"),
        (lambda: arithmetic.dequantise("Q4_K", b"", 100), "100 columns of Q4_K; expected a multiple of 256"),
        (lambda: arithmetic.dequantise("F32", b"", 0), "0 columns"),
        (lambda: arithmetic.dot("Q8_0", b"\0" * 34, 2, 32, np.zeros((1, 32), np.float32)), "34 bytes; expected 68"),
        (lambda: arithmetic.dot("Q8_0", b"\0" * 34, 1, 32, np.zeros((1, 33), np.float32)), r"activations \[n, 32\]"),
        (lambda: arithmetic.quantise(np.zeros((2, 2), np.float32)), "one dimension"),
        (lambda: arithmetic.unary("cos", np.zeros(1, np.float32)), "no function 'cos'"),
        (lambda: arithmetic.unary("add", np.zeros(1, np.float32)), "takes 2 arguments"),
        (lambda: arithmetic.unary("exp", np.zeros(1, np.float64)), "float64"),
        (lambda: arithmetic.call("add", np.zeros((3, 1), np.uint32)), r"\[n, 2\]"),
        (lambda: arithmetic.unary_hash("exp", 1, 1 << 32), "at most 2\\^32"),
        (lambda: arithmetic.selftest("gpu"), "is no device"),
        (lambda: arithmetic.selftest("cuda:x"), "is no device"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()

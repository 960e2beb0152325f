"""The block formats as integers, and one exact dot product per type: Python and NumPy integers, float32 ufuncs.

Independent of kernels/: blocks are read from their description in contracts/arithmetic-v1.yaml.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from tests.arithmetic import reference

F = np.float32


@dataclass(frozen=True)
class Format:
    block: int  # values
    bytes: int
    halves: tuple[int, ...]  # offsets of d, and of the minimum's scale
    extremes: tuple[int, int] = (0, 0)  # largest |scale| and |q|


FORMATS = {
    "Q8_0": Format(32, 34, (0,), (1, 128)),
    "Q4_0": Format(32, 18, (0,), (1, 8)),
    "Q4_1": Format(32, 20, (0, 2), (1, 15)),
    "Q5_0": Format(32, 22, (0,), (1, 16)),
    "Q5_1": Format(32, 24, (0, 2), (1, 31)),
    "IQ4_NL": Format(32, 18, (0,), (1, 127)),
    "Q2_K": Format(256, 84, (80, 82), (15, 3)),
    "Q3_K": Format(256, 110, (108,), (32, 4)),
    "Q4_K": Format(256, 144, (0, 2), (63, 15)),
    "Q5_K": Format(256, 176, (0, 2), (63, 31)),
    "Q6_K": Format(256, 210, (208,), (128, 32)),
    "IQ4_XS": Format(256, 136, (0,), (32, 127)),
}
FLOATS = {"F32": 4, "F16": 2, "BF16": 2}
TYPES = [*FORMATS, *FLOATS]


def row_bytes(name, columns):
    if name in FLOATS:
        return columns * FLOATS[name]
    return columns // FORMATS[name].block * FORMATS[name].bytes


def random_rows(name, rows, columns, rng, halves="finite"):
    """Random bytes whose floats are finite. halves: any finite ones, only subnormals, or those of real weights."""
    if name in FLOATS:
        x = rng.standard_normal((rows, columns)).astype(F)
        if name == "F16":
            return x.astype(np.float16).view(np.uint8)
        return x.view(np.uint8) if name == "F32" else (x.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    f = FORMATS[name]
    data = rng.integers(0, 256, (rows * columns // f.block, f.bytes), dtype=np.uint8)
    for at in f.halves:
        ranges = {"finite": (0, 0x7C00), "subnormal": (0, 0x400), "real": (0x0400, 0x2000)}
        h = rng.integers(*ranges[halves], data.shape[0]).astype(np.uint16)
        h |= (rng.integers(0, 2, data.shape[0]) << 15).astype(np.uint16)
        data[:, at : at + 2] = h[:, None].view(np.uint8)
    return data.reshape(rows, -1)


# ---- blocks as integers


def _half(b, at):
    return b[:, at : at + 2].copy().view(np.float16)[:, 0].astype(F)


def _nibbles(b):
    """[n, k] bytes to [n, 2k]: all low nibbles, then all high ones."""
    return np.concatenate([b & 15, b >> 4], axis=1).astype(np.int64)


def _bits(b, width):
    """[n, k] bytes to [n, 8 / width, k]: the lowest `width` bits of each, the next, ..."""
    shifts = np.arange(0, 8, width, dtype=np.uint8)[:, None]
    return ((b[:, None, :] >> shifts) & ((1 << width) - 1)).astype(np.int64)


def _q5_high(b):
    return np.unpackbits(b, axis=1, bitorder="little").astype(np.int64)


def _k4(b):
    """Scales and minima of Q4_K and Q5_K, of 32 values each: six bits, four of them beside the others' two."""
    s = b[:, 4:16].astype(np.int64)
    low, mid, high = s[:, 0:4], s[:, 4:8], s[:, 8:12]
    scale = np.concatenate([low & 63, (high & 15) | (low >> 6) << 4], axis=1)
    minimum = np.concatenate([mid & 63, (high >> 4) | (mid >> 6) << 4], axis=1)
    return np.repeat(scale, 32, axis=1), np.repeat(minimum, 32, axis=1)


def _chunks_of_64(qs):
    return _nibbles(qs.reshape(-1, 32)).reshape(-1, 256)


def unpack(name, data):
    """Blocks [n, bytes] as q, scale and minimum per value, d and dmin per block."""
    b = np.ascontiguousarray(data).reshape(-1, FORMATS[name].bytes)
    n, scale, minimum = len(b), 1, 0
    if name == "Q8_0":
        q = b[:, 2:].view(np.int8).astype(np.int64)
    elif name == "Q4_0":
        q = _nibbles(b[:, 2:]) - 8
    elif name == "Q4_1":
        q, minimum = _nibbles(b[:, 4:]), 1
    elif name == "Q5_0":
        q = _nibbles(b[:, 6:]) + 16 * _q5_high(b[:, 2:6]) - 16
    elif name == "Q5_1":
        q, minimum = _nibbles(b[:, 8:]) + 16 * _q5_high(b[:, 4:8]), 1
    elif name == "IQ4_NL":
        q = reference.IQ4[_nibbles(b[:, 2:])]
    elif name == "Q2_K":
        q = np.concatenate([_bits(b[:, at : at + 32], 2).reshape(n, 128) for at in (16, 48)], axis=1)
        scale = np.repeat(b[:, :16].astype(np.int64) & 15, 16, axis=1)
        minimum = np.repeat(b[:, :16].astype(np.int64) >> 4, 16, axis=1)
    elif name == "Q3_K":
        low = np.concatenate([_bits(b[:, at : at + 32], 2).reshape(n, 128) for at in (32, 64)], axis=1)
        q = low + 4 * _bits(b[:, :32], 1).reshape(n, 256) - 4
        s = b[:, 96:108].astype(np.int64)
        pairs = np.concatenate([(s[:, 8:12] >> shift) & 3 for shift in (0, 2, 4, 6)], axis=1)
        scale = np.repeat((_nibbles(b[:, 96:104]) | pairs << 4) - 32, 16, axis=1)
    elif name == "Q4_K":
        q = _chunks_of_64(b[:, 16:])
        scale, minimum = _k4(b)
    elif name == "Q5_K":
        q = _chunks_of_64(b[:, 48:]) + 16 * _bits(b[:, 16:48], 1).reshape(n, 256)
        scale, minimum = _k4(b)
    elif name == "Q6_K":
        low = np.concatenate([_nibbles(b[:, at : at + 64]) for at in (0, 64)], axis=1)
        high = np.concatenate([_bits(b[:, at : at + 32], 2).reshape(n, 128) for at in (128, 160)], axis=1)
        q = (low | high << 4) - 32
        scale = np.repeat(b[:, 192:208].view(np.int8).astype(np.int64), 16, axis=1)
    elif name == "IQ4_XS":
        q = reference.IQ4[_nibbles(b[:, 8:].reshape(-1, 16)).reshape(-1, 256)]
        pairs = b[:, 2].astype(np.int64) | b[:, 3].astype(np.int64) << 8
        j = np.arange(8)
        low = (b[:, 4 + j // 2] >> (4 * (j % 2)).astype(np.uint8)) & 15
        scale = np.repeat((low | ((pairs[:, None] >> 2 * j) & 3) << 4) - 32, 32, axis=1)
    halves = FORMATS[name].halves
    return SimpleNamespace(
        q=q,
        scale=np.broadcast_to(scale, q.shape),
        minimum=np.broadcast_to(minimum, q.shape),
        d=_half(b, halves[0]),
        dmin=_half(b, halves[-1]) if len(halves) == 2 else np.zeros(n, F),
    )


def float_weights(name, data):
    if name == "BF16":
        return reference.floats(data.view(np.uint16).astype(np.uint32) << 16)
    return data.view(np.float16 if name == "F16" else F).astype(F)


# ---- one row times one vector, in the contract's order


def dot_row(name, data, x):
    """data: one row's bytes; x: float32 [columns]. Returns a float32."""
    with np.errstate(all="ignore"):
        if name in FLOATS:
            return reference.dot256(float_weights(name, data), x)
        blocks = unpack(name, data)
        values, scales, _ = reference.quantise(x)
        values = values.astype(np.int64)[: x.size].reshape(blocks.q.shape)
        return (_super_row if FORMATS[name].block == 256 else _small_row)(name, blocks, values, scales)


def _int32(total):
    assert np.abs(total).max(initial=0) < 2**31
    return total


def _products(b, values):
    """Of each block: the exact sums with both digits, as one float."""
    high, low = reference.x16_high(values), reference.x16_low(values)
    weights = b.scale * b.q
    return reference.digits(_int32((weights * high).sum(axis=1)), _int32((weights * low).sum(axis=1)))


def _super_row(name, b, values, scales):
    total = _products(b, values)
    minima = reference.to_float(_int32((b.minimum * values).sum(axis=1)))
    row = F(0)
    for i, dx in enumerate(scales):
        term = b.d[i] * dx * total[i]
        row = row + (term - b.dmin[i] * dx * minima[i] if len(FORMATS[name].halves) == 2 else term)
    return row


def _small_row(name, b, values, scales):
    groups = np.zeros(len(scales) * 8, F)
    sums = b.d * _products(b, values)
    if len(FORMATS[name].halves) == 2:
        sums = sums + b.dmin * reference.to_float(values.sum(axis=1))
    groups[: len(sums)] = sums
    total = reference.tree(groups.reshape(-1, 8))
    row = F(0)
    for i, dx in enumerate(scales):
        row = row + dx * total[i]
    return row


def magnitude(name, data, x):
    """The sum of the magnitudes of all terms of a row, in float64: what a rounding error is measured against."""
    x = np.abs(x.astype(np.float64))
    if name in FLOATS:
        return float((np.abs(float_weights(name, data).astype(np.float64)) * x).sum())
    b = unpack(name, data)
    weights = np.abs(b.d.astype(np.float64))[:, None] * np.abs(b.scale * b.q)
    weights = weights + np.abs(b.dmin.astype(np.float64))[:, None] * b.minimum
    return float((weights.reshape(-1) * x).sum())

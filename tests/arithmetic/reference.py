"""The functions of contracts/arithmetic-v1.yaml once more, in NumPy: float32 ufuncs round each operation on its own.

Written from the contract, not from kernels/, so that a mistake in one shows against the other. Arguments and results
are arrays of bits (uint32), as `_core.arithmetic.call` takes them.
"""

import numpy as np

F = np.float32
NAN = np.uint32(0x7FC00000)


def floats(bits):
    return np.asarray(bits, np.uint32, order="C").view(F)


def bits(x):
    return np.asarray(x, F, order="C").view(np.uint32)


def ints(words):
    return np.asarray(words, np.uint32, order="C").view(np.int32)


def words(x):
    return np.asarray(x, np.int64, order="C").astype(np.uint32)


def canonical(y):
    """NaN in its one form."""
    return np.where(np.isnan(y), NAN, bits(y))


def to_float(i):
    """An integer to the nearest float, ties to even."""
    return np.asarray(i, np.int64).astype(F)


# ---- rounding and halves

MAGIC = F(12582912.0)


def round_(x):
    return ints(bits(x + MAGIC)) - np.int32(0x4B400000)


def half(h):
    return (h & 0xFFFF).astype(np.uint16).view(np.float16).astype(F)


def to_half(x):
    sign = (bits(x) >> 16) & 0x8000
    with np.errstate(over="ignore"):
        h = np.abs(x).astype(np.float16).view(np.uint16)
    return np.where(np.isnan(x), 0x7E00, h).astype(np.uint32) | sign


# ---- functions


def settle(x):
    return np.where((bits(x) & 0x7FFFFFFF) < 0x0D800000, F(0), x)


def recip(a):
    r = floats(np.uint32(0x7EF311C7) - bits(a))
    for _ in range(3):
        r = r * (F(2) - a * r)
    return r * (F(1) - a * r) + r


def rsqrt(a):
    h = F(0.5) * a
    r = floats(np.uint32(0x5F375A86) - (bits(a) >> 1))
    for _ in range(3):
        r = r * (F(1.5) - h * r * r)
    return r * (F(0.5) - h * r * r) + r


EXP_POLYNOMIAL = (0x39506967, 0x3AB743CE, 0x3C088908, 0x3D2AA9C1, 0x3E2AAAAA, 0x3F000000)  # highest power first


def exp(x):
    c = np.where(x > F(88), F(88), np.where(x < F(-64), F(-64), x))
    shifted = c * floats(0x3FB8AA3B) + MAGIC
    n = shifted - MAGIC
    r = c - n * floats(0x3F318000)
    r = r - n * floats(0xB95E8083)
    p = floats(EXP_POLYNOMIAL[0])
    for coefficient in EXP_POLYNOMIAL[1:]:
        p = p * r + floats(coefficient)
    y = (p * (r * r) + r) + F(1)
    scale = floats((bits(shifted) - np.uint32(0x4B400000) + np.uint32(127)) << np.uint32(23))
    return np.where(x < F(-64), F(0), y * scale)


def sigmoid(x):
    e = exp(floats(bits(x) | np.uint32(0x80000000)))
    r = recip(F(1) + e)
    return np.where(bits(x) < 0x80000000, r, e * r)


def silu(x):
    return x * sigmoid(x)


# ---- X16

FLOOR, LIMIT = np.uint32(0x21800000), np.uint32(0x71800000)


def x16_scale(amax):
    scale = floats(amax) * floats(0x38010204)
    return np.where(amax < FLOOR, F(0), np.where(amax > LIMIT, F("nan"), scale))


def x16_inverse(amax):
    usable = (amax >= FLOOR) & (amax <= LIMIT)
    return np.where(usable, recip(floats(np.where(usable, amax, 0x3F800000))) * F(32512), F(0))


def x16(x, inverse):
    return np.where(inverse == 0, 0, np.clip(round_(x * inverse), -32512, 32512))


def x16_high(q):
    return (q + 128) >> 8


def x16_low(q):
    return q - 256 * x16_high(q)


def quantise(x):
    """Blocks of 256, the last padded with zeros: (values, scales, sums of each 16)."""
    x = np.asarray(x, F)
    padded = np.zeros((x.size + 255) // 256 * 256, F)
    padded[: x.size] = x
    blocks = padded.reshape(-1, 256)
    amax = (bits(blocks) & 0x7FFFFFFF).max(axis=1, initial=0)
    with np.errstate(all="ignore"):
        q = x16(blocks, x16_inverse(amax)[:, None]).astype(np.int16)
        return q.reshape(-1), x16_scale(amax), q.reshape(-1, 16, 16).sum(axis=2, dtype=np.int32)


# ---- sums


def digits(high, low):
    """The sums of products with the high and the low digits, as one float."""
    return to_float(high) * F(256) + to_float(low)


def tree(x):
    """The halving tree over the last axis."""
    while x.shape[-1] > 1:
        half_ = x.shape[-1] // 2
        x = x[..., :half_] + x[..., half_:]
    return x[..., 0]


def dot256(a, b):
    """256 strided partial sums, then the tree."""
    partial = np.zeros(256, F)
    for i in range(0, a.size, 256):
        products = a[i : i + 256] * b[i : i + 256]
        partial[: products.size] = partial[: products.size] + products
    return settle(tree(partial))


# ---- packed scales


def _byte(word, j):
    return (word >> (8 * j).astype(np.uint32)) & 255


def k4_scale(w0, w2, j):
    j = j & 7
    i = j & 3
    return np.where(j < 4, _byte(w0, i) & 63, (_byte(w2, i) & 15) | (_byte(w0, i) >> 6) << 4)


def k4_min(w1, w2, j):
    j = j & 7
    i = j & 3
    return np.where(j < 4, _byte(w1, i) & 63, (_byte(w2, i) >> 4) | (_byte(w1, i) >> 6) << 4)


def q3k_scale(w0, w1, w2, j):
    j = j & 15
    low = np.where(j & 4, _byte(w1, j & 3), _byte(w0, j & 3))
    low = np.where(j & 8, low >> 4, low & 15)
    return (low | ((_byte(w2, j & 3) >> (2 * (j >> 2))) & 3) << 4).astype(np.int64) - 32


def iq4xs_scale(low, high, j):
    j = j & 7
    return (((low >> (4 * j)) & 15) | ((high >> (2 * j)) & 3) << 4).astype(np.int64) - 32


IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])


# ---- every function by name: a list of uint32 arrays to a uint32 array


def _f(function):
    return lambda *x: canonical(function(*map(floats, x)))


FUNCTIONS = {
    "exp": _f(exp),
    "recip": _f(recip),
    "rsqrt": _f(rsqrt),
    "sigmoid": _f(sigmoid),
    "silu": _f(silu),
    "half": lambda h: canonical(half(h)),
    "bfloat": lambda b: canonical(floats((b & 0xFFFF) << 16)),
    "to_half": lambda x: to_half(floats(x)),
    "round": lambda x: words(round_(floats(x))),
    "settle": _f(settle),
    "x16_scale": lambda a: canonical(x16_scale(a & np.uint32(0x7FFFFFFF))),
    "x16_inverse": lambda a: canonical(x16_inverse(a & np.uint32(0x7FFFFFFF))),
    "x16_high": lambda q: words(x16_high(ints(q))),
    "x16_low": lambda q: words(x16_low(ints(q))),
    "iq4_value": lambda n: words(IQ4[n & 15]),
    "rank_key": lambda p: np.where(p > 0x7F800000, 0, p),
    "add": _f(lambda a, b: a + b),
    "sub": _f(lambda a, b: a - b),
    "mul": _f(lambda a, b: a * b),
    "mul_add": _f(lambda a, b, c: a * b + c),
    "max": _f(lambda a, b: np.where(a > b, a, b)),
    "sum4": _f(lambda *x: tree(np.stack(x, axis=-1))),
    "sum8": _f(lambda *x: tree(np.stack(x, axis=-1))),
    "swiglu": _f(lambda gate, up: silu(gate) * up),
    "x16": lambda x, inverse: words(x16(floats(x), floats(inverse))),
    "digits": lambda high, low: canonical(digits(ints(high), ints(low))),
    "term": lambda d, dx, high, low: canonical(floats(d) * floats(dx) * digits(ints(high), ints(low))),
    "term_min": lambda d, dmin, dx, high, low, m: canonical(
        floats(d) * floats(dx) * digits(ints(high), ints(low)) - floats(dmin) * floats(dx) * to_float(ints(m))
    ),
    "group": lambda d, high, low: canonical(floats(d) * digits(ints(high), ints(low))),
    "group_min": lambda d, m, high, low, s: canonical(
        floats(d) * digits(ints(high), ints(low)) + floats(m) * to_float(ints(s))
    ),
    "term32": _f(lambda dx, total: dx * total),
    "weight": lambda d, s, q: canonical(floats(d) * to_float(ints(s)) * to_float(ints(q))),
    "weight_min": lambda d, s, q, dmin, m: canonical(
        floats(d) * to_float(ints(s)) * to_float(ints(q)) - floats(dmin) * to_float(ints(m))
    ),
    "norm_factor": _f(lambda s, inverse_width, eps: rsqrt(s * inverse_width + eps)),
    "norm": _f(lambda x, factor, w: x * factor * w),
    "rope_first": _f(lambda a, b, c, s: a * c - b * s),
    "rope_second": _f(lambda a, b, c, s: b * c + a * s),
    "score": lambda dq, dk, high, low: canonical(floats(dq) * floats(dk) * digits(ints(high), ints(low))),
    "probability": _f(lambda score, maximum: exp(score - maximum)),
    "block_value": lambda dp, high, low: canonical(floats(dp) * digits(ints(high), ints(low))),
    "merge": _f(lambda running, keep, block, gain: settle(running * keep) + settle(block * gain)),
    "k4_scale": lambda *x: words(k4_scale(*x)),
    "k4_min": lambda *x: words(k4_min(*x)),
    "q3k_scale": lambda *x: words(q3k_scale(*x)),
    "iq4xs_scale": lambda *x: words(iq4xs_scale(*x)),
}


# Where functions of one argument are defined, by their bits; the others are everywhere.


def _between(low, high):
    return lambda x: (x >= low) & (x <= high)


DOMAINS = {
    "recip": _between(0x0D800000, 0x71800000),
    "rsqrt": _between(0x0D800000, 0x71800000),
    "silu": lambda x: ((x & 0x7FFFFFFF) == 0) | ((x & 0x7FFFFFFF) >= 0x0D800000),
    "round": lambda x: (x & 0x7FFFFFFF) <= 0x4A800000,
    "x16_high": lambda x: np.abs(ints(x).astype(np.int64)) <= 32512,
    "x16_low": lambda x: np.abs(ints(x).astype(np.int64)) <= 32512,
}


def call(name, arguments):
    """As `_core.arithmetic.call`: arguments [n, arity]."""
    with np.errstate(all="ignore"):
        columns = np.ascontiguousarray(np.asarray(arguments, np.uint32).T)
        return FUNCTIONS[name](*columns).astype(np.uint32)


# ---- the order-free hash


def mix(h):
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def fold(index, results):
    """The hash of results at their indices: two sums mod 2^32, as one number of 64 bits."""
    index, results = np.asarray(index, np.uint32), np.asarray(results, np.uint32)
    place = mix(index + np.uint32(0x9E3779B9))
    low = int(mix(results + place).sum(dtype=np.uint64)) % 2**32
    high = int(mix(mix(results ^ np.uint32(0x5BD1E995)) ^ place).sum(dtype=np.uint64)) % 2**32
    return high << 32 | low


def join(hashes):
    """The hash of disjoint parts together."""
    hashes = list(hashes)
    return sum(h >> 32 for h in hashes) % 2**32 << 32 | sum(h & 0xFFFFFFFF for h in hashes) % 2**32

"""contracts/sampling-v1.yaml once more, in NumPy and Python's integers, written from the contract."""

from fractions import Fraction

import numpy as np

from tests.arithmetic.reference import F, bits, exp, floats, recip, settle

# ---- log


def log(x):
    above = bits(x) - np.uint32(0x3F3504F3)
    k = (above.view(np.int32) >> 23).astype(F)
    f = floats((above & np.uint32(0x7FFFFF)) + np.uint32(0x3F3504F3)) - F(1)
    s = f * recip(F(2) + f)
    z = s * s
    r = floats(0x3E71A8F6)
    for coefficient in (0x3E921B3B, 0x3ECCCD42, 0x3F2AAAAA):
        r = r * z + floats(coefficient)
    r = r * z
    h = f * f * F(0.5)
    low = s * (h + r) + k * floats(0xB95E8083)
    return k * floats(0x3F318000) - ((h - low) - f)


# ---- log-probabilities


def tree(v):
    while len(v) > 1:
        v = v[: len(v) // 2] + v[len(v) // 2 :]
    return v[0]


def log_probability(logits, token):
    m = logits.max()
    p = np.zeros(256, F)
    for i in range(0, len(logits), 256):
        part = logits[i : i + 256]
        p[: len(part)] = p[: len(part)] + exp(part - m)
    return (logits[token] - m) - log(np.array([tree(p)], F))[0]


# ---- the choice


def philox(counter, key):
    mask = 2**32 - 1
    a, b, c, d = counter
    k, l = key  # noqa: E741
    for _ in range(10):
        x, y = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (y >> 32) ^ b ^ k, y & mask, (x >> 32) ^ d ^ l, x & mask
        k, l = (k + 0x9E3779B9) & mask, (l + 0xBB67AE85) & mask  # noqa: E741
    return a, b, c, d


def penalised(logits, before, penalty):
    x, factor = np.array(logits, F), F(penalty)
    if factor != 1:
        for token in set(before):
            x[token] = settle(x[token] * (factor if np.signbit(x[token]) else recip(np.array([factor]))[0]))
    return x


def candidates(logits, before=(), temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0):
    """Units of every token that can come, by token."""
    x = penalised(logits, before, repetition_penalty)
    weights = exp((x - x.max()) * recip(np.array([temperature], F))[0])
    units = {i: int(Fraction(float(w)) * 2**39) for i, w in enumerate(weights)}
    order = sorted((i for i in units if units[i]), key=lambda i: (-x[i], i))
    if top_k:
        order = order[:top_k]
    share = round(Fraction(top_p) * 2**24)
    if share < 2**24:
        wanted = sum(units[i] for i in order) * share >> 24
        count, reached = 0, 0
        while count == 0 or reached < wanted:
            reached += units[order[count]]
            count += 1
        order = order[:count]
    least = round(Fraction(min_p) * 2**39)
    return {i: units[i] for i in sorted(order) if units[i] >= least}


def choose(logits, before=(), seed=0, position=0, **options):
    if options.get("temperature", 0) == 0:
        return int(np.argmax(penalised(logits, before, options.get("repetition_penalty", 1.0))))
    units = candidates(logits, before, **options)
    mask = 2**32 - 1
    a, b, _, _ = philox((position & mask, position >> 32, 0, 0), (seed & mask, seed >> 32))
    left = (b << 32 | a) * sum(units.values()) >> 64
    for token, count in units.items():
        if left < count:
            return token
        left -= count
    raise AssertionError

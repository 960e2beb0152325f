"""No sum of integer products leaves int32, whatever a block's bits: by Z3, and by counting."""

import itertools
import re

import numpy as np
import pytest

from qwen3moe import _core
from tests.arithmetic import formats
from tests.proofs import smt
from tests.proofs.header import ROOT

pytestmark = [pytest.mark.proofs, pytest.mark.skipif(not smt.HERE, reason="z3 is not installed")]
BLOCKS = (ROOT / "kernels" / "shared" / "blocks.h").read_text()
LIMIT = 1 << 31
X16_MAX = 32512


def declared():
    """The bounds that blocks.h asserts at compile time: type -> (values, largest |scale|, largest |q|)."""
    rows = re.findall(r"static_assert\(qm_fits\((\d+), (\d+), (\d+)\), \"([^\"]+)\"\);", BLOCKS)
    return {name: tuple(map(int, numbers)) for *numbers, name in rows}


def of_type(name):
    small = "types with a float scale for every 32 values"
    return declared()[name if name in declared() else small]


@pytest.mark.parametrize("name", formats.FORMATS)
def test_what_is_declared_covers_what_the_format_can_hold(name):
    count, scale, q = of_type(name)
    found = formats.FORMATS[name]
    assert count >= found.block and scale >= found.extremes[0] and q >= found.extremes[1]


def fits(count, scale, q, digit=128):
    """Whether any sum of up to `count` products stays inside, whatever the order: by induction over its length."""
    corners = itertools.product((-scale, scale), (-q, q), (-digit, digit))
    each = max(abs(a * b * c) for a, b, c in corners)  # a product is extreme where its factors are
    declarations = "\n".join(f"(declare-const {name} Int)" for name in ("sum", "n", "one"))
    given = [f"(and (<= 0 n) (< n {count}))", f"(<= (abs sum) (* n {each}))", f"(<= (abs one) {each})"]
    step = f"(<= (abs (+ sum one)) (* (+ n 1) {each}))"
    inside = f"(and (< (+ sum one) {LIMIT}) (>= (+ sum one) (- {LIMIT})))"
    return smt.holds(declarations, given, f"(and {step} {inside})")


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_blocks_sum(name):
    assert fits(*of_type(name))


@pytest.mark.parametrize(("values", "what"), [(128, "a head of keys"), (256, "a block of values")])
def test_attention(values, what):
    """One digit of Q, or of the weights, times a whole X16 of K or V."""
    assert fits(values, 1, X16_MAX), what


def test_minima():
    """Six bits times the sums of X16 over a block."""
    assert fits(256, 1, 63, digit=X16_MAX)


def test_a_block_twice_as_long_would_not_be_proved():
    assert not fits(4096, *of_type("Q6_K")[1:])


# ---- scales and digits, by counting all of them: the header's functions on every input


def test_digits_of_every_x16():
    x = np.arange(-X16_MAX, X16_MAX + 1, dtype=np.int32).view(np.uint32)[:, None]
    high, low = (_core.arithmetic.call(f"x16_{part}", x).view(np.int32) for part in ("high", "low"))
    assert (high.min(), high.max()) == (-127, 127)
    assert (low.min(), low.max()) == (-128, 127)
    assert (256 * high.astype(np.int64) + low == x[:, 0].view(np.int32)).all()


@pytest.mark.parametrize(
    ("name", "arguments", "most"),
    [("k4_scale", 2, 63), ("k4_min", 2, 63), ("q3k_scale", 3, 32), ("iq4xs_scale", 2, 32)],
)
def test_scales_of_every_packing(name, arguments, most):
    """A scale is made of a few bits of its words: each byte of the words takes all values, with every j."""
    rng = np.random.default_rng(0)
    rows = []
    for byte in range(4 * arguments):
        words = rng.integers(0, 1 << 32, (256 * 16, arguments), dtype=np.uint64).astype(np.uint32)
        view = words.view(np.uint8).reshape(256 * 16, -1)
        view[:, byte] = np.repeat(np.arange(256, dtype=np.uint8), 16)
        rows.append(np.column_stack([words, np.tile(np.arange(16, dtype=np.uint32), 256)]))
    for extreme in (0, 0xFFFFFFFF):
        rows.append(np.column_stack([np.full((16, arguments), extreme, np.uint32), np.arange(16, dtype=np.uint32)]))
    found = _core.arithmetic.call(name, np.concatenate(rows)).view(np.int32)
    assert np.abs(found).max() == most

"""No size or offset of the reader wraps, for any 64-bit numbers in a file: by Z3, from the reader's own conditions.

Claims are about numbers: what lies below 2^64 as a number is what the machine computes.
"""

import re

import pytest

from tests.proofs import smt
from tests.proofs.header import ROOT

pytestmark = [pytest.mark.proofs, pytest.mark.skipif(not smt.HERE, reason="z3 is not installed")]
ALIGNMENTS = [1 << k for k in range(3, 22)]
MOST = str((1 << 64) - 1)


def condition(file, pattern):
    """What the reader tests before it refuses, as it stands in the source."""
    found = re.findall(pattern, (ROOT / "cpp" / "gguf" / file).read_text())
    assert len(found) == 1, f"{file} has no {pattern}, or several: prove what it has in its place"
    return found[0]


# ---- Cursor::take: nothing is read past the end


def take():
    return condition("cursor.cpp", r"if \((count > left\(\))\)\s+refuse\(\"the end")


def test_taking_stays_inside():
    refused = smt.term(take(), {"left()": "(size - offset)"})
    given = ["(<= offset size)", f"(not {refused})"]
    assert smt.holds(smt.words("size", "offset", "count"), given, "(<= (+ offset count) size)")


# ---- counts and arrays: what is claimed is there


@pytest.mark.parametrize("least", [14, 33])
def test_counts_are_of_what_is_left(least):
    refused = smt.term(
        condition("file.cpp", r"if \((count > cursor\.left\(\) / least_bytes)\)"),
        {"cursor.left()": "left", "least_bytes": str(least)},
    )
    assert smt.holds(smt.words("left", "count"), [f"(not {refused})"], f"(<= (* count {least}) left)")


@pytest.mark.parametrize("least", [1, 2, 4, 8])
def test_arrays_are_of_what_is_left(least):
    refused = smt.term(
        condition("metadata.cpp", r"if \((length > cursor\.left\(\) / least)\)"),
        {"cursor.left()": "left", "least": str(least)},
    )
    assert smt.holds(smt.words("left", "length"), [f"(not {refused})"], f"(<= (* length {least}) left)")


# ---- the bytes of a tensor


def product():
    pattern = r"if \((bytes > std::numeric_limits<std::uint64_t>::max\(\) / factor)\)"
    return condition("tensors.cpp", pattern)


def test_the_product_of_a_shape_does_not_wrap():
    names = {"std::numeric_limits<std::uint64_t>::max()": MOST}
    refused = smt.term(product(), names)
    given = ["(>= factor 1)", f"(not {refused})"]
    assert smt.holds(smt.words("bytes", "factor"), given, f"(<= (* bytes factor) {MOST})")


def test_a_part_of_a_product_does_not_wrap_either():
    """rows() multiplies three of the factors of which data_bytes found the whole product to fit."""
    given = ["(>= a 1)", "(>= b 1)", f"(<= (* a b) {MOST})"]
    assert smt.holds(smt.words("a", "b"), given, f"(and (<= a {MOST}) (<= b {MOST}))")


# ---- where a tensor's data lies


def extent(refusal=None):
    """The reader's own lines: the start of all data, what is available, and when it refuses."""
    start = condition("tensors.cpp", r"start = (\(cursor\.offset\(\) \+ alignment - 1\) / alignment \* alignment);")
    available = r"available = bytes\.size\(\) - std::min<std::uint64_t>\(start, bytes\.size\(\)\);"
    condition("tensors.cpp", f"({available})")
    refused = refusal or condition("tensors.cpp", r"if \((extent\.bytes > available[^{;]*?)\)\s+refuse\(")
    return start, refused


def extents_are_inside(alignment, refusal=None):
    start, refused = extent(refusal)
    names = {"cursor.offset()": "place", "alignment": str(alignment)}
    given = [
        f"(< size {1 << 63})",  # what a file may have
        "(< place size)",
        f"(= start {smt.term(start, names)})",
        "(= available (- size (ite (< start size) start size)))",
        f"(not {smt.term(refused, {'extent.bytes': 'bytes', 'extent.offset': 'offset'})})",
        "(>= bytes 1)",
    ]
    claim = "(and (>= start place) (<= (+ start offset bytes) size))"
    return smt.holds(smt.words("size", "place", "start", "available", "bytes", "offset"), given, claim)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_extents_are_inside(alignment):
    assert extents_are_inside(alignment)


def test_comparing_extents_does_not_wrap():
    """refuse_overlaps adds offset and size of data that is known to be inside."""
    condition("tensors.cpp", r"if \((before\.offset \+ before\.data\.size\(\) > after\.offset)\)")
    given = [f"(< size {1 << 63})", "(<= offset size)", "(<= bytes (- size offset))"]
    assert smt.holds(smt.words("size", "offset", "bytes"), given, f"(< (+ offset bytes) {smt.WORDS})")


# ---- the proof fails where a check is weaker


@pytest.mark.parametrize(
    "weaker",
    [
        "extent.offset + extent.bytes > available",
        "extent.bytes > available",
        "extent.offset > available - extent.bytes",
        "extent.bytes > available || extent.offset > available - extent.bytes + 1",
    ],
)
def test_the_solver_finds_the_planted_wrap(weaker):
    assert not extents_are_inside(32, weaker)


def test_the_solver_finds_a_product_that_wraps():
    given = ["(>= factor 1)", f"(not (> bytes (+ 1 (div {MOST} factor))))"]
    assert not smt.holds(smt.words("bytes", "factor"), given, f"(<= (* bytes factor) {MOST})")

"""Token ids from whatever integers a caller has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qwen3moe import ArgumentError
from qwen3moe.tokens import as_tokens


class Tensor:
    """Like other libraries' arrays."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([1, 2, 3], dtype=dtype)


@pytest.mark.parametrize(
    "tokens",
    [
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
        iter([1, 2, 3]),
        [np.int8(1), np.uint64(2), 3],
        Tensor(),
        np.array([9, 1, 9, 2, 9, 3])[1::2],
        *(np.array([1, 2, 3], dtype=d) for d in ("i1", "u1", "<i2", ">i4", "u4", "i8", "u8")),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_integers_of_any_kind(tokens: Any) -> None:
    array = as_tokens(tokens)
    assert array.dtype == np.int32
    assert array.flags.c_contiguous
    assert array.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([1, 2.0], ["tokens[1]", "2.0", "float"]),
        ([1, True], ["tokens[1]", "True", "bool"]),
        ([1, np.bool_(True)], ["tokens[1]", "bool"]),
        ([1, None], ["tokens[1]", "None"]),
        ([1, "2"], ["tokens[1]", "'2'", "str"]),
        ([[1, 2]], ["tokens[0]", "[1, 2]", "list"]),
        ([0, 2**31], ["tokens[1]", "2147483648", "32 bits"]),
        ([0, 0, -(2**31) - 1], ["tokens[2]", "-2147483649"]),
        (np.array([5, 2**40]), ["tokens[1]", str(2**40)]),
        (np.array([5, 2**64 - 1], dtype="u8"), ["tokens[1]", str(2**64 - 1)]),
        (np.array([1.0, 2.0]), ["tokens[0]", "float64"]),
        (np.array([True]), ["tokens[0]", "bool"]),
        (np.array([[1, 2]]), ["(1, 2)", "one dimension"]),
        (np.int64(3), ["()", "one dimension"]),
        ("1,2", ["text", "1,2"]),
        (b"12", ["text"]),
        (7, ["7", "sequence"]),
        (None, ["None", "sequence"]),
        ([], ["empty"]),
        (np.array([]), ["empty"]),
    ],
)
def test_refusals_name_what_is_wrong(tokens: Any, words: list[str]) -> None:
    with pytest.raises(ArgumentError) as refusal:
        as_tokens(tokens)
    assert all(word in str(refusal.value) for word in words), refusal.value


def test_the_ends_of_the_range() -> None:
    ends = [-(2**31), 2**31 - 1]
    assert as_tokens(ends).tolist() == ends

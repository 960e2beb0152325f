"""Which layers or positions a caller means: None for all, one integer, or several; negative ones count from the end."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import SupportsIndex, TypeAlias

from qwen3moe.errors import ArgumentError

Indices: TypeAlias = SupportsIndex | Iterable[SupportsIndex] | None


def select_indices(wanted: Indices, count: int, what: str) -> list[int]:
    """In increasing order, each once; `what` is one of them, in errors."""
    if wanted is None:
        return list(range(count))
    values = list(wanted) if isinstance(wanted, Iterable) else [wanted]
    return sorted({_index(value, count, what) for value in values})


def _index(value: SupportsIndex, count: int, what: str) -> int:
    try:
        index = operator.index(value)
    except TypeError:
        raise ArgumentError(f"{what} is {value!r} ({type(value).__name__}); expected an integer") from None
    if not -count <= index < count:
        raise ArgumentError(f"{what} {index} is not there; expected {-count} to {count - 1}")
    return index % count

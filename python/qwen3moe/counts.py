"""Numbers of things that a caller gives."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from qwen3moe.errors import ArgumentError


def as_count(value: SupportsIndex, what: str, least: int, most: int = 2**32 - 1) -> int:
    """An integer in bounds, of any integer type but bool; `what` names it in errors."""
    expected = f"expected an integer from {least} to {most}"
    try:
        count = operator.index(value)
    except TypeError:
        raise ArgumentError(f"{what} is {value!r} ({type(value).__name__}); {expected}") from None
    if isinstance(value, bool) or not least <= count <= most:
        raise ArgumentError(f"{what} is {value}; {expected}")
    return count


def as_number(value: float, what: str, least: float, most: float) -> float:
    """A number in bounds, of any type that is one; `what` names it in errors."""
    number = float(value) if hasattr(value, "__float__") else float("nan")
    if isinstance(value, bool) or not least <= number <= most:
        raise ArgumentError(f"{what} is {value!r:.40}; expected a number from {least} to {most}")
    return number

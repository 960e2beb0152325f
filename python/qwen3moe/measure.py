"""How far two arrays are apart: bits, ULPs, cosine, and where they part first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Between a NaN and anything of other bits: more than between any two numbers.
NAN_DISTANCE = 2**32


def bits(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The elements as unsigned integers of their size."""
    return np.ascontiguousarray(a).view(f"u{a.dtype.itemsize}").reshape(a.shape)


def ulp_distance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Steps from one float32 to the other, -0 and +0 one apart: 0 means the same bits, NaN or not."""
    x, y = _ordered(a), _ordered(b)
    distance = np.abs(x - y)
    unordered = (np.isnan(a) | np.isnan(b)) & (x != y)
    return np.where(unordered, NAN_DISTANCE, distance)


def _ordered(a: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    signed = bits(a).view(np.int32).astype(np.int64)
    return np.where(signed < 0, -(signed & 0x7FFFFFFF) - 1, signed)


def cosine(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float | None:
    """In float64, over all elements; 1 where the values are equal, None where it has no meaning (zeros, NaN)."""
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    if np.array_equal(x, y):
        return 1.0
    with np.errstate(all="ignore"):
        value = float(np.dot(x, y) / (np.linalg.norm(x) * np.linalg.norm(y)))
    return value if np.isfinite(value) else None


def max_abs(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """The largest difference; NaN where one side alone is not finite."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    same = bits(a) == bits(b)
    with np.errstate(all="ignore"):
        return float(np.max(np.where(same, 0.0, np.abs(x - y)), initial=0.0))


def first_difference(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> tuple[int, ...] | None:
    """The index of the first element, in C order, of other bits."""
    differs = bits(a) != bits(b)
    if not differs.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(differs)), a.shape))

"""Token ids from whatever integers a caller has: an int32 array, or an error that names the element in the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from qwen3moe.errors import ArgumentError

TokenIds: TypeAlias = Iterable[SupportsIndex] | npt.NDArray[Any]

_INT32 = np.iinfo(np.int32)


def as_tokens(tokens: TokenIds, *, empty: bool = False) -> npt.NDArray[np.int32]:
    """Checks everything but the vocabulary, which the model knows. `empty`: none is as well."""
    ids = _integers(tokens)
    if not ids.size and not empty:
        raise ArgumentError("tokens is empty; a forward pass needs at least one token")
    return ids


def _integers(tokens: TokenIds) -> npt.NDArray[np.int32]:
    if isinstance(tokens, (str, bytes)):
        raise ArgumentError(f"tokens is text ({tokens!r:.40}); expected token ids, such as [1, 2, 3]")
    if isinstance(tokens, np.ndarray) or hasattr(tokens, "__array__"):
        return _from_array(np.asarray(tokens))
    if not isinstance(tokens, Iterable):
        raise ArgumentError(f"tokens is {tokens!r:.40}; expected a sequence of token ids, such as [1, 2, 3]")
    ids = list(tokens)
    for i, value in enumerate(ids):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise ArgumentError(f"tokens[{i}] is {value!r:.40} ({type(value).__name__}); token ids are integers")
    return _checked([int(value) for value in ids])


def _from_array(array: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    if array.ndim != 1:
        raise ArgumentError(f"tokens has the shape {array.shape}; expected one dimension")
    if array.size and array.dtype.kind not in "iu":
        raise ArgumentError(f"tokens[0] is {array[0]!r:.40} (dtype {array.dtype}); token ids are integers")
    return _checked(array.tolist())


def _checked(ids: list[int]) -> npt.NDArray[np.int32]:
    for i, value in enumerate(ids):
        if not _INT32.min <= value <= _INT32.max:
            raise ArgumentError(f"tokens[{i}] is {value}; token ids fit in 32 bits")
    return np.array(ids, dtype=np.int32)

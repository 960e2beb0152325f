"""Two traces side by side, in forward order: the first element that differs, and a summary of every stage."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen3moe.measure import cosine, first_difference, max_abs, ulp_distance
from qwen3moe.stages import TraceKey, forward_order
from qwen3moe.tables import table
from qwen3moe.traces import StoredTrace, Trace


@dataclass(frozen=True)
class Divergence:
    """The first element that differs. `index` is into the array; `position` is the token's, where it is known."""

    key: str
    layer: int | None
    stage: str
    index: tuple[int, ...]
    position: int | None
    a: float | int
    b: float | int
    ulp: int | None
    cosine: float | None

    def __str__(self) -> str:
        where = self.stage if self.layer is None else f"{self.stage} of layer {self.layer}"
        place = "" if self.position is None else f" (position {self.position})"
        text = f"first difference: {where}, element {list(self.index)}{place}: {self.a!r} against {self.b!r}"
        return text + (f", {self.ulp} ULP" if self.ulp is not None else "") + f", cosine {_number(self.cosine)}"


@dataclass(frozen=True)
class ArrayDiff:
    """One array of both traces. `mismatch` says so where they cannot be compared element by element."""

    key: str
    size: int
    differing: int
    max_abs: float | None
    max_ulp: int | None
    cosine: float | None
    mismatch: str | None = None


@dataclass(frozen=True)
class TraceDiff:
    """What `diff` found."""

    arrays: list[ArrayDiff]
    first: Divergence | None
    only_in_a: list[str]
    only_in_b: list[str]
    same_tokens: bool | None  # None where a trace does not say its tokens

    @property
    def equal(self) -> bool:
        """Whether both hold the same arrays with the same bits."""
        alike = not any(array.differing or array.mismatch for array in self.arrays)
        return alike and not self.only_in_a and not self.only_in_b and self.same_tokens is not False

    def to_dict(self) -> dict[str, Any]:
        return {"equal": self.equal, **asdict(self)}

    def __str__(self) -> str:
        unlike = [f"{array.key} is {array.mismatch}" for array in self.arrays if array.mismatch]
        notes = [
            "the traces are of different tokens" if self.same_tokens is False else "",
            f"only in the first: {_few(self.only_in_a)}" if self.only_in_a else "",
            f"only in the second: {_few(self.only_in_b)}" if self.only_in_b else "",
            f"not comparable: {_few(unlike)}" if unlike else "",
        ]
        nothing = "no element differs" if self.equal else "no element differs in what could be compared"
        return "\n".join([*filter(None, notes), _summary(self.arrays), "", str(self.first or nothing)])


def diff(a: Trace | StoredTrace, b: Trace | StoredTrace) -> TraceDiff:
    """Compares two traces of `Model.trace` or `load_trace` bit by bit."""
    left, right = _arrays(a), _arrays(b)
    positions = a.positions if isinstance(a, StoredTrace) else None
    arrays, first = [], None
    for key in forward_order(left.keys() & right.keys()):
        found = _compare_arrays(key, left[key], right[key])
        arrays.append(found)
        if first is None and found.differing:
            first = _divergence(found, left[key], right[key], positions)
    return TraceDiff(
        arrays,
        first,
        forward_order(left.keys() - right.keys()),
        forward_order(right.keys() - left.keys()),
        bool(np.array_equal(a.tokens, b.tokens)) if isinstance(a, StoredTrace) and isinstance(b, StoredTrace) else None,
    )


def _arrays(trace: Trace | StoredTrace) -> Trace:
    return trace.arrays if isinstance(trace, StoredTrace) else trace


def _compare_arrays(key: str, a: npt.NDArray[Any], b: npt.NDArray[Any]) -> ArrayDiff:
    if a.shape != b.shape or a.dtype != b.dtype:
        found = f"{a.dtype} {list(a.shape)} against {b.dtype} {list(b.shape)}"
        return ArrayDiff(key, a.size, 0, None, None, None, found)
    if a.dtype != np.float32:
        return ArrayDiff(key, a.size, int(np.count_nonzero(a != b)), max_abs(a, b), None, cosine(a, b))
    distance = ulp_distance(a, b)
    differing = int(np.count_nonzero(distance))
    return ArrayDiff(key, a.size, differing, max_abs(a, b), int(np.max(distance, initial=0)), cosine(a, b))


def _divergence(
    array: ArrayDiff, a: npt.NDArray[Any], b: npt.NDArray[Any], positions: npt.NDArray[np.int32] | None
) -> Divergence:
    index = first_difference(a, b)
    assert index is not None
    layer, stage = TraceKey.parse(array.key)
    position = int(positions[index[0]]) if positions is not None and index[0] < len(positions) else None
    ulp = int(ulp_distance(a[index][None], b[index][None])[0]) if a.dtype == np.float32 else None
    return Divergence(array.key, layer, stage, index, position, a[index].item(), b[index].item(), ulp, array.cosine)


def _summary(arrays: list[ArrayDiff]) -> str:
    """A row per stage, over its layers."""
    stages: dict[str, list[ArrayDiff]] = {}
    for array in arrays:
        stages.setdefault(TraceKey.parse(array.key).stage, []).append(array)
    rows = []
    for stage, group in stages.items():
        unequal = [array for array in group if array.differing or array.mismatch]
        layers = [layer for array in unequal if (layer := TraceKey.parse(array.key).layer) is not None]
        cosines = [array.cosine for array in group if array.cosine is not None]
        ulps = [array.max_ulp for array in group if array.max_ulp is not None]
        rows.append(
            [
                stage,
                f"{len(group) - len(unequal)}/{len(group)}",
                str(min(layers)) if layers else "",
                f"{sum(array.differing for array in group)}/{sum(array.size for array in group)}",
                str(max(ulps)) if ulps else "",
                _number(min(cosines)) if cosines else "",
            ]
        )
    return table(["stage", "equal", "first layer", "differing", "max ULP", "min cosine"], rows)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.9f}"


def _few(texts: list[str]) -> str:
    return ", ".join(texts[:4]) + (f" and {len(texts) - 4} more" if len(texts) > 4 else "")

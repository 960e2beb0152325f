"""Two sets of logits, or two traces: how close they are, and where they part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen3moe.diff import Divergence, diff
from qwen3moe.errors import ArgumentError
from qwen3moe.measure import cosine, max_abs, ulp_distance
from qwen3moe.traces import StoredTrace, Trace

_ROUTER_IDS = "moe_router.ids"


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; None where it does not apply."""

    equal_bits: bool  # of everything that both hold
    cosine: float | None = None  # of the logits, in float64, over all rows
    max_abs: float | None = None
    max_ulp: int | None = None
    argmax_agreement: float | None = None  # the share of rows whose largest logit is the same token's
    argmax_differs: list[int] = field(default_factory=list)  # the other rows
    router_agreement: float | None = None  # the share of layers and rows with the same set of experts
    router_differs: list[tuple[int, int]] = field(default_factory=list)  # the other (layer, row)
    first_divergence: Divergence | None = None  # of traces

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = ["equal bits" if self.equal_bits else "different bits"]
        if self.max_ulp is not None:
            shown = "undefined" if self.cosine is None else f"{self.cosine:.12f}"
            lines.append(f"cosine {shown}, max abs {self.max_abs:.3g}, max ULP {self.max_ulp}")
        if self.argmax_agreement is not None:
            lines.append(f"argmax agrees in {self.argmax_agreement:.2%} of the rows")
        if self.router_agreement is not None:
            lines.append(f"router sets agree in {self.router_agreement:.2%} of layers and rows")
        if self.first_divergence:
            lines.append(str(self.first_divergence))
        return "\n".join(lines)


def compare(a: npt.ArrayLike | Trace | StoredTrace, b: npt.ArrayLike | Trace | StoredTrace) -> Comparison:
    """Compares logits, [vocab] or [n, vocab], taken as float32; or two traces."""
    left, right = _trace(a), _trace(b)
    if (left is None) != (right is None):
        raise ArgumentError("one side is a trace and the other is not; expected two traces or two arrays of logits")
    if left is None or right is None:
        return _compare_logits(_logits(a), _logits(b))
    return _compare_traces(left, right)


def _trace(value: Any) -> Trace | None:
    if isinstance(value, StoredTrace):
        return value.arrays
    return value if isinstance(value, Mapping) else None


def _logits(value: Any) -> npt.NDArray[np.float32]:
    array = np.asarray(value, dtype=np.float32)
    if array.ndim not in (1, 2) or array.shape[-1] == 0:
        raise ArgumentError(f"logits have the shape {array.shape}; expected [vocab] or [n, vocab]")
    return array


def _compare_logits(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> Comparison:
    if a.shape != b.shape:
        raise ArgumentError(f"logits have the shapes {a.shape} and {b.shape}; expected the same")
    max_ulp = int(np.max(ulp_distance(a, b), initial=0))
    agrees = np.atleast_1d(np.argmax(a, axis=-1) == np.argmax(b, axis=-1))
    return Comparison(
        equal_bits=max_ulp == 0,
        cosine=cosine(a, b),
        max_abs=max_abs(a, b),
        max_ulp=max_ulp,
        argmax_agreement=float(np.mean(agrees)) if agrees.size else None,
        argmax_differs=np.flatnonzero(~agrees).tolist(),
    )


def _compare_traces(a: Trace, b: Trace) -> Comparison:
    found = diff(a, b)
    if not found.arrays:
        raise ArgumentError("the traces have no array in common")
    both_end = "logits" in a and "logits" in b
    logits = _compare_logits(_logits(a["logits"]), _logits(b["logits"])) if both_end else Comparison(equal_bits=True)
    router_agreement, router_differs = _compare_routers(a, b)
    return replace(
        logits,
        equal_bits=not any(array.differing or array.mismatch for array in found.arrays),
        router_agreement=router_agreement,
        router_differs=router_differs,
        first_divergence=found.first,
    )


def _compare_routers(a: Trace, b: Trace) -> tuple[float | None, list[tuple[int, int]]]:
    rows, differing = 0, []
    for key in a.keys() & b.keys():
        if not key.endswith(_ROUTER_IDS) or a[key].shape != b[key].shape:
            continue
        same = (np.sort(a[key], axis=-1) == np.sort(b[key], axis=-1)).all(axis=-1)
        rows += same.size
        layer = int(key.split(".")[1])
        differing += [(layer, int(row)) for row in np.flatnonzero(~same)]
    return (1 - len(differing) / rows if rows else None), sorted(differing)

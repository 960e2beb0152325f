"""Which experts a text is sent to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen3moe import _core
from qwen3moe.progress import Progress, reporting
from qwen3moe.tables import table

_STAGES = ("moe_router.ids", "moe_router.weights")
_CHUNK = 512  # tokens traced at a time


@dataclass(frozen=True)
class ExpertStats:
    """counts [layers, experts]: how many tokens chose each. weights, of the same shape: its mean weight where chosen,
    0 where never. entropy [layers], in bits: of the choices; log2 of the number of experts where all are used alike.
    """

    tokens: int
    counts: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    entropy: npt.NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        return {
            "tokens": self.tokens,
            "counts": self.counts.tolist(),
            "weights": self.weights.tolist(),
            "entropy": self.entropy.tolist(),
        }

    def __str__(self) -> str:
        rows = []
        for layer, counts in enumerate(self.counts):
            most = np.argsort(-counts, kind="stable")[:4]
            shares = ", ".join(f"{expert} ({counts[expert] / self.tokens:.0%})" for expert in most)
            rows.append([layer, f"{self.entropy[layer]:.2f}", int((counts > 0).sum()), shares])
        return table(["layer", "entropy, bits", "experts used", "most chosen, by how many tokens"], rows)


def _chunks(count: int, window: int) -> Iterator[tuple[int, int]]:
    """Start and end of pieces, none of which crosses a window's border."""
    start = 0
    while start < count:
        end = min(start + _CHUNK, start // window * window + window, count)
        yield start, end
        start = end


def expert_stats(core: _core.Model, tokens: npt.NDArray[np.int32], progress: Progress) -> ExpertStats:
    """As `Model.expert_stats`."""
    layers, experts, window = core.config["layers"], core.config["experts"], core.config["context"]
    counts = np.zeros((layers, experts), np.int64)
    sums = np.zeros((layers, experts))
    session = core.session(min(len(tokens), window))
    try:
        with reporting(progress, "experts", "tok") as report:
            for start, end in _chunks(len(tokens), window):
                if session.position == window:
                    session.truncate(0)
                trace = session.trace(tokens[start:end], _STAGES, range(layers))
                for layer in range(layers):
                    ids, weights = (trace[f"layers.{layer}.{stage}"].ravel() for stage in _STAGES)
                    counts[layer] += np.bincount(ids, minlength=experts)
                    sums[layer] += np.bincount(ids, weights, minlength=experts)
                if report:
                    report(end, len(tokens))
    finally:
        session.close()
    shares = counts / counts.sum(axis=1, keepdims=True)
    logs = np.log2(shares, where=counts > 0, out=np.zeros_like(shares))
    return ExpertStats(
        tokens=len(tokens),
        counts=counts,
        weights=np.divide(sums, counts, where=counts > 0, out=np.zeros_like(sums)),
        entropy=-(shares * logs).sum(axis=1) + 0.0,
    )

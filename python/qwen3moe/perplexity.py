"""Perplexity over windows of a text, by the two conventions in use."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from qwen3moe import _core
from qwen3moe.counts import as_count
from qwen3moe.errors import ArgumentError
from qwen3moe.progress import Progress
from qwen3moe.scoring import Part, Tokens, score_parts

Convention: TypeAlias = Literal["hf", "llama.cpp"]

_WINDOW = 512


@dataclass(frozen=True)
class Perplexity:
    """perplexity: exp of nll, the mean negative log-probability of `tokens` scored tokens. standard_error: its own."""

    perplexity: float
    standard_error: float
    nll: float
    tokens: int
    windows: int
    window: int
    stride: int
    convention: Convention

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        cut = f"{self.windows} windows of {self.window} by {self.stride}, {self.convention}"
        return f"perplexity {self.perplexity:.4f} +/- {self.standard_error:.4f} ({self.tokens} tokens, {cut})"


def perplexity(
    core: _core.Model,
    tokens: Tokens,
    window: int | None,
    stride: int | None,
    convention: Convention,
    beginning: int | None,
    progress: Progress,
) -> Perplexity:
    """As `Model.perplexity`. beginning: the token that llama.cpp puts in the place of each window's first."""
    if convention not in get_args(Convention):
        raise ArgumentError(f"convention is {convention!r}; expected 'hf' or 'llama.cpp'")
    context = core.config["context"]
    size = min(_WINDOW, context) if window is None else as_count(window, "window", 2, context)
    if convention == "hf":
        step = max(size // 2, 1) if stride is None else as_count(stride, "stride", 1, size)
        parts = _sliding(tokens, size, step)
    else:
        if stride is not None:
            raise ArgumentError(f"stride is {stride!r}; by llama.cpp's convention windows do not overlap: leave it out")
        step = size
        parts = _halves(tokens, size, beginning)
    scores = score_parts(core, parts, progress)
    return _summed(np.concatenate([score.logprobs for score in scores]), len(parts), size, step, convention)


def _sliding(tokens: Tokens, window: int, stride: int) -> list[Part]:
    """Each token once, in the first window that holds it; but for the first of all, and with no overlap of each."""
    parts: list[Part] = []
    scored = 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + window, len(tokens))
        first = max(scored - begin, 1)
        if begin + first < end:
            parts.append(Part(tokens[begin:end], first))
        scored = end
        if end == len(tokens):
            break
    if not parts:
        raise ArgumentError(f"the text has {len(tokens)} tokens; perplexity needs two at least")
    return parts


def _halves(tokens: Tokens, window: int, beginning: int | None) -> list[Part]:
    """The second half of each whole window; what is left of the text is not looked at."""
    if len(tokens) < 2 * window:
        raise ArgumentError(f"the text has {len(tokens)} tokens; llama.cpp's convention needs two windows of {window}")
    if window < 3:
        raise ArgumentError(f"window is {window}; llama.cpp's convention scores nothing in windows of less than 3")
    parts = []
    for i in range(len(tokens) // window):
        part = tokens[i * window : (i + 1) * window].copy()
        part[0] = part[0] if beginning is None else beginning
        parts.append(Part(part, window // 2 + 1))
    return parts


def _summed(
    logprobs: npt.NDArray[np.float32], windows: int, window: int, stride: int, convention: Convention
) -> Perplexity:
    count = len(logprobs)
    losses = [-float(value) for value in logprobs]
    nll = math.fsum(losses) / count
    variance = math.fsum((loss - nll) ** 2 for loss in losses) / count
    value = math.exp(nll) if nll < 700 else math.inf
    error = value * math.sqrt(variance / (count - 1)) if count > 1 else math.nan
    return Perplexity(value, error, nll, count, windows, window, stride, convention)

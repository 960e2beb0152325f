"""How likely a model finds each token of a text, given those before it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qwen3moe import _core
from qwen3moe.progress import Progress, ProgressFunction, reporting

Tokens: TypeAlias = npt.NDArray[np.int32]

_LOGITS_BYTES = 128 << 20  # held at a time
_GROUP = 8  # batches' worth of tokens whose caches are held at a time


@dataclass(frozen=True)
class Score:
    """tokens: of the text, [n]. logprobs: of all but the first, [n - 1]. best: where those are the likeliest."""

    tokens: Tokens
    logprobs: npt.NDArray[np.float32]
    best: npt.NDArray[np.bool_]

    @property
    def total(self) -> float:
        """The log-probability of the text, given its first token."""
        return math.fsum(self.logprobs.tolist())

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability; NaN where there is none."""
        return math.exp(-self.total / len(self.logprobs)) if len(self.logprobs) else math.nan


@dataclass(frozen=True)
class Part:
    """Tokens of which those from `first` on, 1 at least, are scored."""

    tokens: Tokens
    first: int = 1

    @property
    def work(self) -> int:
        """The tokens to evaluate: nothing follows the last."""
        return len(self.tokens) - 1 if self.first < len(self.tokens) else 0


def score_parts(core: _core.Model, parts: Sequence[Part], progress: Progress) -> list[Score]:
    """Evaluates parts together. A score's log-probabilities are those of its part's scored tokens."""
    with reporting(progress, "score", "tok") as report:
        counter = _Counter(sum(part.work for part in parts), report)
        return [score for group in _groups(parts, _GROUP * core.batch) for score in _score_group(core, group, counter)]


class _Counter:
    """Sums up the progress of call after call."""

    def __init__(self, total: int, report: ProgressFunction | None) -> None:
        self._before, self._total, self._report = 0, total, report

    def __call__(self, done: int, total: int) -> None:
        if self._report:
            self._report(self._before + done, self._total)
        if done == total:
            self._before += total


def _groups(parts: Sequence[Part], most: int) -> Iterator[list[Part]]:
    group: list[Part] = []
    for part in parts:
        if group and sum(other.work for other in group) + part.work > most:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _score_group(core: _core.Model, parts: list[Part], counter: _Counter) -> list[Score]:
    sessions: list[_core.Session] = []
    found: list[list[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]] = [[] for _ in parts]
    try:
        sessions.extend(core.session(max(part.work, 1)) for part in parts)
        unscored = [(s, part.tokens[: part.first - 1]) for s, part in zip(sessions, parts, strict=True) if part.work]
        unscored = [(session, tokens) for session, tokens in unscored if len(tokens)]
        if unscored:
            _core.eval_batch([s for s, _ in unscored], [t for _, t in unscored], positions="none", progress=counter)
        rows = max(1, min(core.batch, _LOGITS_BYTES // (4 * core.config["vocab"])))
        for pieces in _rounds(parts, rows):
            evaluated = [parts[i].tokens[start:stop] for i, start, stop in pieces]
            logits = _core.eval_batch([sessions[i] for i, _, _ in pieces], evaluated, positions="all", progress=counter)
            for (i, start, stop), of in zip(pieces, logits, strict=True):
                targets = parts[i].tokens[start + 1 : stop + 1]
                found[i].append(_core.sampling.log_probabilities(of, targets, threads=core.threads))
    finally:
        for session in sessions:
            session.close()
    return [_joined(part, pieces) for part, pieces in zip(parts, found, strict=True)]


def _rounds(parts: list[Part], rows: int) -> Iterator[list[tuple[int, int, int]]]:
    """Pieces (part, start, stop) of the tokens whose logits are wanted, in order, `rows` of them at a time."""
    pieces: list[tuple[int, int, int]] = []
    room = rows
    for i, part in enumerate(parts):
        start = part.first - 1
        while start < part.work:
            stop = min(start + room, part.work)
            pieces.append((i, start, stop))
            room -= stop - start
            start = stop
            if room == 0:
                yield pieces
                pieces, room = [], rows
    if pieces:
        yield pieces


def _joined(part: Part, pieces: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]) -> Score:
    logprobs = [logprobs for logprobs, _ in pieces]
    best = [best for _, best in pieces]
    return Score(
        part.tokens,
        np.concatenate([np.zeros(0, np.float32), *logprobs]),
        np.concatenate([np.zeros(0, np.bool_), *best]),
    )

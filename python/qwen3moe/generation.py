"""Text that continues one prompt or several: chosen token by token, given out piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qwen3moe import _core
from qwen3moe.errors import ArgumentError, SessionError
from qwen3moe.progress import Progress, reporting
from qwen3moe.sampling import Sampling
from qwen3moe.text_stream import StopFilter, TextStream

Floats: TypeAlias = npt.NDArray[np.float32]
Tokens: TypeAlias = npt.NDArray[np.int32]
LogitsProcessor: TypeAlias = Callable[[Tokens, Floats], Floats]


class Piece(str):
    """The text that a token completes, often its own; empty where it completes no character, or ends the text.

    id: the token. logprob: its log-probability under the model. prompt: the number of the prompt that it continues.
    """

    id: int
    logprob: float
    prompt: int

    def __new__(cls, text: str, id: int, logprob: float, prompt: int) -> Piece:
        piece = super().__new__(cls, text)
        piece.id, piece.logprob, piece.prompt = id, logprob, prompt
        return piece

    def __getnewargs__(self) -> tuple[str, int, float, int]:  # type: ignore[override]
        return str(self), self.id, self.logprob, self.prompt


@dataclass
class Completion:
    """What continues a prompt so far. finish: why it ended, at an end token, a stop string or the most tokens."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: Literal["end", "stop", "length"] | None = None


@dataclass(frozen=True)
class Request:
    """What is asked for; all checked. `open_session` makes a session of so many tokens, where none is given.

    stop_tokens: end it as stop strings do, though they show no text.
    """

    prompts: list[Tokens]
    seeds: list[int]
    sampling: Sampling
    max_tokens: int
    stops: list[str]
    stop_tokens: frozenset[int]
    ends: frozenset[int]
    context: int
    stream: Callable[[], TextStream] | None
    processor: LogitsProcessor | None
    open_session: Callable[[int], _core.Session]
    session: _core.Session | None
    progress: Progress

    @property
    def chosen_by_device(self) -> bool:
        """Nobody but the choice needs the logits, and it takes them as they are."""
        return self.processor is None and self.sampling.temperature == 0 and self.sampling.repetition_penalty == 1


class Generation(Iterator[Piece]):
    """An iterator of pieces. Work is done as they are asked for; several prompts take turns in the order given.

    An error or an interrupt leaves a session of the caller's as it was before.
    """

    def __init__(self, request: Request) -> None:
        self.completions = [Completion() for _ in request.prompts]
        self._pieces = _pieces(request, self.completions)

    def __next__(self) -> Piece:
        return next(self._pieces)

    def finish(self) -> list[Completion]:
        """Runs to the end: a completion for each prompt."""
        for _ in self:
            pass
        return self.completions

    def close(self) -> None:
        """Ends it here, and frees what it holds. What came so far stays in `completions`."""
        self._pieces.close()


def _pieces(request: Request, completions: list[Completion]) -> Generator[Piece, None, None]:
    sequences: list[_Sequence] = []
    try:
        for number, completion in enumerate(completions):
            sequences.append(_Sequence(request, number, completion))
        active = sequences
        report = request.progress
        while active:
            sessions, pending = [s.session for s in active], [s.pending for s in active]
            with reporting(report, "prompt", "tok") as function:
                if request.chosen_by_device:
                    choices = iter(_core.choose_batch(sessions, pending, progress=function))
                else:
                    rows = _core.eval_batch(sessions, pending, progress=function)
                    choices = (s.choose(logits) for s, logits in zip(active, rows, strict=True))
            report = False
            for sequence, (token, logprob) in zip(active, choices, strict=True):
                yield sequence.take(token, logprob)
            for sequence in active:
                if sequence.completion.finish is not None:
                    sequence.release()
            active = [sequence for sequence in active if sequence.completion.finish is None]
    except (Exception, KeyboardInterrupt):
        for sequence in sequences:
            sequence.roll_back()
        raise
    finally:
        for sequence in sequences:
            sequence.release()


class _Sequence:
    """A prompt on its way: its session, what is to be evaluated next, and its text."""

    def __init__(self, request: Request, number: int, completion: Completion) -> None:
        prompt = request.prompts[number]
        self._request, self._number, self.completion = request, number, completion
        self._stream = request.stream() if request.stream else None
        self._stop = StopFilter(request.stops)
        self._owned = request.session is None
        most = min(len(prompt) + request.max_tokens - 1, max(request.context, len(prompt)))
        self.session = request.session or request.open_session(most)
        self._start = self.session.position
        self._tokens = np.concatenate([self.session.tokens, prompt])
        self._most = min(request.max_tokens, self.session.context - len(self._tokens) + 1)
        self.pending = prompt

    def choose(self, logits: Floats) -> tuple[int, float]:
        """The next token and its log-probability."""
        request = self._request
        token = request.sampling.choose(self._processed(logits), self._tokens, request.seeds[self._number])
        logprobs, _ = _core.sampling.log_probabilities(logits[None], np.array([token], np.int32))
        return token, float(logprobs[0])

    def take(self, token: int, logprob: float) -> Piece:
        """The next token's piece."""
        done = self.completion
        self.pending = np.array([token], np.int32)
        self._tokens = np.append(self._tokens, self.pending)
        done.tokens.append(token)
        done.logprobs.append(logprob)
        text = self._text(token)
        done.text += text
        return Piece(text, token, logprob, self._number)

    def _processed(self, logits: Floats) -> Floats:
        if self._request.processor is None:
            return logits
        changed = np.ascontiguousarray(self._request.processor(self._tokens.copy(), logits.copy()), dtype=np.float32)
        if changed.shape != logits.shape:
            raise ArgumentError(f"logits_processor returned the shape {changed.shape}; expected {logits.shape}")
        return changed

    def _text(self, token: int) -> str:
        """What this token lets go, and at the end all that was held back; notes why it ends."""
        done = self.completion
        text = self._stop.push(self._stream.push(token)) if self._stream else ""
        if self._stop.stopped or token in self._request.stop_tokens:
            done.finish = "stop"
        elif token in self._request.ends:
            done.finish = "end"
        elif len(done.tokens) >= self._most:
            done.finish = "length"
        if done.finish and self._stream and not self._stop.stopped:
            text += self._stop.push(self._stream.finish())
            text += "" if self._stop.stopped else self._stop.finish()
        return text

    def roll_back(self) -> None:
        with suppress(SessionError):  # closed meanwhile
            self.session.truncate(min(self._start, self.session.position))

    def release(self) -> None:
        if self._owned:
            self.session.close()


def as_stops(stop: str | Sequence[str]) -> list[str]:
    """The stop strings, each with a character at least."""
    stops = [stop] if isinstance(stop, str) else list(stop)
    for text in stops:
        if not isinstance(text, str) or not text:
            raise ArgumentError(f"stop has {text!r:.40}; expected strings that are not empty")
    return stops

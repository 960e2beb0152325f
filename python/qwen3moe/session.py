"""One sequence and its cache."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from qwen3moe import _core
from qwen3moe.counts import as_count
from qwen3moe.progress import Progress, reporting
from qwen3moe.session_file import save_session
from qwen3moe.tokens import TokenIds, as_tokens

if TYPE_CHECKING:
    from qwen3moe.model import Model

Floats: TypeAlias = npt.NDArray[np.float32]
Positions: TypeAlias = Literal["last", "all", "none"]


class Choice(NamedTuple):
    """A token that may come next, and its log-probability under the model."""

    id: int
    logprob: float


class Session:
    """The tokens of one sequence and their cache on the model's device; for one caller at a time.

    A call that fails or is interrupted leaves the session as it was before.
    """

    def __init__(self, core: _core.Session, model: Model, progress: Progress = False) -> None:
        self._core = core
        self._model = model
        self._progress = progress

    @property
    def context(self) -> int:
        """The most tokens that the session holds."""
        return self._core.context

    @property
    def position(self) -> int:
        """The number of tokens evaluated so far."""
        return self._core.position

    @property
    def tokens(self) -> npt.NDArray[np.int32]:
        """The tokens evaluated so far."""
        return self._core.tokens

    def eval(
        self,
        tokens: TokenIds,
        positions: Positions = "last",
        *,
        out: Floats | None = None,
        progress: Progress | None = None,
    ) -> Floats | None:
        """Appends tokens and returns the logits of the last one, [vocab], of all, [n, vocab], or of none.

        `out` receives them in place of a new array.
        """
        ids = as_tokens(tokens)
        wanted = self._progress if progress is None else progress
        with reporting(wanted, "eval", "tok") as report:
            return self._core.eval(ids, positions=positions, out=out, progress=report)

    def choose(self, tokens: TokenIds, *, progress: Progress | None = None) -> Choice:
        """Appends tokens and returns the likeliest to follow, the lowest among equals.

        The device chooses, with the bits that the logits would give; they are not copied from it.
        """
        ids = as_tokens(tokens)
        wanted = self._progress if progress is None else progress
        with reporting(wanted, "eval", "tok") as report:
            return Choice(*_core.choose_batch([self._core], [ids], progress=report)[0])

    def fork(self) -> Session:
        """A second session with the same tokens, from here on independent."""
        return Session(self._core.fork(), self._model, self._progress)

    def truncate(self, position: int) -> None:
        """Forgets the tokens from `position` on."""
        self._core.truncate(as_count(position, "position", 0))

    def save(self, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Writes the tokens and their part of the cache, to be loaded on any device by `Model.load_session`.

        The file appears whole or not at all.
        """
        wanted = self._progress if progress is None else progress
        save_session(path, self._core, self._model._core, self._model.fingerprint, wanted)

    def close(self) -> None:
        """Frees the cache. The session cannot be used any more."""
        self._core.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<qwen3moe.Session at {self.position} of {self.context}>"

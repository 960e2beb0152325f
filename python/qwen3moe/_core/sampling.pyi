"""The choice of a token, and log-probabilities."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_Tokens = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]
_Words = npt.NDArray[np.uint32]

def choose(
    logits: _Floats,
    before: _Tokens,
    *,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    position: int = 0,
) -> int: ...
def log_probabilities(
    logits: _Floats, targets: _Tokens, *, threads: int = 0
) -> tuple[_Floats, npt.NDArray[np.bool_]]: ...
def argmax(logits: _Floats) -> int: ...
def log(x: _Words) -> _Words: ...
def philox(counter: Sequence[int], key: Sequence[int]) -> list[int]: ...

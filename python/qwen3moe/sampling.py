"""How the next token is chosen: contracts/sampling-v1.yaml has the definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwen3moe import _core
from qwen3moe.counts import as_count, as_number

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_LEAST, _MOST = 2.0**-20, 2.0**20


@dataclass(frozen=True)
class Sampling:
    """Checked options of the choice. A temperature of 0 takes the largest logit, whatever the others say."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature != 0:
            as_number(self.temperature, "temperature", _LEAST, _MOST)
        as_count(self.top_k, "top_k", 0)
        as_number(self.top_p, "top_p", _LEAST, 1.0)
        as_number(self.min_p, "min_p", 0.0, 1.0)
        as_number(self.repetition_penalty, "repetition_penalty", _LEAST, _MOST)

    def choose(
        self, logits: npt.NDArray[np.float32], before: npt.NDArray[np.int32], seed: int, position: int | None = None
    ) -> int:
        """The token that follows those before it; `position`, by default their number, and the seed make it random."""
        return _core.sampling.choose(
            logits,
            before,
            temperature=float(self.temperature),
            top_k=int(self.top_k),
            top_p=float(self.top_p),
            min_p=float(self.min_p),
            repetition_penalty=float(self.repetition_penalty),
            seed=seed,
            position=len(before) if position is None else position,
        )

"""Texts, each as text or as token ids, from whatever a caller has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qwen3moe.errors import ArgumentError
from qwen3moe.tokens import TokenIds, as_tokens

if TYPE_CHECKING:
    from qwen3moe.model import Model

Text: TypeAlias = str | TokenIds
Texts: TypeAlias = Text | Sequence[str] | Sequence[TokenIds]


def as_prompt(model: Model, text: Text, what: str, *, empty: bool = False) -> npt.NDArray[np.int32]:
    """The ids of one text. empty: none is as well."""
    if not isinstance(text, str) and _is_several(text):
        raise ArgumentError(f"{what} is a list of texts; expected one")
    tokens = as_tokens(model.tokenize(text) if isinstance(text, str) else text, empty=True)
    if not tokens.size and not empty:
        raise ArgumentError(f"{what} is empty; expected a token at least")
    return tokens


def as_prompts(model: Model, texts: Texts, what: str, *, empty: bool = False) -> list[npt.NDArray[np.int32]]:
    """The ids of one text or of each of several."""
    if isinstance(texts, str) or not _is_several(texts):
        return [as_prompt(model, texts, what, empty=empty)]  # type: ignore[arg-type]
    return [as_prompt(model, one, f"{what}[{i}]", empty=empty) for i, one in enumerate(texts)]  # type: ignore[arg-type]


def _is_several(texts: Any) -> bool:
    if isinstance(texts, np.ndarray):
        return texts.ndim == 2
    return isinstance(texts, Sequence) and len(texts) > 0 and isinstance(texts[0], Iterable)

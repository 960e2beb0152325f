"""From what a caller asks for to a generation, with every argument checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qwen3moe.counts import as_count
from qwen3moe.errors import ArgumentError, TokenizerError
from qwen3moe.generation import Generation, LogitsProcessor, Request, Tokens, as_stops
from qwen3moe.progress import Progress
from qwen3moe.sampling import Sampling
from qwen3moe.tokenizer import Tokenizer
from qwen3moe.tokens import TokenIds, as_tokens
from qwen3moe.vocabulary import named_ends

if TYPE_CHECKING:
    from qwen3moe.model import Model
    from qwen3moe.session import Session


def generate(
    model: Model,
    prompt: str | TokenIds | Sequence[str] | Sequence[TokenIds],
    sampling: Sampling,
    *,
    max_tokens: int,
    seed: int | Sequence[int],
    stop: str | Sequence[str],
    processor: LogitsProcessor | None,
    session: Session | None,
    progress: Progress,
) -> Generation:
    """As `Model.generate`."""
    prompts = as_prompts(model, prompt)
    if processor is not None and not callable(processor):
        raise ArgumentError(f"logits_processor is {processor!r:.40}; expected a function of tokens and logits")
    if session is not None and len(prompts) != 1:
        raise ArgumentError(f"a session continues one prompt; {len(prompts)} were given")
    if session is not None and not model._core.owns(session._core):
        raise ArgumentError("the session belongs to another model")
    stops = as_stops(stop)
    tokenizer = model.tokenizer if stops else _tokenizer(model)
    return Generation(
        Request(
            prompts=prompts,
            seeds=_seeds(seed, len(prompts)),
            sampling=sampling,
            max_tokens=as_count(max_tokens, "max_tokens", 1),
            stops=stops,
            ends=tokenizer.vocabulary.ends if tokenizer else named_ends(model.metadata()),
            context=model.config["context"],
            stream=tokenizer.stream if tokenizer else None,
            processor=processor,
            open_session=model._core.session,
            session=session._core if session else None,
            progress=progress,
        )
    )


def _tokenizer(model: Model) -> Tokenizer | None:
    try:
        return model.tokenizer
    except TokenizerError:
        return None


def as_prompts(model: Model, prompt: str | TokenIds | Sequence[str] | Sequence[TokenIds]) -> list[Tokens]:
    """One prompt or several, each text or ids, as ids."""
    if isinstance(prompt, str) or not _is_several(prompt):
        return [_as_prompt(model, prompt, "prompt")]
    return [_as_prompt(model, one, f"prompt[{i}]") for i, one in enumerate(prompt)]


def _is_several(prompt: Any) -> bool:
    if isinstance(prompt, np.ndarray):
        return prompt.ndim == 2
    return isinstance(prompt, Sequence) and len(prompt) > 0 and isinstance(prompt[0], Iterable)


def _as_prompt(model: Model, prompt: Any, what: str) -> Tokens:
    ids = model.tokenize(prompt) if isinstance(prompt, str) else prompt
    tokens = as_tokens(ids, empty=True)
    if not tokens.size:
        raise ArgumentError(f"{what} is empty; expected a token at least")
    return tokens


def _seeds(seed: int | Sequence[int], count: int) -> list[int]:
    seeds = [seed] * count if hasattr(seed, "__index__") else list(seed)
    if len(seeds) != count:
        raise ArgumentError(f"{len(seeds)} seeds for {count} prompts; expected one, or one for each")
    return [as_count(one, "seed", 0, 2**64 - 1) for one in seeds]

"""From what a caller asks for to a generation, with every argument checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qwen3moe.counts import as_count
from qwen3moe.errors import ArgumentError, TokenizerError
from qwen3moe.generation import Generation, LogitsProcessor, Request, as_stops
from qwen3moe.progress import Progress
from qwen3moe.sampling import Sampling
from qwen3moe.texts import Texts, as_prompts
from qwen3moe.tokenizer import Tokenizer
from qwen3moe.vocabulary import named_ends

if TYPE_CHECKING:
    from qwen3moe.model import Model
    from qwen3moe.session import Session


def generate(
    model: Model,
    prompt: Texts,
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
    prompts = as_prompts(model, prompt, "prompt")
    if processor is not None and not callable(processor):
        raise ArgumentError(f"logits_processor is {processor!r:.40}; expected a function of tokens and logits")
    if session is not None and len(prompts) != 1:
        raise ArgumentError(f"a session continues one prompt; {len(prompts)} were given")
    if session is not None and not model._core.owns(session._core):
        raise ArgumentError("the session belongs to another model")
    stops = as_stops(stop)
    tokenizer = model.tokenizer if stops else _tokenizer(model)
    stop_tokens = {text: tokenizer.vocabulary.control(text) for text in stops} if tokenizer else {}
    return Generation(
        Request(
            prompts=prompts,
            seeds=_seeds(seed, len(prompts)),
            sampling=sampling,
            max_tokens=as_count(max_tokens, "max_tokens", 1),
            stops=[text for text in stops if stop_tokens[text] is None],
            stop_tokens=frozenset(token for token in stop_tokens.values() if token is not None),
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


def _seeds(seed: int | Sequence[int], count: int) -> list[int]:
    seeds = [seed] * count if hasattr(seed, "__index__") else list(seed)
    if len(seeds) != count:
        raise ArgumentError(f"{len(seeds)} seeds for {count} prompts; expected one, or one for each")
    return [as_count(one, "seed", 0, 2**64 - 1) for one in seeds]

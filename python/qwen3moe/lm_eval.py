"""A model for the language model evaluation harness (extra `lm-eval`); import this, then name the model "qwen3moe".

lm_eval.simple_evaluate(model=qwen3moe.lm_eval.HarnessModel("model.gguf"), tasks=["hellaswag"])
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from qwen3moe.chat import CHATML
from qwen3moe.counts import as_count
from qwen3moe.errors import ArgumentError, TokenizerError
from qwen3moe.model import Model
from qwen3moe.progress import Progress, reporting
from qwen3moe.scoring import Part, Score, score_parts
from qwen3moe.tokens import as_tokens

_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")


@register_model("qwen3moe")
class HarnessModel(TemplateLM):  # type: ignore[misc]
    """A GGUF file, or a model that is open already, as the harness wants it.

    max_length: the most tokens evaluated for one answer, the model's context by default. batch_size: how many prompts
    are continued at once. Neither changes a result, but for texts that are longer.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Model,
        device: str | None = None,
        *,
        threads: int | None = None,
        max_length: int | None = None,
        max_gen_toks: int = 256,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        opened = isinstance(path, Model)
        self.model = path if isinstance(path, Model) else Model.from_gguf(path, device or "auto", threads=threads)
        if opened and (device, threads) != (None, None):
            raise ArgumentError("an open model has its device and threads already")
        context = self.model.config["context"]
        self.max_length = context if max_length is None else as_count(int(max_length), "max_length", 2, context)
        self._max_gen_toks = as_count(int(max_gen_toks), "max_gen_toks", 1)
        self._together = 8 if batch_size in (None, "auto") else as_count(int(batch_size), "batch_size", 1)
        self._prefix = self._first_of("bos", "eos")

    def _first_of(self, *names: str) -> int:
        metadata = self.model.metadata()
        ids = [metadata.get(f"tokenizer.ggml.{name}_token_id") for name in names]
        found = next((i for i in ids if i is not None), None)
        if found is None:
            raise TokenizerError("the file names no token that begins or ends a text; the harness needs one")
        return int(found)

    # ---- what the harness asks for

    @property
    def eot_token_id(self) -> int:
        return self._first_of("eos", "bos")

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text that has nothing before it."""
        return self._prefix

    @property
    def tokenizer_name(self) -> str:
        return f"{os.path.basename(self.model.path)}-{self.model.fingerprint[:16]}"

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        return (self.model.tokenizer.vocabulary.chat_template or CHATML) if chat_template else None

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return self.model.render_chat(chat_history, add_generation_prompt=add_generation_prompt)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        ids = self.model.tokenizer.encode(string, beginning=add_special_tokens is not False)
        first = self.model.tokenizer.vocabulary.beginning
        written_too = add_special_tokens is None and first is not None and ids[:2] == [first, first]
        return ids[1:] if written_too else ids

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-probability of each text; of long ones in windows, as the harness cuts them."""
        parts: list[Part] = []
        counts: list[int] = []
        for request in requests:
            ids = self.tok_encode(request.args[0])
            windows = get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, 1)
            found = [self._part(*make_disjoint_window(window)) for window in windows]
            parts += found
            counts.append(len(found))
        scores = iter(self._scores(parts, disable_tqdm))
        totals = [sum(next(scores).total for _ in range(count)) for count in counts]
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Texts that continue others. A request that comes again, for another sample, has the next seed."""
        answers = [""] * len(requests)
        before: Counter[str] = Counter()
        groups: dict[str, list[tuple[int, int]]] = {}  # the options in JSON, to requests and how often each came before
        for i, request in enumerate(requests):
            key = json.dumps(request.args)
            groups.setdefault(json.dumps(request.args[1], sort_keys=True), []).append((i, before[key]))
            before[key] += 1
        with reporting(self._progress(disable_tqdm), "generate", "answers") as report:
            done = 0
            for options, members in groups.items():
                known = self._options(json.loads(options))
                for chunk in _chunks(members, self._together):
                    prompts = [self._prompt(requests[i].args[0], known["max_tokens"]) for i, _ in chunk]
                    seeds = [known["seed"] + count for _, count in chunk]
                    found = self.model.generate(prompts, **{**known, "seed": seeds}, progress=False).finish()
                    for (i, _), completion in zip(chunk, found, strict=True):
                        answers[i] = completion.text
                        self.cache_hook.add_partial("generate_until", requests[i].args, completion.text)
                    done += len(chunk)
                    if report:
                        report(done, len(requests))
        return answers

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], disable_tqdm: bool = False, **unused: Any
    ) -> list[tuple[float, bool]]:
        scores = self._scores(
            [self._part(context, continuation) for _, context, continuation in requests], disable_tqdm
        )
        answers = [(score.total, bool(score.best.all())) for score in scores]
        for (texts, _, _), answer in zip(requests, answers, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    # ---- how it is done

    def _part(self, context: list[int], continuation: list[int]) -> Part:
        if not context or not 0 < len(continuation) <= self.max_length:
            raise ArgumentError(
                f"{len(continuation)} tokens after {len(context)}; expected one at least before, and 1 to "
                f"{self.max_length} to score"
            )
        tokens = (context + continuation)[-(self.max_length + 1) :]
        return Part(as_tokens(tokens), len(tokens) - len(continuation))

    def _scores(self, parts: list[Part], quiet: bool) -> list[Score]:
        return score_parts(self.model._core, parts, self._progress(quiet))

    def _progress(self, quiet: bool) -> Progress:
        """A bar, as the harness's own models have, unless the model brings a function in its place."""
        return not quiet and (self.model._progress or True)

    def _prompt(self, text: str, max_tokens: int) -> list[int]:
        """The end of the text, with room for what is to come."""
        room = self.max_length - max_tokens
        if room < 1:
            raise ArgumentError(f"{max_tokens} new tokens leave no room for a prompt in {self.max_length}")
        return (self.tok_encode(text) or [self.prefix_token_id])[-room:]

    def _options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        left = dict(given)
        until = left.pop("until", None) or []
        lengths = [left.pop(name, None) for name in _LENGTHS]
        sampled = left.pop("do_sample", None)
        options = {name: left.pop(name) for name in _SAMPLING if name in left}
        if left:
            raise ArgumentError(f"unknown generation options: {', '.join(sorted(left))}")
        if sampled is False:
            options["temperature"] = 0.0
        elif sampled and not options.get("temperature"):
            options["temperature"] = 1.0
        stops = [until] if isinstance(until, str) else until
        length = next((int(length) for length in lengths if length is not None), self._max_gen_toks)
        return {"seed": 0, **options, "max_tokens": length, "stop": [stop for stop in stops if stop]}


def _chunks(members: list[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    for start in range(0, len(members), size):
        yield members[start : start + size]

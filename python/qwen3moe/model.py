"""A model from a GGUF file on one device."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Literal

import numpy.typing as npt

from qwen3moe import _core
from qwen3moe.chat import CHATML, Message, render_chat, shared_prefix
from qwen3moe.counts import as_count
from qwen3moe.devices import resolve_device
from qwen3moe.errors import ArgumentError, TokenizerError
from qwen3moe.experts import ExpertStats, expert_stats
from qwen3moe.generate import generate
from qwen3moe.generation import Generation, LogitsProcessor
from qwen3moe.indices import Indices, select_indices
from qwen3moe.perplexity import Convention, Perplexity, perplexity
from qwen3moe.progress import Progress
from qwen3moe.sampling import Sampling
from qwen3moe.scoring import Part, Score, score_parts
from qwen3moe.session import Floats, Session
from qwen3moe.session_file import load_session
from qwen3moe.stages import forward_order, select_stages
from qwen3moe.texts import Text, Texts, as_prompt, as_prompts
from qwen3moe.tokenizer import Tokenizer
from qwen3moe.tokens import TokenIds, as_tokens


class Model:
    """A GGUF model on one device: immutable, and shared by any number of threads and sessions.

    Open one with `Model.from_gguf`.
    """

    def __init__(self, core: _core.Model, progress: Progress = False) -> None:
        self._core = core
        self._progress = progress

    @classmethod
    def from_gguf(
        cls,
        path: str | bytes | os.PathLike[str],
        device: str = "auto",
        *,
        progress: Progress = False,
        threads: int | None = None,
        batch: int | None = None,
    ) -> Model:
        """Opens a file, or the first part of a split one.

        device: "cpu", or "auto" for the best that is here. threads: of the CPU, all that the process may use by
        default. batch: the most tokens evaluated at once. progress: whether this model's long calls show a bar, unless
        a call says otherwise.
        """
        given = {"threads": threads, "batch": batch}
        options = {name: as_count(value, name, 1) for name, value in given.items() if value is not None}
        return cls(_core.Model(path, resolve_device(device), **options), progress)

    @property
    def path(self) -> str:
        """The file."""
        return self._core.path

    @property
    def device(self) -> str:
        """The device's name, as "cpu"."""
        return self._core.device

    @property
    def config(self) -> dict[str, Any]:
        """What the file says about the model: layers, heads, experts and so on."""
        return self._core.config

    @property
    def threads(self) -> int:
        """The CPU threads that work for this model."""
        return self._core.threads

    @property
    def batch(self) -> int:
        """The most tokens evaluated at once."""
        return self._core.batch

    @property
    def weight_bytes(self) -> int:
        """The bytes of all tensors."""
        return self._core.weight_bytes

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what the model is: its config, every tensor's name, type and shape, and pieces of its bytes.

        All bytes of a small tensor count, 16 pieces of 4 KiB of a larger one: it tells models apart in less than a
        second, but does not notice every altered byte.
        """
        described = [self.config, [[t["name"], t["type"], t["shape"]] for t in self.tensors()]]
        return hashlib.sha256(json.dumps(described).encode() + self._core.weight_samples()).hexdigest()

    def plan(self) -> list[str]:
        """The forward pass, a line per step: layer, step, what it reads and writes, its weights."""
        return self._core.plan()

    def tensors(self) -> list[dict[str, Any]]:
        """Name, type, shape and bytes of every tensor, in file order."""
        return self._core.tensors()

    def metadata(self) -> dict[str, Any]:
        """The file's metadata."""
        return self._core.metadata()

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to token ids and back; TokenizerError where the file has no vocabulary, or not one of Qwen's kind."""
        if isinstance(self._tokenizer, str):
            raise TokenizerError(self._tokenizer)
        return self._tokenizer

    @cached_property
    def _tokenizer(self) -> Tokenizer | str:
        """The tokenizer, or why there is none."""
        try:
            return Tokenizer(self.metadata())
        except TokenizerError as error:
            return str(error)

    def tokenize(self, text: str, *, special: bool = True) -> list[int]:
        """The token ids of a text. With `special`, control tokens written in it become what they name."""
        return self.tokenizer.encode(text, special=special)

    def detokenize(self, tokens: TokenIds, *, special: bool = True) -> str:
        """The text of token ids; without `special`, control tokens show nothing."""
        return self.tokenizer.decode(tokens, special=special)

    def session(self, context: int) -> Session:
        """A new, empty sequence that holds at most `context` tokens."""
        return Session(self._core.session(as_count(context, "context", 1)), self, self._progress)

    def load_session(
        self, path: str | os.PathLike[str], *, context: int | None = None, progress: Progress | None = None
    ) -> Session:
        """The session that `Session.save` stored of this model on whatever device; SessionFileError for other files.

        context: the most tokens that it will hold; by default as many as the stored one.
        """
        most = None if context is None else as_count(context, "context", 1)
        wanted = self._progress if progress is None else progress
        return Session(load_session(path, self._core, lambda: self.fingerprint, most, wanted), self, self._progress)

    def forward(
        self,
        tokens: TokenIds,
        positions: Literal["last", "all"] = "last",
        *,
        out: Floats | None = None,
        progress: Progress | None = None,
    ) -> Floats:
        """The logits of the last position, float32 [vocab], or of all, [n, vocab]; `out` may be an array or memmap."""
        ids = as_tokens(tokens)
        if positions not in ("last", "all"):
            raise ArgumentError(f"positions is {positions!r}; expected 'last' or 'all'")
        with self.session(len(ids)) as session:
            logits = session.eval(ids, positions, out=out, progress=progress)
        assert logits is not None
        return logits

    def forward_batch(self, batch: Iterable[TokenIds]) -> list[Floats]:
        """The last logits of several sequences, evaluated together; the same bits as one by one."""
        prompts = [as_tokens(tokens) for tokens in batch]
        sessions: list[_core.Session] = []
        try:
            sessions.extend(self._core.session(len(prompt)) for prompt in prompts)
            return _core.eval_batch(sessions, prompts)
        finally:
            for session in sessions:
                session.close()

    def generate(
        self,
        prompt: Texts,
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        seed: int | Sequence[int] = 0,
        stop: str | Sequence[str] = (),
        logits_processor: LogitsProcessor | None = None,
        session: Session | None = None,
        progress: Progress | None = None,
    ) -> Generation:
        """Text that follows a prompt, or each of several: an iterator of pieces, one for each token, that are strings.

        A prompt is text or token ids. Without a temperature, the largest logit decides; with one, the seed does, and
        the same seed gives the same tokens on every device, for any number of threads and of prompts beside it; several
        prompts may have a seed each. stop: strings that end the text and are not part of it; control tokens' names as
        well. logits_processor: called with the tokens so far and the logits, returns the logits to choose from.
        session: to continue, so that what it holds need not be evaluated again; at the end it also holds the prompt and
        all new tokens but the last.
        """
        return generate(
            self,
            prompt,
            Sampling(temperature, top_k, top_p, min_p, repetition_penalty),
            max_tokens=max_tokens,
            seed=seed,
            stop=stop,
            processor=logits_processor,
            session=session,
            progress=self._progress if progress is None else progress,
        )

    def render_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation by the file's chat template, or by ChatML where it has none.

        variables: more of what the template knows, such as `enable_thinking`. TemplateError where the template fails,
        or does what it may not: it runs in a sandbox, in a process with little time and memory.
        """
        vocabulary = self.tokenizer.vocabulary
        return render_chat(
            vocabulary.chat_template or CHATML,
            messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            variables={**vocabulary.names, **(variables or {})},
        )

    def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
        session: Session | None = None,
        **options: Any,
    ) -> Generation:
        """The next message of a conversation, such as [{"role": "user", "content": "Hi"}]: see `render_chat`, and
        `generate` for the options.

        session: keeps what it holds as far as the conversation begins alike, so that only the rest is evaluated.
        """
        text = self.render_chat(messages, tools=tools, variables=variables)
        tokens = self.tokenizer.encode(text, beginning=False)
        if session is None:
            return self.generate(tokens, **options)
        kept = shared_prefix(session.tokens, tokens)
        generation = self.generate(tokens[kept:], session=session, **options)
        session.truncate(kept)
        return generation

    def score(self, texts: Texts, *, progress: Progress | None = None) -> list[Score]:
        """The log-probability of every token but the first of each text (or of its ids), evaluated together."""
        parts = [Part(tokens) for tokens in as_prompts(self, texts, "text", empty=True)]
        return score_parts(self._core, parts, self._progress if progress is None else progress)

    def perplexity(
        self,
        text: Text,
        *,
        window: int | None = None,
        stride: int | None = None,
        convention: Convention = "hf",
        progress: Progress | None = None,
    ) -> Perplexity:
        """Perplexity over windows of a text or of its ids, with its standard error.

        "hf": windows begin every `stride` tokens, half a window by default; each token is scored once, in the first
        window that holds it, with what stands before it there. "llama.cpp": windows do not overlap, the second half of
        each is scored, and the rest at the end is left out. window: 512 by default.
        """
        tokens = as_prompt(self, text, "text")
        beginning = self.tokenizer.vocabulary.beginning if isinstance(text, str) else None
        wanted = self._progress if progress is None else progress
        return perplexity(self._core, tokens, window, stride, convention, beginning, wanted)

    def expert_stats(self, text: Text, *, progress: Progress | None = None) -> ExpertStats:
        """How often each expert of each layer is chosen on a text or its ids, its mean weight, and the entropy.

        A text longer than the model's context is looked at in windows of that size.
        """
        tokens = as_prompt(self, text, "text")
        return expert_stats(self._core, tokens, self._progress if progress is None else progress)

    def trace(
        self,
        tokens: TokenIds,
        stages: str | Sequence[str] = "*",
        layers: Indices = None,
        positions: Indices = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """What the forward pass computes on its way, as arrays [positions, ...] in forward order.

        Keys are "embed", "layers.<i>.<stage>", "final_norm" and "logits". stages: globs over `qwen3moe.stages()`, such
        as "router.*" or "q,k,v". Layers and positions count from the end where negative.
        """
        ids = as_tokens(tokens)
        chosen = select_stages(stages)
        at_layers = select_indices(layers, self.config["layers"], "layer")
        at_positions = None if positions is None else select_indices(positions, len(ids), "position")
        session = self._core.session(len(ids))
        try:
            trace = session.trace(ids, chosen, at_layers, at_positions)
        finally:
            session.close()
        return {key: trace[key] for key in forward_order(trace)}

    def close(self) -> None:
        """Frees the model, once no session uses it any more."""
        self._core.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<qwen3moe.Model {self.path!r} on {self.device}>"

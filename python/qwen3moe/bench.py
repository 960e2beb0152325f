"""How fast a model is on this machine: prefill and decode, and the memory reads that bound them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from qwen3moe.counts import as_count
from qwen3moe.errors import ArgumentError
from qwen3moe.hashing import sha256_logits
from qwen3moe.machine import anonymous_memory, peak_rss, read_bandwidth
from qwen3moe.model import Model
from qwen3moe.progress import Progress, reporting
from qwen3moe.prompts import plain_tokens
from qwen3moe.rivals import Engine, open_rival
from qwen3moe.session import Session
from qwen3moe.tables import table


@dataclass(frozen=True)
class Rate:
    """Tokens per second, over several runs."""

    samples: list[float]

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def spread(self) -> float:
        """From the slowest to the fastest run, as a share of the median."""
        return (max(self.samples) - min(self.samples)) / self.median

    def to_dict(self) -> dict[str, Any]:
        return {"median": self.median, "spread": self.spread, "samples": self.samples}


@dataclass(frozen=True)
class Run:
    """One test: so many tokens, at once or one by one, after `depth` others."""

    kind: str  # "prefill" or "decode"
    tokens: int
    depth: int
    tok_s: Rate
    read_bytes_per_token: int  # of weights and cache, where tokens come one by one
    rival_tok_s: Rate | None = None
    read_bytes_s: float | None = None  # of the machine's memory, between the repetitions of a decode

    @property
    def name(self) -> str:
        return f"{self.kind} {self.tokens} @ {self.depth}"

    @property
    def ratio(self) -> float | None:
        """How many times the other engine's speed."""
        return self.tok_s.median / self.rival_tok_s.median if self.rival_tok_s else None

    def to_dict(self) -> dict[str, Any]:
        rival = self.rival_tok_s.to_dict() if self.rival_tok_s else None
        return {**asdict(self), "tok_s": self.tok_s.to_dict(), "rival_tok_s": rival, "ratio": self.ratio}


@dataclass(frozen=True)
class Bench:
    """What `bench` measured."""

    model: str
    device: str
    threads: int
    rival: str | None
    runs: list[Run]
    weight_bytes: int
    weight_bytes_per_token: int
    read_bytes_s: float | None  # of the machine's memory, over all runs; it bounds the CPU, a GPU reads its own
    peak_rss_bytes: int
    anonymous_bytes: int
    logits_sha256: str

    def first(self, kind: str) -> Run | None:
        """The first run of a kind."""
        return next((run for run in self.runs if run.kind == kind), None)

    def bandwidth_share(self, run: Run) -> float | None:
        """The share of the read bandwidth that decoding spends on weights and cache."""
        if run.read_bytes_s is None:
            return None
        return run.tok_s.median * run.read_bytes_per_token / run.read_bytes_s

    def to_dict(self) -> dict[str, Any]:
        prefill, decode = self.first("prefill"), self.first("decode")
        return {
            **asdict(self),
            "runs": [run.to_dict() for run in self.runs],
            "prefill_tok_s": prefill.tok_s.to_dict() if prefill else None,
            "decode_tok_s": decode.tok_s.to_dict() if decode else None,
            "bandwidth_share": self.bandwidth_share(decode) if decode else None,
        }

    def __str__(self) -> str:
        header = ["device", "threads", "test", "tok/s", "spread"]
        rows: list[list[object]] = [
            [self.device, self.threads, run.name, f"{run.tok_s.median:.2f}", f"{run.tok_s.spread:.1%}"]
            for run in self.runs
        ]
        decodes = [run for run in self.runs if run.kind == "decode"]
        if decodes and self.read_bytes_s is not None:
            header.append("bandwidth")
            for row, run in zip(rows, self.runs, strict=True):
                row.append(f"{self.bandwidth_share(run):.0%}" if run in decodes else "")
        if self.rival:
            header += [self.rival, "ratio"]
            for row, run in zip(rows, self.runs, strict=True):
                row += [f"{run.rival_tok_s.median:.2f}" if run.rival_tok_s else "", f"{run.ratio:.2f}"]
        bandwidth = "not measured" if self.read_bytes_s is None else f"{self.read_bytes_s / 1e9:.1f} GB/s"
        return "\n".join(
            [
                table(header, rows),
                "",
                f"model           {self.model}, {self.weight_bytes / 1e9:.3f} GB of weights",
                f"read per token  {self.weight_bytes_per_token / 1e6:.3f} MB of weights",
                f"read bandwidth  {bandwidth}",
                f"peak RSS        {self.peak_rss_bytes / 1e6:.0f} MB, {self.anonymous_bytes / 1e6:.0f} MB beyond files",
                f"SHA-256         {self.logits_sha256}",
            ]
        )


def bench(
    model: Model,
    *,
    prompt: int | Sequence[int] = 512,
    generated: int | Sequence[int] = 128,
    depth: int | Sequence[int] = 0,
    repetitions: int = 3,
    rival: str | None = None,
    progress: Progress = False,
) -> Bench:
    """Times the prefill of `prompt` tokens and the decoding of `generated`, each after `depth` tokens.

    Every combination of several values is a run. rival: another engine, "llama.cpp", that does the same in turn.
    """
    tests = _tests(_counts(prompt, "prompt"), _counts(generated, "generated"), _counts(depth, "depth"))
    as_count(repetitions, "repetitions", 1)
    if not tests:
        raise ArgumentError("nothing to time; expected a prompt, or tokens to generate")
    if rival and model.device != "cpu":
        raise ArgumentError(f"other engines are compared with on the CPU; the model is on {model.device}")
    tokens = plain_tokens(max(depth + count for _, count, depth in tests), model.config["vocab"])
    with ExitStack() as stack:
        session = stack.enter_context(model.session(len(tokens)))
        report = stack.enter_context(reporting(progress, "bench", "runs"))
        digest = _warm_up(session, tokens)
        peak, anonymous = peak_rss(), anonymous_memory()  # before the other engine's, and what follows
        engines: list[Engine] = [_Own(session)]
        if rival:
            engines.append(stack.enter_context(closing(open_rival(rival, model.path, model.threads, len(tokens)))))
            engines[1].eval(tokens)
        runs = []
        for number, (kind, count, at) in enumerate(tests):
            samples: list[list[float]] = [[] for _ in engines]
            bandwidths: list[float] = []
            for engine in engines:
                engine.truncate(0)
                if at:
                    engine.eval(tokens[:at])
            for _ in range(repetitions):
                for engine, found in zip(engines, samples, strict=True):
                    found.append(count / _seconds(engine, kind, tokens[at : at + count], at))
                if model.threads and kind == "decode":  # in turn with what is held against it
                    bandwidths.append(read_bandwidth(model.threads))
            rates = [Rate(found) for found in samples]
            reads = weight_bytes_per_token(model) + cache_bytes(model, at + count // 2)
            bandwidth = median(bandwidths) if bandwidths else None
            runs.append(Run(kind, count, at, rates[0], reads, rates[1] if rival else None, bandwidth))
            if report:
                report(number + 1, len(tests))
    return Bench(
        model=model.path,
        device=model.device,
        threads=model.threads,
        rival=rival,
        runs=runs,
        weight_bytes=model.weight_bytes,
        weight_bytes_per_token=weight_bytes_per_token(model),
        read_bytes_s=_read_bandwidth(model, runs),
        peak_rss_bytes=peak,
        anonymous_bytes=anonymous,
        logits_sha256=digest,
    )


def weight_bytes_per_token(model: Model) -> int:
    """What decoding one token reads of the weights: its experts only, and one row of the embedding."""
    config = model.config
    tensors = {tensor["name"]: tensor for tensor in model.tensors()}
    total = 0
    for name, tensor in tensors.items():
        size: int = tensor["bytes"]
        if "_exps." in name:
            total += size * config["experts_used"] // config["experts"]
        elif name == "token_embd.weight":
            tied = "output.weight" not in tensors
            total += size // config["vocab"] + (size if tied else 0)
        else:
            total += size
    return total


def cache_bytes(model: Model, positions: int) -> int:
    """The keys and values of so many positions: 16-bit integers with a scale for each head."""
    config = model.config
    heads: int = 2 * config["layers"] * config["kv_heads"]
    head_bytes: int = 2 * config["head_dim"] + 4
    return positions * heads * head_bytes


def _read_bandwidth(model: Model, runs: list[Run]) -> float | None:
    if not model.threads:
        return None
    return median([run.read_bytes_s for run in runs if run.read_bytes_s] or [read_bandwidth(model.threads)])


class _Own:
    """A session as an engine like others."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def eval(self, tokens: Sequence[int]) -> None:
        self._session.eval(list(tokens), progress=False)

    def truncate(self, position: int) -> None:
        self._session.truncate(position)

    def close(self) -> None:
        self._session.close()


def _counts(value: int | Sequence[int], name: str) -> list[int]:
    values = list(value) if isinstance(value, Sequence) else [value]
    return [as_count(item, name, 0) for item in values]


def _tests(prompts: list[int], generated: list[int], depths: list[int]) -> list[tuple[str, int, int]]:
    kinds = [("prefill", count) for count in prompts] + [("decode", count) for count in generated]
    return [(kind, count, depth) for depth in depths for kind, count in kinds if count]


def _warm_up(session: Session, tokens: list[int]) -> str:
    """Evaluates all tokens; returns the hash of the last logits."""
    logits = session.eval(tokens, progress=False)
    assert logits is not None
    return sha256_logits(logits)


def _seconds(engine: Engine, kind: str, tokens: list[int], depth: int) -> float:
    engine.truncate(depth)
    start = time.perf_counter()
    if kind == "prefill":
        engine.eval(tokens)
    else:
        for token in tokens:
            engine.eval([token])
    return time.perf_counter() - start

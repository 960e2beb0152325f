"""How fast a model is on this machine: prefill and decode, and the memory reads that bound them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from qwen3moe.counts import as_count
from qwen3moe.errors import ArgumentError
from qwen3moe.hashing import sha256_logits
from qwen3moe.machine import peak_rss, read_bandwidth
from qwen3moe.model import Model
from qwen3moe.progress import Progress, reporting
from qwen3moe.prompts import plain_tokens
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
class Bench:
    """What `bench` measured."""

    model: str
    device: str
    threads: int
    prompt: int
    generated: int
    depth: int
    prefill_tok_s: Rate | None
    decode_tok_s: Rate | None
    weight_bytes: int
    weight_bytes_per_token: int
    read_bytes_s: float | None  # of the machine's memory, which bounds the CPU; a GPU reads its own
    peak_rss_bytes: int
    logits_sha256: str

    @property
    def bandwidth_share(self) -> float | None:
        """The share of the read bandwidth that decoding spends on weights."""
        rate = self.decode_tok_s
        if rate is None or self.read_bytes_s is None:
            return None
        return rate.median * self.weight_bytes_per_token / self.read_bytes_s

    def to_dict(self) -> dict[str, Any]:
        rates = {"prefill_tok_s": self.prefill_tok_s, "decode_tok_s": self.decode_tok_s}
        measured = {name: rate.to_dict() if rate else None for name, rate in rates.items()}
        return {**asdict(self), **measured, "bandwidth_share": self.bandwidth_share}

    def __str__(self) -> str:
        runs = [(f"prefill {self.prompt}", self.prefill_tok_s), (f"decode {self.generated}", self.decode_tok_s)]
        rows = [
            [self.device, self.threads, f"{name} @ {self.depth}", f"{rate.median:.2f}", f"{rate.spread:.1%}"]
            for name, rate in runs
            if rate
        ]
        bandwidth = "not measured" if self.read_bytes_s is None else f"{self.read_bytes_s / 1e9:.1f} GB/s"
        share = "" if self.bandwidth_share is None else f" ({self.bandwidth_share:.0%} of it used by decode)"
        return "\n".join(
            [
                table(["device", "threads", "test", "tok/s", "spread"], rows),
                "",
                f"model           {self.model}, {self.weight_bytes / 1e9:.3f} GB of weights",
                f"read per token  {self.weight_bytes_per_token / 1e6:.3f} MB",
                f"read bandwidth  {bandwidth}{share}",
                f"peak RSS        {self.peak_rss_bytes / 1e6:.0f} MB",
                f"SHA-256         {self.logits_sha256}",
            ]
        )


def bench(
    model: Model,
    *,
    prompt: int = 512,
    generated: int = 128,
    depth: int = 0,
    repetitions: int = 3,
    progress: Progress = False,
) -> Bench:
    """Times the prefill of `prompt` tokens and the decoding of `generated`, each after `depth` tokens."""
    for name, value in (("prompt", prompt), ("generated", generated), ("depth", depth)):
        as_count(value, name, 0)
    as_count(repetitions, "repetitions", 1)
    if prompt + generated == 0:
        raise ArgumentError("nothing to time; expected a prompt, or tokens to generate")
    tokens = plain_tokens(depth + max(prompt, generated), model.config["vocab"])
    runs = (prompt > 0) + (generated > 0)
    with model.session(len(tokens)) as session, reporting(progress, "bench", "runs") as report:
        digest = _warm_up(session, tokens, depth, model.batch)
        done = 0

        def rate(count: int, work: Callable[[], None]) -> Rate | None:
            nonlocal done
            samples = []
            for _ in range(repetitions if count else 0):
                samples.append(count / _seconds(session, depth, work))
                done += 1
                if report:
                    report(done, runs * repetitions)
            return Rate(samples) if samples else None

        prefill = rate(prompt, lambda: _prefill(session, tokens[depth : depth + prompt]))
        decode = rate(generated, lambda: _decode(session, tokens[depth : depth + generated]))
    rss = peak_rss()  # before the buffer that the bandwidth is measured on
    return Bench(
        model=model.path,
        device=model.device,
        threads=model.threads,
        prompt=prompt,
        generated=generated,
        depth=depth,
        prefill_tok_s=prefill,
        decode_tok_s=decode,
        weight_bytes=model.weight_bytes,
        weight_bytes_per_token=weight_bytes_per_token(model),
        read_bytes_s=read_bandwidth(model.threads) if model.threads else None,
        peak_rss_bytes=rss,
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


def _warm_up(session: Session, tokens: list[int], depth: int, batch: int) -> str:
    """Brings the session to `depth` and evaluates a batch beyond; returns the hash of its last logits."""
    if depth:
        session.eval(tokens[:depth], "none", progress=False)
    logits = session.eval(tokens[depth : depth + batch], progress=False)
    assert logits is not None
    return sha256_logits(logits)


def _seconds(session: Session, depth: int, work: Callable[[], None]) -> float:
    session.truncate(depth)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _prefill(session: Session, tokens: list[int]) -> None:
    session.eval(tokens, progress=False)


def _decode(session: Session, tokens: list[int]) -> None:
    for token in tokens:
        session.eval([token], progress=False)

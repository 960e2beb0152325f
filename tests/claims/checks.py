"""What the contracts claim of the forward pass, as functions: each returns its findings, none where the claim holds.

They take models and traces, so that a planted fault can stand in for the device under test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import qwen3moe
from tests.devices import same

OUTSIDE = ("embed", "final_norm", "logits")
SUM_BOUND = 1e-6
LEAST_COSINE = 0.99
LEAST_TOK_S = 150.0
MOST_MEMORY = 0.95
FULL_SIZE_BYTES = 17_000_000_000  # weights of the 30B as Q4_K_M
LEAST_EXECUTIONS = {"reader": 20_000_000, "forward": 100_000}  # of each fuzzer

Trace = Mapping[str, Any]


def parity(reference: qwen3moe.Model, other: qwen3moe.Model, tokens: Sequence[int]) -> list[str]:
    """Bits of every stage, and of the logits as they come without a trace."""
    found = qwen3moe.diff(reference.trace(tokens), other.trace(tokens))
    findings = [] if found.equal else [str(found.first or "the traces hold other arrays")]
    if not same(reference.forward(tokens, "all"), other.forward(tokens, "all")):
        findings.append("logits without a trace differ")
    return findings


def closeness(logits: Any, reference: Any) -> list[str]:
    """The cosine of each position with a float16 forward."""
    cosines = [qwen3moe.compare(a, b).cosine for a, b in zip(logits, reference, strict=True)]
    bad = [(i, c) for i, c in enumerate(cosines) if c is None or c < LEAST_COSINE]
    return [f"position {i}: cosine {c}" for i, c in bad]


def invariants(config: Mapping[str, Any], trace: Trace, tokens: int) -> list[str]:
    """Router sums, ids, shapes and finiteness, of every layer."""
    findings = [f"{key} is not finite" for key, values in trace.items() if not np.isfinite(values).all()]
    for key, shape in shapes(config, tokens).items():
        if key not in trace:
            findings.append(f"{key} is missing")
        elif trace[key].shape != shape:
            findings.append(f"{key} has the shape {trace[key].shape}, not {shape}")
    for layer in range(config["layers"]):
        ids, weights = (trace.get(f"layers.{layer}.moe_router.{part}") for part in ("ids", "weights"))
        if ids is None or weights is None:
            continue
        ordered = np.sort(ids, axis=1)
        if ordered.min() < 0 or ordered.max() >= config["experts"] or (np.diff(ordered, axis=1) == 0).any():
            findings.append(f"layer {layer}: ids are not distinct and in range")
        error = np.abs(weights.astype(np.float64).sum(axis=1) - 1).max()
        if not error <= SUM_BOUND:
            findings.append(f"layer {layer}: router weights sum to 1 with an error of {error:.3g}")
    return findings


def shapes(config: Mapping[str, Any], n: int) -> dict[str, tuple[int, ...]]:
    """Of every array of a trace of n tokens."""
    width, used, ff, experts = (config[name] for name in ("width", "experts_used", "ff", "experts"))
    q, kv = (config[name] * config["head_dim"] for name in ("heads", "kv_heads"))
    router = {"logits": (n, experts), "probabilities": (n, experts), "ids": (n, used), "weights": (n, used)}
    expert = {"gate": (n, used, ff), "up": (n, used, ff), "swiglu": (n, used, ff), "out": (n, used, width)}
    layer = {
        **{name: (n, q) for name in ("q", "q_rope", "attn_out")},
        **{name: (n, kv) for name in ("k", "v", "k_rope")},
        **{name: (n, width) for name in ("attn_norm", "post_attn_residual", "ffn_norm")},
        **{name: (n, width) for name in ("moe_ffn_out", "post_ffn_residual")},
        **{f"moe_router.{name}": shape for name, shape in router.items()},
        **{f"expert.{name}": shape for name, shape in expert.items()},
    }
    every = {f"layers.{i}.{name}": shape for i in range(config["layers"]) for name, shape in layer.items()}
    return {**every, "embed": (n, width), "final_norm": (n, width), "logits": (n, config["vocab"])}


def determinism(run: Callable[[], Any], repetitions: int = 10) -> list[str]:
    """Whether a run repeats its bits."""
    first = run()
    return [f"run {i} has other bits than the first" for i in range(1, repetitions) if not same(first, run())]


def layers(reference: Trace, other: Trace) -> list[str]:
    """The layers whose residual differs, the first of them first."""
    keys = [key for key in reference if key.endswith("post_ffn_residual")]
    return [key.rpartition(".")[0] for key in keys if not same(reference[key], other[key])]


def last_experts(reference: Trace, other: Trace, last: int) -> list[str]:
    """Positions whose set of experts in the last layer differs."""
    a, b = (np.sort(trace[f"layers.{last}.moe_router.ids"], axis=1) for trace in (reference, other))
    return [f"position {i}: experts {a[i]} against {b[i]}" for i in np.flatnonzero((a != b).any(axis=1))]


def argmax(reference: Sequence[Any], other: Sequence[Any]) -> list[str]:
    """Prompts whose most likely token differs."""
    pairs = [(int(a.argmax()), int(b.argmax())) for a, b in zip(reference, other, strict=True)]
    return [f"prompt {i}: token {a} against {b}" for i, (a, b) in enumerate(pairs) if a != b]


# ---- receipts


def throughput(receipt: Mapping[str, Any]) -> list[str]:
    """Decoding with weights of full size."""
    return [
        f"{run}: {figures['decode_tok_s']['median']:.1f} tokens per second"
        for run, figures in receipt["figures"].items()
        if figures.get("weight_bytes", 0) >= FULL_SIZE_BYTES and "decode_tok_s" in figures
        if figures["decode_tok_s"]["median"] < LEAST_TOK_S
    ]


def memory(receipt: Mapping[str, Any]) -> list[str]:
    """The share of the device's memory that was in use."""
    return [
        f"{run}: {max(figures['memory_share']['samples']):.1%} of the memory"
        for run, figures in receipt["figures"].items()
        if "memory_share" in figures and max(figures["memory_share"]["samples"]) > MOST_MEMORY
    ]


def fuzzing(receipt: Mapping[str, Any]) -> list[str]:
    """Fuzzers that found something, or did too little to."""
    findings = []
    for target, least in LEAST_EXECUTIONS.items():
        figures = receipt["figures"].get(target, {})
        if figures.get("findings", 0) != 0:
            findings.append(f"{target}: {figures['findings']} findings")
        if figures.get("executions", least) < least:
            findings.append(f"{target}: {figures['executions']} executions, fewer than {least}")
    return findings


# ---- the order of stages


def order(names: Sequence[str], trace: Trace, config: Mapping[str, Any]) -> list[str]:
    """Stages of a layer that cannot be made of those listed before them."""
    needs: dict[str, set[str]] = {
        "attn_norm": {"embed"},
        "q": {"attn_norm"}, "k": {"attn_norm"}, "v": {"attn_norm"},
        "q_rope": {"q"}, "k_rope": {"k"}, "attn_out": {"q_rope", "k_rope", "v"},
        "post_attn_residual": {"attn_out"}, "ffn_norm": {"post_attn_residual"}, "moe_router.logits": {"ffn_norm"},
        "moe_router.probabilities": {"moe_router.logits"}, "moe_router.ids": {"moe_router.probabilities"},
        "moe_router.weights": {"moe_router.ids"}, "expert.gate": {"ffn_norm", "moe_router.ids"},
        "expert.up": {"ffn_norm", "moe_router.ids"}, "expert.swiglu": {"expert.gate", "expert.up"},
        "expert.out": {"expert.swiglu"}, "moe_ffn_out": {"expert.out", "moe_router.weights"},
        "post_ffn_residual": {"post_attn_residual", "moe_ffn_out"}, "final_norm": {"post_ffn_residual"},
        "logits": {"final_norm"},
    }  # fmt: skip
    findings = [f"{name} is no stage that is known" for name in names if name not in {"embed", *needs}]
    for i, name in enumerate(names):
        late = needs.get(name, set()) - set(names[:i])
        findings += [f"{name} comes before {other}" for other in sorted(late)]
    keys = [f"layers.{layer}.{name}" for layer in range(config["layers"]) for name in names if name not in OUTSIDE]
    if list(trace) != ["embed", *keys, "final_norm", "logits"]:
        findings.append("a trace's keys are in another order")
    return findings


def plan(lines: Sequence[str]) -> list[str]:
    """Steps of a production plan that only a traced one has."""
    return [line for line in lines if "capture" in line]

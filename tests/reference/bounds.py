"""How far each stage may be from float64, given what it was made of.

Activations that meet quantised weights, and all that attention reads, are integers of 16 bits with a scale for each
block: an element is off by half a step, and a product by what the other operand makes of that. The rest is float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.reference.forward import Array, Reference, rms_norm, softmax

U = 2.0**-20  # a few roundings of float32
MOST = 32512  # the largest integer of a block
HALF = 0.505  # of a step: rounding, and that of the scale and its inverse
FLOOR = 2.0**-60  # blocks of less are zero
SMALLEST_EXP = 1e-26  # e^x is zero below -64


def stage_bounds(reference: Reference, trace: dict[str, Array]) -> dict[str, Array]:
    """The bounds, elementwise, of the stages that follow from others in a trace."""
    bounds = {}
    residual = trace["embed"]
    for layer in range(reference.config["layers"]):
        stages = {name.removeprefix(f"layers.{layer}."): trace[name] for name in trace if f"layers.{layer}." in name}
        for name, bound in _layer_bounds(reference, layer, residual, stages).items():
            bounds[f"layers.{layer}.{name}"] = bound
        residual = stages["post_ffn_residual"]
    bounds["final_norm"] = _relative(rms_norm(residual, reference.tensors["output_norm.weight"], _eps(reference)))
    head = "output.weight" if "output.weight" in reference.tensors else "token_embd.weight"
    bounds["logits"] = _product(reference, trace["final_norm"], head)
    return bounds


def _layer_bounds(reference: Reference, layer: int, residual: Array, s: dict[str, Array]) -> dict[str, Array]:
    def product(x: Array, name: str, ids: Array | None = None) -> Array:
        return _product(reference, x, f"blk.{layer}.{name}.weight", ids)

    def norm(x: Array, name: str) -> Array:
        return rms_norm(x, reference.tensors[f"blk.{layer}.{name}.weight"], _eps(reference))

    n, kv_heads = len(residual), reference.config["kv_heads"]
    ids, used = s["moe_router.ids"], reference.config["used"]
    h, slots = s["ffn_norm"], np.repeat(s["ffn_norm"][:, None], used, axis=1)
    gate, up = s["expert.gate"], s["expert.up"]
    logits = s["moe_router.logits"]
    probabilities = softmax(logits)
    chosen = np.take_along_axis(s["moe_router.probabilities"], ids, axis=1)
    return {
        "attn_norm": _relative(norm(residual, "attn_norm")),
        **{name: product(s["attn_norm"], f"attn_{name}") for name in "qkv"},
        "q_rope": _rotated(norm(s["q"].reshape(n, reference.config["heads"], -1), "attn_q_norm")),
        "k_rope": _rotated(norm(s["k"].reshape(n, kv_heads, -1), "attn_k_norm")),
        "attn_out": _attention(
            s["q_rope"].reshape(n, reference.config["heads"], -1),
            s["k_rope"].reshape(n, kv_heads, -1),
            s["v"].reshape(n, kv_heads, -1),
        ),
        "post_attn_residual": product(s["attn_out"], "attn_output") + _relative(residual, s["post_attn_residual"]),
        "ffn_norm": _relative(norm(s["post_attn_residual"], "ffn_norm")),
        "moe_router.logits": product(h, "ffn_gate_inp"),
        "moe_router.probabilities": probabilities * (U + U * (logits.max(axis=1, keepdims=True) - logits))
        + SMALLEST_EXP,
        "moe_router.ids": np.zeros(ids.shape),
        "moe_router.weights": _relative(chosen / chosen.sum(axis=1, keepdims=True)),
        "expert.gate": product(slots, "ffn_gate_exps", ids),
        "expert.up": product(slots, "ffn_up_exps", ids),
        "expert.swiglu": _relative(gate / (1 + np.exp(-gate)) * up) + SMALLEST_EXP * np.abs(gate * up),
        "expert.out": product(s["expert.swiglu"], "ffn_down_exps", ids),
        "moe_ffn_out": _relative(np.einsum("nu,nuw->nw", s["moe_router.weights"], np.abs(s["expert.out"]))),
        "post_ffn_residual": _relative(s["post_attn_residual"], s["moe_ffn_out"]),
    }


def _eps(reference: Reference) -> float:
    eps: float = reference.config["eps"]
    return eps


def _relative(*terms: Array) -> Array:
    bound: Array = U * sum(np.abs(term) for term in terms)
    return bound


def _half_steps(x: Array, block: int) -> Array:
    """By how much an integer and its scale may miss an element, [..., n], of blocks along the last axis."""
    width = x.shape[-1]
    steps = np.empty(x.shape)
    for first in range(0, width, block):
        here = slice(first, min(first + block, width))
        steps[..., here] = np.abs(x[..., here]).max(axis=-1, keepdims=True) * (HALF / MOST) + FLOOR
    return steps


def _product(reference: Reference, x: Array, name: str, ids: Array | None = None) -> Array:
    """Of x [..., in] times a matrix [out, in]; with ids, of rows times the matrices that these choose."""
    off = U * np.abs(x) + (_half_steps(x, 256) if name in reference.quantised else 0)
    weights = np.abs(reference.tensors[name])
    if ids is None:
        bound: Array = off @ weights.T
        return bound
    bound = np.empty((*ids.shape, weights.shape[1]))
    for expert in np.unique(ids):
        bound[ids == expert] = off[ids == expert] @ weights[expert].T
    return bound


def _rotated(heads: Array) -> Array:
    """Of pairs [n, heads, head_dim] rotated by exact angles."""
    a, b = np.split(np.abs(heads), 2, axis=-1)
    return U * np.concatenate([a + b, a + b], axis=-1).reshape(len(heads), -1)


def _attention(q: Array, k: Array, v: Array) -> Array:
    n, heads, dim = q.shape
    k, v = (np.repeat(x, heads // x.shape[1], axis=1) for x in (k, v))
    q_off, k_off, v_off = (_half_steps(x, dim) for x in (q, k, v))

    def products(a: Any, b: Any) -> Array:
        sums: Array = np.einsum("ihd,jhd->hij", a, b) / np.sqrt(dim)
        return sums

    causal = np.tril(np.ones((n, n), bool))
    p = softmax(np.where(causal, products(q, k), -np.inf))
    score_off = products(q_off, np.abs(k)) + products(np.abs(q), k_off) + products(q_off, k_off)
    score_off += 4 * U * products(np.abs(q), np.abs(k))
    growth = np.expm1(2 * np.where(causal, score_off, 0).max(axis=-1)) + U  # of any weight, as a share: [heads, n]
    # A weight times the scale of its value is one of 256 such integers; their largest makes the step.
    scale = np.maximum(np.abs(v).max(axis=-1), FLOOR) / MOST  # [keys, heads]
    step = (p * scale.T[:, None]).max(axis=-1) * (HALF / MOST)  # [heads, n]
    size = np.abs(v)
    bound = np.einsum("hi,hij,jhd->ihd", growth, p, size) + np.einsum("hij,jhd->ihd", p, v_off * (1 + U))
    bound += np.einsum("hi,hij,jhd->ihd", step, causal[None].repeat(heads, 0), size / scale[..., None])
    return (bound + SMALLEST_EXP * size.sum(axis=0)).reshape(n, -1)

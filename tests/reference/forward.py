"""Qwen3-MoE in plain NumPy float64, straight from the equations: what every back end is judged against.

Reads a GGUF file with the `gguf` package alone, so that nothing of the code under test takes part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass
class Reference:
    """A model's config and its weights as float64, dequantised."""

    config: dict[str, Any]
    tensors: dict[str, Array]
    quantised: frozenset[str]  # those that activations meet as integers

    @staticmethod
    def load(path: str) -> Reference:
        reader = gguf.GGUFReader(path)

        def field(name: str, absent: Any = None) -> Any:
            found = reader.fields.get(f"qwen3moe.{name}")
            return absent if found is None else found.contents()

        tensors = {
            t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64).reshape(t.shape[::-1])
            for t in reader.tensors
        }
        heads = field("attention.head_count")
        config = {
            "layers": field("block_count"),
            "heads": heads,
            "kv_heads": field("attention.head_count_kv", heads),
            "head_dim": field("attention.key_length"),
            "used": field("expert_used_count"),
            "eps": float(np.float32(field("attention.layer_norm_rms_epsilon"))),
            "rope_base": float(field("rope.freq_base")),
        }
        quantised = frozenset(t.name for t in reader.tensors if t.tensor_type.name not in ("F32", "F16", "BF16"))
        return Reference(config, tensors, quantised)

    def forward(
        self, tokens: list[int], trace: dict[str, Array] | None = None, given: dict[str, Array] | None = None
    ) -> Array:
        """Logits of all positions, [n, vocab]. `trace` is filled with every stage under the package's names.

        given: what stages were elsewhere. Each then follows from these, and shows its own error alone.
        """
        c, w = self.config, self.tensors

        def see(name: str, value: Array) -> Array:
            if trace is not None:
                trace[name] = value.copy()
            return value if given is None else given[name].reshape(value.shape)

        x = see("embed", w["token_embd.weight"][np.asarray(tokens)])
        for layer in range(c["layers"]):
            x = self._layer(layer, x, see)
        x = see("final_norm", rms_norm(x, w["output_norm.weight"], c["eps"]))
        return see("logits", x @ w.get("output.weight", w["token_embd.weight"]).T)

    def _layer(self, layer: int, x: Array, see_any: Any) -> Array:
        c = self.config

        def w(name: str) -> Array:
            return self.tensors[f"blk.{layer}.{name}.weight"]

        def see(name: str, value: Array) -> Array:
            seen: Array = see_any(f"layers.{layer}.{name}", value)
            return seen

        n = len(x)
        h = see("attn_norm", rms_norm(x, w("attn_norm"), c["eps"]))
        q, k, v = see("q", h @ w("attn_q").T), see("k", h @ w("attn_k").T), see("v", h @ w("attn_v").T)
        q = rope(rms_norm(q.reshape(n, c["heads"], -1), w("attn_q_norm"), c["eps"]), c["rope_base"])
        k = rope(rms_norm(k.reshape(n, c["kv_heads"], -1), w("attn_k_norm"), c["eps"]), c["rope_base"])
        q, k = see("q_rope", q), see("k_rope", k)
        x = x + see("attn_out", attention(q, k, v.reshape(n, c["kv_heads"], -1))) @ w("attn_output").T
        x = see("post_attn_residual", x)
        h = see("ffn_norm", rms_norm(x, w("ffn_norm"), c["eps"]))
        x = x + see("moe_ffn_out", self._experts(h, w, see))
        return see("post_ffn_residual", x)

    def _experts(self, h: Array, w: Any, see: Any) -> Array:
        used = self.config["used"]
        probabilities = softmax(see("moe_router.logits", h @ w("ffn_gate_inp").T))
        see("moe_router.probabilities", probabilities)
        ids = see("moe_router.ids", np.argsort(-probabilities, axis=1, kind="stable")[:, :used])
        weights = np.take_along_axis(probabilities, ids, axis=1)
        weights = see("moe_router.weights", weights / weights.sum(axis=1, keepdims=True))
        slots = np.repeat(h[:, None], used, axis=1)
        gate = see("expert.gate", chosen_products(slots, w("ffn_gate_exps"), ids))
        up = see("expert.up", chosen_products(slots, w("ffn_up_exps"), ids))
        act = see("expert.swiglu", gate / (1 + np.exp(-gate)) * up)
        out = see("expert.out", chosen_products(act, w("ffn_down_exps"), ids))
        return np.einsum("nu,nuw->nw", weights, out)


def chosen_products(x: Array, weights: Array, ids: Array) -> Array:
    """[n, used, in] times the matrices [experts, out, in] that ids [n, used] choose: [n, used, out]."""
    out = np.empty((*ids.shape, weights.shape[1]))
    for expert in np.unique(ids):
        out[ids == expert] = x[ids == expert] @ weights[expert].T
    return out


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps) * weight


def rope(x: Array, base: float) -> Array:
    """Rotate-half over [n, heads, head_dim]; row i stands at position i."""
    half = x.shape[-1] // 2
    angles = np.arange(len(x))[:, None] * base ** (-np.arange(half) / half)
    cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q: Array, k: Array, v: Array) -> Array:
    """Causal, grouped queries: [n, heads, d], [n, kv_heads, d] twice -> [n, heads * d]."""
    n, heads, dim = q.shape
    group = heads // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(dim)
    scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
    return np.einsum("hij,jhd->ihd", softmax(scores), v).reshape(n, -1)

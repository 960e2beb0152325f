"""config.json of a HuggingFace Qwen3-MoE: what it must say, and what GGUF calls it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen3moe._core import GGUFWriter
from qwen3moe.checkpoint.safetensors import read_json, refuse


@dataclass(frozen=True)
class Config:
    layers: int
    context: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    experts: int
    experts_used: int
    ff: int
    dense_ff: int
    vocab: int
    eps: float
    rope: float
    renormalise: bool
    tied: bool

    def write(self, writer: GGUFWriter) -> None:
        for key, value in {
            "block_count": self.layers,
            "context_length": self.context,
            "embedding_length": self.hidden,
            "feed_forward_length": self.dense_ff,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads,
            "attention.key_length": self.head_dim,
            "attention.value_length": self.head_dim,
            "expert_count": self.experts,
            "expert_used_count": self.experts_used,
            "expert_feed_forward_length": self.ff,
            "vocab_size": self.vocab,
        }.items():
            writer.add_u32(f"qwen3moe.{key}", value)
        writer.add_f32("qwen3moe.attention.layer_norm_rms_epsilon", self.eps)
        writer.add_f32("qwen3moe.rope.freq_base", self.rope)
        writer.add_bool("qwen3moe.expert_weights_norm", self.renormalise)


def read_config(path: Path) -> Config:
    """Refuses what would compute something that Qwen3-MoE's GGUF cannot say."""
    document = read_json(path)

    def must_be(key: str, *expected: Any) -> None:
        value = document.get(key, expected[0])
        if value not in expected:
            refuse(path, key, repr(value)[:80], " or ".join(map(repr, expected)))

    def count(key: str, absent: int | None = None) -> int:
        value = document.get(key)
        value = absent if value is None else value
        if type(value) is not int or not 0 < value < 2**31:
            refuse(path, key, repr(value)[:80], "an integer above 0")
        return value

    def number(source: dict[str, Any], key: str) -> float:
        value = source.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            refuse(path, key, repr(value)[:80], "a number above 0")
        return float(value)

    must_be("model_type", "qwen3_moe")
    must_be("hidden_act", "silu")
    must_be("attention_bias", False)
    must_be("use_sliding_window", False)
    must_be("decoder_sparse_step", 1)
    must_be("mlp_only_layers", [], None)
    must_be("norm_topk_prob", True, False)
    must_be("tie_word_embeddings", False, True)
    rope = document.get("rope_parameters") or document.get("rope_scaling") or {}
    if not isinstance(rope, dict) or rope.get("rope_type", rope.get("type", "default")) != "default":
        refuse(path, "rope_parameters", repr(rope)[:80], "plain positions: rope_type 'default'")
    hidden, heads = count("hidden_size"), count("num_attention_heads")
    ff, used = count("moe_intermediate_size"), count("num_experts_per_tok")
    return Config(
        layers=count("num_hidden_layers"),
        context=count("max_position_embeddings"),
        hidden=hidden,
        heads=heads,
        kv_heads=count("num_key_value_heads", heads),
        head_dim=count("head_dim", max(1, hidden // heads)),
        experts=count("num_experts" if "num_experts" in document else "num_local_experts"),
        experts_used=used,
        ff=ff,
        dense_ff=count("intermediate_size", ff * used),
        vocab=count("vocab_size"),
        eps=number(document, "rms_norm_eps"),
        rope=number(rope if "rope_theta" in rope else document, "rope_theta"),
        renormalise=document.get("norm_topk_prob", False),
        tied=document.get("tie_word_embeddings", False),
    )

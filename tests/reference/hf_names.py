"""How a file's tensors and config are called by HuggingFace's Qwen3-MoE."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from transformers import Qwen3MoeConfig

T = TypeVar("T")

LAYER = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate_inp": "mlp.gate",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def parameters(
    weight: Callable[[str], T], stack: Callable[[T, T], T], layers: int, head: str
) -> Iterator[tuple[str, T]]:
    """Every parameter with its value; `stack` joins gate and up of the experts, [experts, rows, columns] each."""
    yield "model.embed_tokens.weight", weight("token_embd.weight")
    yield "model.norm.weight", weight("output_norm.weight")
    yield "lm_head.weight", weight(head)
    for i in range(layers):
        for ours, theirs in LAYER.items():
            yield f"model.layers.{i}.{theirs}.weight", weight(f"blk.{i}.{ours}.weight")
        gate, up = (weight(f"blk.{i}.ffn_{part}_exps.weight") for part in ("gate", "up"))
        yield f"model.layers.{i}.mlp.experts.gate_up_proj", stack(gate, up)
        yield f"model.layers.{i}.mlp.experts.down_proj", weight(f"blk.{i}.ffn_down_exps.weight")


def config(sizes: Mapping[str, int | float]) -> Qwen3MoeConfig:
    """sizes: vocab, width, layers, heads, kv_heads, head_dim, ff, experts, used, eps, rope_base."""
    return Qwen3MoeConfig(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        head_dim=sizes["head_dim"],
        moe_intermediate_size=sizes["ff"],
        num_experts=sizes["experts"],
        num_experts_per_tok=sizes["used"],
        norm_topk_prob=True,
        rms_norm_eps=sizes["eps"],
        max_position_embeddings=4096,
        rope_parameters={"rope_theta": sizes["rope_base"], "rope_type": "default"},
        attn_implementation="eager",
    )

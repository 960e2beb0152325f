"""HuggingFace's Qwen3-MoE with the weights of a GGUF file: the reference that users compare with."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from tests.reference.forward import Reference


def load(path: str, dtype: torch.dtype = torch.float32) -> Qwen3MoeForCausalLM:
    """Builds the model from the file's config and fills it with its dequantised tensors."""
    source = Reference.load(path)
    c, w = source.config, source.tensors
    vocab, width = w["token_embd.weight"].shape
    experts, ff, _ = w["blk.0.ffn_gate_exps.weight"].shape
    config = Qwen3MoeConfig(
        vocab_size=vocab,
        hidden_size=width,
        num_hidden_layers=c["layers"],
        num_attention_heads=c["heads"],
        num_key_value_heads=c["kv_heads"],
        head_dim=c["head_dim"],
        moe_intermediate_size=ff,
        num_experts=experts,
        num_experts_per_tok=c["used"],
        norm_topk_prob=True,
        rms_norm_eps=c["eps"],
        max_position_embeddings=4096,
        rope_parameters={"rope_theta": c["rope_base"], "rope_type": "default"},
        attn_implementation="eager",
    )
    model = Qwen3MoeForCausalLM(config).to(torch.float32)
    state = dict(_names(w, c["layers"]))
    model.load_state_dict({name: torch.from_numpy(value).float() for name, value in state.items()}, strict=True)
    return model.to(dtype).eval()


def _names(w: dict[str, Any], layers: int) -> Any:
    yield "model.embed_tokens.weight", w["token_embd.weight"]
    yield "model.norm.weight", w["output_norm.weight"]
    yield "lm_head.weight", w.get("output.weight", w["token_embd.weight"])
    plain = {
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
    for i in range(layers):
        for ours, theirs in plain.items():
            yield f"model.layers.{i}.{theirs}.weight", w[f"blk.{i}.{ours}.weight"]
        gate, up = w[f"blk.{i}.ffn_gate_exps.weight"], w[f"blk.{i}.ffn_up_exps.weight"]
        yield f"model.layers.{i}.mlp.experts.gate_up_proj", _stack(gate, up)
        yield f"model.layers.{i}.mlp.experts.down_proj", w[f"blk.{i}.ffn_down_exps.weight"]


def _stack(gate: Any, up: Any) -> Any:
    import numpy as np

    return np.concatenate([gate, up], axis=1)


@torch.no_grad()
def logits(model: Qwen3MoeForCausalLM, tokens: list[int]) -> tuple[Any, list[Any]]:
    """Logits of all positions [n, vocab] and each layer's router logits [n, experts], as float64 arrays."""
    out = model(torch.tensor([tokens]), output_router_logits=True, use_cache=False)
    routers = [r.double().numpy().reshape(len(tokens), -1) for r in out.router_logits]
    return out.logits[0].double().numpy(), routers

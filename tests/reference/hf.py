"""HuggingFace's Qwen3-MoE with the weights of a GGUF file: the reference that users compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import Qwen3MoeForCausalLM

from tests.reference import hf_names
from tests.reference.forward import Reference


def load(path: str, dtype: torch.dtype = torch.float32) -> Qwen3MoeForCausalLM:
    """Builds the model from the file's config and fills it with its dequantised tensors."""
    source = Reference.load(path)
    w = source.tensors
    vocab, width = w["token_embd.weight"].shape
    experts, ff, _ = w["blk.0.ffn_gate_exps.weight"].shape
    sizes = {**source.config, "vocab": vocab, "width": width, "experts": experts, "ff": ff}
    model = Qwen3MoeForCausalLM(hf_names.config(sizes)).to(torch.float32)
    head = "output.weight" if "output.weight" in w else "token_embd.weight"
    state = hf_names.parameters(
        w.__getitem__, lambda gate, up: np.concatenate([gate, up], axis=1), sizes["layers"], head
    )
    model.load_state_dict({name: torch.from_numpy(value).float() for name, value in state}, strict=True)
    return model.to(dtype).eval()


@torch.no_grad()
def logits(model: Qwen3MoeForCausalLM, tokens: list[int]) -> tuple[Any, list[Any]]:
    """Logits of all positions [n, vocab] and each layer's router logits [n, experts], as float64 arrays."""
    out = model(torch.tensor([tokens]), output_router_logits=True, use_cache=False)
    routers = [r.double().numpy().reshape(len(tokens), -1) for r in out.router_logits]
    return out.logits[0].double().numpy(), routers

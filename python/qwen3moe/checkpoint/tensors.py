"""The tensors of a GGUF file, each made of rows of a checkpoint's: names change, experts are stacked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qwen3moe.checkpoint.config import Config
from qwen3moe.checkpoint.safetensors import Tensor, refuse

IN_LAYERS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k": "self_attn.k_proj",
    "attn_k_norm": "self_attn.k_norm",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate_inp": "mlp.gate",
}


@dataclass(frozen=True)
class Part:
    """Some rows of a checkpoint's tensor, which is seen as a matrix."""

    tensor: Tensor
    first: int
    rows: int


@dataclass(frozen=True)
class Stacked:
    """A tensor to write. `shape` is fastest first, as GGUF has it; the parts are its rows in order."""

    name: str
    shape: tuple[int, ...]
    parts: tuple[Part, ...]


class Stacking:
    """Takes every tensor of a checkpoint once; what is missing, of another shape or left over is refused."""

    def __init__(self, folder: Path, tensors: dict[str, Tensor], config: Config) -> None:
        self._folder, self._tensors, self._config = folder, tensors, config
        self._used: set[str] = set()

    def all(self) -> list[Stacked]:
        c = self._config
        queries, keys = c.heads * c.head_dim, c.kv_heads * c.head_dim
        shapes = {
            "attn_norm": (c.hidden,),
            "attn_q": (queries, c.hidden),
            "attn_q_norm": (c.head_dim,),
            "attn_k": (keys, c.hidden),
            "attn_k_norm": (c.head_dim,),
            "attn_v": (keys, c.hidden),
            "attn_output": (c.hidden, queries),
            "ffn_norm": (c.hidden,),
            "ffn_gate_inp": (c.experts, c.hidden),
        }
        found = [self._plain("token_embd", "model.embed_tokens", (c.vocab, c.hidden))]
        for layer in range(c.layers):
            for ours, theirs in IN_LAYERS.items():
                found.append(self._plain(f"blk.{layer}.{ours}", f"model.layers.{layer}.{theirs}", shapes[ours]))
            found += self._experts(layer)
        found.append(self._plain("output_norm", "model.norm", (c.hidden,)))
        if not c.tied:
            found.append(self._plain("output", "lm_head", (c.vocab, c.hidden)))
        else:  # the same matrix again, where it is there at all
            self._used.add("lm_head.weight")
        left = sorted(set(self._tensors) - self._used)
        if left:
            refuse(self._folder, f"tensor {left[0][:100]!r}", "a tensor", "only the tensors of Qwen3-MoE")
        return found

    def _take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = self._tensors.get(name)
        if tensor is None:
            refuse(self._folder, f"tensor {name!r}", "nothing", f"a tensor of shape {list(shape)}")
        if tensor.shape != shape:
            refuse(self._folder, f"tensor {name!r}", f"shape {list(tensor.shape)}", f"{list(shape)}")
        self._used.add(name)
        return tensor

    def _plain(self, ours: str, theirs: str, shape: tuple[int, ...]) -> Stacked:
        rows = 1 if len(shape) == 1 else shape[0]
        return Stacked(f"{ours}.weight", shape[::-1], (Part(self._take(f"{theirs}.weight", shape), 0, rows),))

    def _experts(self, layer: int) -> list[Stacked]:
        """A module per expert, or all experts in one tensor with gate above up."""
        c = self._config
        prefix, at = f"model.layers.{layer}.mlp.experts.", f"blk.{layer}."
        fused = f"{prefix}gate_up_proj" in self._tensors
        if fused:
            both = self._take(f"{prefix}gate_up_proj", (c.experts, 2 * c.ff, c.hidden))
            whole = self._take(f"{prefix}down_proj", (c.experts, c.hidden, c.ff))

        def stack(name: str, width: int, rows: int) -> Stacked:
            def part(expert: int) -> Part:
                if not fused:
                    return Part(self._take(f"{prefix}{expert}.{name}_proj.weight", (rows, width)), 0, rows)
                if name == "down":
                    return Part(whole, expert * rows, rows)
                return Part(both, (2 * expert + (name == "up")) * rows, rows)

            parts = tuple(part(expert) for expert in range(c.experts))
            return Stacked(f"{at}ffn_{name}_exps.weight", (width, rows, c.experts), parts)

        return [stack("gate", c.hidden, c.ff), stack("up", c.hidden, c.ff), stack("down", c.ff, c.hidden)]

"""Files that differ from a sound one by a planted fault."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qwen3moe import _core
from tests.gguf import build
from tests.gguf.build import BOOL, F32, STRING, U32, entry


def copy(path: str | Path, folder: Path) -> Path:
    return Path(shutil.copy(path, folder / "altered.gguf"))


def tensor(path: str | Path, name: str) -> dict[str, Any]:
    return next(t for t in _core.GGUFFile(str(path)).tensors if t["name"] == name)


def rows(path: Path, name: str) -> np.ndarray[Any, Any]:
    """A tensor's bytes as [rows, bytes], open for writing."""
    found = tensor(path, name)
    count = int(np.prod(found["shape"][1:], dtype=np.int64))
    shape = (count, found["bytes"] // count)
    return np.memmap(path, np.uint8, "r+", found["offset"], shape)


def swap(path: Path, name: str, a: slice | int, b: slice | int) -> None:
    """Exchanges rows of a tensor."""
    data = rows(path, name)
    kept = data[a].copy()
    data[a] = data[b]
    data[b] = kept
    data.flush()


def swap_experts(path: Path, name: str, a: int, b: int) -> None:
    per_expert = tensor(path, name)["shape"][1]
    swap(path, name, slice(a * per_expert, (a + 1) * per_expert), slice(b * per_expert, (b + 1) * per_expert))


def set_key(path: Path, key: str, kind: str, value: float) -> None:
    """Overwrites a number in the metadata where it stands."""
    data = path.read_bytes()
    at = data.index(key.encode()) + len(key) + 4  # behind the key stands the value's type
    path.write_bytes(data[:at] + struct.pack(f"<{kind}", value) + data[at + struct.calcsize(kind) :])


def add_flag(path: Path, key: str, value: bool) -> None:
    """Puts a bool before all other metadata, with a second entry that keeps the data's alignment."""
    data = path.read_bytes()
    added = entry(key, BOOL, value)
    filler = entry("filler", STRING, "")
    added += entry("filler", STRING, "x" * (-len(added + filler) % 32))
    (entries,) = struct.unpack_from("<Q", data, 16)
    path.write_bytes(data[:16] + build.u64(entries + 2) + added + data[24:])


def sparse_model(path: Path, layers: int, experts: int, width: int, ff: int) -> int:
    """A sound float32 model of any size that takes no room on disk; returns the bytes of its tensors."""
    heads, head_dim, vocab = 64, 128, 1024
    keys: dict[str, tuple[int, Any]] = {
        "general.architecture": (STRING, "qwen3moe"),
        "qwen3moe.block_count": (U32, layers),
        "qwen3moe.context_length": (U32, 4096),
        "qwen3moe.embedding_length": (U32, width),
        "qwen3moe.attention.head_count": (U32, heads),
        "qwen3moe.attention.head_count_kv": (U32, 4),
        "qwen3moe.attention.key_length": (U32, head_dim),
        "qwen3moe.attention.layer_norm_rms_epsilon": (F32, 1e-6),
        "qwen3moe.rope.freq_base": (F32, 1e6),
        "qwen3moe.expert_count": (U32, experts),
        "qwen3moe.expert_used_count": (U32, 8),
        "qwen3moe.expert_feed_forward_length": (U32, ff),
    }
    wanted: list[tuple[str, Sequence[int]]] = [("token_embd", (width, vocab)), ("output_norm", (width,))]
    for i in range(layers):
        wanted += [
            (f"blk.{i}.{name}", shape)
            for name, shape in {
                "attn_norm": (width,),
                "attn_q": (width, heads * head_dim),
                "attn_k": (width, 4 * head_dim),
                "attn_v": (width, 4 * head_dim),
                "attn_q_norm": (head_dim,),
                "attn_k_norm": (head_dim,),
                "attn_output": (heads * head_dim, width),
                "ffn_norm": (width,),
                "ffn_gate_inp": (width, experts),
                "ffn_gate_exps": (width, ff, experts),
                "ffn_up_exps": (width, ff, experts),
                "ffn_down_exps": (ff, width, experts),
            }.items()
        ]
    descriptions, offset = [], 0
    for name, shape in wanted:
        descriptions.append(build.Tensor(f"{name}.weight", tuple(shape)).description(offset))
        offset += -(-4 * int(np.prod(shape, dtype=np.int64)) // 32) * 32
    head = build.pad(build.gguf([entry(key, *value) for key, value in keys.items()], descriptions), 32)
    path.write_bytes(head)
    with path.open("r+b") as file:
        file.truncate(len(head) + offset)
    return offset

"""Writes first inputs for a fuzzer into a folder: `python -m tests.fuzz.seeds {reader,forward} FOLDER`."""

import sys
from pathlib import Path

import numpy as np

from tests.arithmetic import formats
from tests.gguf.build import ARRAY, BOOL, F32, I16, STRING, TENSOR_TYPES, U8, U32, Tensor, entry, gguf
from tests.gguf.hostile import CASES

LARGEST = {"reader": 1024, "forward": 98304}


def sound():
    entries = [
        entry("general.alignment", U32, 8),
        entry("string", STRING, "é"),
        entry("strings", ARRAY, (STRING, ["x", "ü"])),
        entry("bools", ARRAY, (BOOL, [1, 0])),
        entry("numbers", ARRAY, (U32, [1, 2])),
        entry("float", F32, 1.0),
        entry("negative", I16, -1),
        entry("byte", U8, 1),
    ]
    yield "metadata", gguf(entries)
    for kind, (_, block, _) in TENSOR_TYPES.items():
        yield kind, gguf(entries[:1], [Tensor("a", (block, 2), kind), Tensor("b", (3, 1, 2))], alignment=8)


def model(kind, experts=1, used=1, tied=False):
    """The smallest model with matrices of a type, Q4_0 where it does not fit; its weights are like real ones."""
    width, ff, vocab, dim, heads = max(TENSOR_TYPES[kind][1], 32), 32, 5, 64, 1
    rng = np.random.default_rng(1)
    keys = {
        "general.architecture": (STRING, "qwen3moe"),
        "qwen3moe.block_count": (U32, 1),
        "qwen3moe.context_length": (U32, 8),
        "qwen3moe.embedding_length": (U32, width),
        "qwen3moe.attention.head_count": (U32, heads),
        "qwen3moe.attention.head_count_kv": (U32, 1),
        "qwen3moe.attention.key_length": (U32, dim),
        "qwen3moe.attention.layer_norm_rms_epsilon": (F32, 1e-6),
        "qwen3moe.rope.freq_base": (F32, 1e6),
        "qwen3moe.expert_count": (U32, experts),
        "qwen3moe.expert_used_count": (U32, used),
        "qwen3moe.expert_feed_forward_length": (U32, ff),
        "qwen3moe.expert_weights_norm": (BOOL, True),
    }
    matrices = {
        "token_embd": (width, vocab),
        "blk.0.attn_q": (width, heads * dim),
        "blk.0.attn_k": (width, dim),
        "blk.0.attn_v": (width, dim),
        "blk.0.attn_output": (heads * dim, width),
        "blk.0.ffn_gate_exps": (width, ff, experts),
        "blk.0.ffn_up_exps": (width, ff, experts),
        "blk.0.ffn_down_exps": (ff, width, experts),
        **({} if tied else {"output": (width, vocab)}),
    }
    vectors = {"output_norm": width, "blk.0.attn_norm": width, "blk.0.ffn_norm": width}
    vectors |= {"blk.0.attn_q_norm": dim, "blk.0.attn_k_norm": dim}
    tensors = [Tensor(f"{n}.weight", (k,), "F32", np.ones(k, np.float32).tobytes()) for n, k in vectors.items()]
    router = rng.standard_normal((experts, width)).astype(np.float32)
    tensors.append(Tensor("blk.0.ffn_gate_inp.weight", (width, experts), "F32", router.tobytes()))
    for name, shape in matrices.items():
        fitting = kind if shape[0] % TENSOR_TYPES[kind][1] == 0 else "Q4_0"
        data = formats.random_rows(fitting, int(np.prod(shape[1:])), shape[0], rng, "real")
        tensors.append(Tensor(f"{name}.weight", shape, fitting, data.tobytes()))
    return gguf([entry(key, *value) for key, value in keys.items()], tensors)


def models():
    for kind in TENSOR_TYPES:
        yield kind, model(kind)
    yield "tied", model("Q8_0", tied=True)
    yield "every_expert", model("Q4_0", experts=3, used=3)
    yield "one_of_three", model("Q5_1", experts=3)


def seeds(target):
    """By name: sound files, and those malformed ones that are small."""
    hostile = ((case.name, case.data) for case in CASES if isinstance(case.data, bytes))
    chosen = [*(models() if target == "forward" else sound()), *(hostile if target == "reader" else [])]
    return {name: data for name, data in chosen if len(data) <= LARGEST[target]}


def write(target, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds(target).items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))

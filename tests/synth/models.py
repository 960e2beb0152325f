"""Small models that these tests share."""

import hashlib
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

TINY = dict(layers=2, hidden=256, heads=4, kv_heads=2, head_dim=64, experts=4, experts_used=2, ff=256, vocab=320)

PLAIN = [
    "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_XS",
]  # fmt: skip


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def values(tensor) -> np.ndarray:
    """As float32, rows first."""
    return dequantize(tensor.data, tensor.tensor_type).reshape(tuple(tensor.shape[::-1]))


def tensors(path: str | Path) -> dict:
    return {tensor.name: tensor for tensor in GGUFReader(path).tensors}


def metadata(path: str | Path) -> dict:
    return {key: field.contents() for key, field in GGUFReader(path).fields.items()}

"""Small models that these tests share."""

import hashlib
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def values(tensor) -> np.ndarray:
    """As float32, rows first."""
    return dequantize(tensor.data, tensor.tensor_type).reshape(tuple(tensor.shape[::-1]))


def tensors(path: str | Path) -> dict:
    return {tensor.name: tensor for tensor in GGUFReader(path).tensors}


def metadata(path: str | Path) -> dict:
    return {key: field.contents() for key, field in GGUFReader(path).fields.items()}

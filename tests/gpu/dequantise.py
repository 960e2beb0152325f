"""Weights of a GGUF file as tensors of a GPU, for a reference that runs there: the types of Q4_K_M files."""

from __future__ import annotations

import torch


def _halves(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous().view(torch.float16).float()


def _f32(b: torch.Tensor) -> torch.Tensor:
    return b.contiguous().view(torch.float32)


def _q4_k(b: torch.Tensor) -> torch.Tensor:
    d, dmin = _halves(b[:, 0:2]), _halves(b[:, 2:4])
    low, high, both = b[:, 4:8], b[:, 8:12], b[:, 12:16]
    scales = torch.cat([low & 63, (both & 15) | ((low >> 6) << 4)], 1).float()
    minima = torch.cat([high & 63, (both >> 4) | ((high >> 6) << 4)], 1).float()
    q = b[:, 16:144].reshape(-1, 4, 1, 32)
    q = torch.cat([q & 15, q >> 4], 2).reshape(-1, 8, 32).float()
    return (d * scales)[:, :, None] * q - (dmin * minima)[:, :, None]


def _q6_k(b: torch.Tensor) -> torch.Tensor:
    low, high = b[:, :128].reshape(-1, 2, 2, 32), b[:, 128:192].reshape(-1, 2, 1, 32)
    low = torch.cat([low & 15, low >> 4], 2)  # [blocks, halves, quarters, 32]
    high = torch.cat([(high >> shift) & 3 for shift in (0, 2, 4, 6)], 2)
    q = (low | (high << 4)).reshape(-1, 16, 16).float() - 32
    scales = b[:, 192:208].contiguous().view(torch.int8).float()
    return (_halves(b[:, 208:210]) * scales)[:, :, None] * q


TYPES = {"F32": (4, _f32), "Q4_K": (144, _q4_k), "Q6_K": (210, _q6_k)}


def dequantise(type_name: str, data: torch.Tensor, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    """The values of all blocks in a row, a few millions of blocks at a time."""
    block_bytes, values = TYPES[type_name]
    blocks = data.reshape(-1, block_bytes)
    return torch.cat([values(part).reshape(-1).to(dtype) for part in blocks.split(1 << 20)])

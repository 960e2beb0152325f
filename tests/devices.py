"""Models on which a device must give the CPU's bits: every weight type, and the shapes that take another way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import qwen3moe
from tests.shapes import PLAIN, TINY

WIDE = dict(TINY, hidden=512, experts=8)

CASES: dict[str, dict[str, Any]] = {
    **{name: dict(WIDE, types=name) for name in PLAIN},
    "mixed": dict(WIDE, layers=4, types="Q4_K_M"),
    "head_dim 128": dict(WIDE, head_dim=128, heads=4, kv_heads=1, types="Q4_K_M"),
    "tied": dict(WIDE, tied=1, types="Q6_K"),
    "6 and 3 blocks": dict(WIDE, hidden=1536, ff=768, types="Q4_K_M"),
    "300 experts": dict(WIDE, experts=300, experts_used=9, types="Q4_K"),
    "large vocabulary": dict(TINY, vocab=18000, types="Q4_K"),  # many tiles for each multiprocessor
    "every expert": dict(WIDE, experts=4, experts_used=4, types="Q5_K_M"),
    "odd Q8_0": dict(WIDE, hidden=288, ff=96, types="Q8_0"),
    "odd Q4_0": dict(WIDE, hidden=544, ff=288, types="Q4_0"),
    "odd Q5_1": dict(WIDE, hidden=288, ff=96, types="Q5_1"),
    "odd BF16": dict(WIDE, hidden=288, ff=100, types="BF16"),
    "odd heads": dict(WIDE, heads=3, kv_heads=1, head_dim=64, types="Q4_1"),
}


def make(case: str, folder: Path) -> str:
    """The case's model file; made once in a folder."""
    path = folder / f"{case.replace(' ', '-')}.gguf"
    return str(path) if path.exists() else qwen3moe.synth(path, "small", **CASES[case])


def others() -> list[str]:
    """The devices that are here and not the CPU."""
    return [entry["device"] for entry in qwen3moe.backends() if entry["available"] and entry["device"] != "cpu"]


SOFTWARE = {entry["device"] for entry in qwen3moe.backends() if entry["software"]}


def sized(device: str, full: int, small: int) -> int:
    """How much to do: less where a processor plays the GPU, which takes a hundred times as long."""
    return small if device in SOFTWARE else full


def prompt(length: int, seed: int = 7, vocab: int = 256) -> npt.NDArray[np.int32]:
    return np.random.default_rng(seed).integers(0, vocab, length).astype(np.int32)


def same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """Equal shapes and bits."""
    return a.shape == b.shape and np.array_equal(
        np.ascontiguousarray(a).view(np.uint32), np.ascontiguousarray(b).view(np.uint32)
    )

"""The models that are timed and compared on GPUs."""

from __future__ import annotations

from pathlib import Path

import qwen3moe


def full_shape(folder: Path, layers: int, preset: str = "qwen3-coder-30b-a3b") -> Path:
    """A synthetic model of a preset's shape, made if it is not there yet."""
    path = folder / f"{preset}-{layers}.gguf"
    if not path.exists():
        qwen3moe.synth(path, preset, layers=layers)
    return path

"""Synthetic models: valid GGUF files of any shape and types, with random weights that behave like trained ones."""

from __future__ import annotations

import os
from collections.abc import Mapping

from qwen3moe import _core
from qwen3moe.counts import as_count
from qwen3moe.progress import Progress, reporting


def synth(
    path: str | os.PathLike[str],
    preset: str = "small",
    *,
    seed: int = 0,
    types: str | Mapping[str, str] = "Q4_K_M",
    threads: int | None = None,
    progress: Progress = False,
    **overrides: float,
) -> str:
    """Write a synthetic model and return its path.

    `preset` is a shape, and `overrides` replace its numbers (`layers=4`); `qwen3moe._core.presets()` lists both.
    `types` is a mix (Q4_K_M, Q5_K_M), one type for all matrices, or a dict of exceptions by class of tensors:
    `{"default": "Q4_K_M", "attn_v": "F16"}`. The same seed gives the same file for any number of `threads`.
    `progress` is True for a bar, or is called with the bytes done and their total; what it raises cancels the work, and
    nothing is left behind.
    """
    seed = as_count(seed, "seed", 0, 2**64 - 1)
    workers = 0 if threads is None else as_count(threads, "threads", 1)
    mix = types if isinstance(types, str) else dict(types)
    with reporting(progress, "synth", "B") as report:
        _core.synth(path, preset, overrides, mix, seed, workers, report)
    return os.fspath(path)

"""Synthetic models: valid GGUF files of any shape and types, with random weights that behave like trained ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from tqdm import tqdm

from . import _core


def synth(
    path: str | os.PathLike[str],
    preset: str = "small",
    *,
    seed: int = 0,
    types: str | Mapping[str, str] = "Q4_K_M",
    threads: int | None = None,
    progress: bool | Callable[[int, int], object] = False,
    **overrides: float,
) -> str:
    """Write a synthetic model and return its path.

    `preset` is a shape, and `overrides` replace its numbers (`layers=4`); `qwen3moe._core.presets()` lists both.
    `types` is a mix (Q4_K_M, Q5_K_M), one type for all matrices, or a dict of exceptions by class of tensors:
    `{"default": "Q4_K_M", "attn_v": "F16"}`. The same seed gives the same file for any number of `threads`.
    `progress` is True for a bar, or is called with the bytes done and their total; what it raises cancels the work, and
    nothing is left behind.
    """
    if not isinstance(types, str):
        types = dict(types)
    if progress is True:
        with tqdm(total=0, unit="B", unit_scale=True, unit_divisor=1024, desc=os.path.basename(path)) as bar:
            _core.synth(path, preset, overrides, types, seed, threads or 0, _shown_by(bar))
    else:
        _core.synth(path, preset, overrides, types, seed, threads or 0, progress or None)
    return os.fspath(path)


def _shown_by(bar: tqdm[None]) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return show

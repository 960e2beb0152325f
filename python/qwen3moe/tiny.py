"""The bundled model: small enough for the package, trained enough to write Python."""

from __future__ import annotations

from pathlib import Path

from qwen3moe.model import Model
from qwen3moe.progress import Progress

TINY_PATH = Path(__file__).parent / "models" / "tiny.gguf"


def tiny(
    device: str = "auto", *, progress: Progress = False, threads: int | None = None, batch: int | None = None
) -> Model:
    """Open the bundled model; `qwen3moe/models/MODEL.md` says what it is. The arguments are those of `from_gguf`."""
    return Model.from_gguf(TINY_PATH, device, progress=progress, threads=threads, batch=batch)

"""Write a GGUF file of a HuggingFace checkpoint, or of another GGUF file, in other types."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from typing import Any

from qwen3moe.cli.common import add_threads, show, show_progress
from qwen3moe.quantize import TYPES, quantize


@dataclass(frozen=True)
class Written:
    """What `quantize` prints."""

    out: str
    type: str
    bytes: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"wrote {self.out}: {self.type}, {self.bytes / 1e9:.3f} GB in {self.seconds:.1f} s"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("source", help="folder of a checkpoint with safetensors, or a GGUF file")
    parser.add_argument("out", help="where to write the GGUF file")
    parser.add_argument("--type", default="Q4_K_M", help=f"{', '.join(TYPES)} (default Q4_K_M)")
    add_threads(parser)


def run(args: Namespace) -> int:
    start = time.perf_counter()
    quantize(args.source, args.out, args.type, threads=args.threads, progress=show_progress())
    size, seconds = os.path.getsize(args.out), time.perf_counter() - start
    show(Written(args.out, args.type, size, seconds), args.json)
    return 0

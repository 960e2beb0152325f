"""Write a synthetic model of a real one's shape, or of any other."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from typing import Any

from qwen3moe.cli.common import add_threads, show, show_progress
from qwen3moe.synth import synth

_SHAPE = ("layers", "width", "heads", "kv_heads", "head_dim", "experts", "experts_used", "ff", "vocab", "context")


@dataclass(frozen=True)
class Written:
    """What `synth` prints."""

    out: str
    bytes: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"wrote {self.out}: {self.bytes / 1e9:.3f} GB in {self.seconds:.1f} s"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("out", help="where to write the GGUF file")
    parser.add_argument("--preset", default="small", help="small (default), qwen3-coder-30b-a3b or qwen3-235b-a22b")
    parser.add_argument("--types", default="Q4_K_M", help="the mix of weight types (default Q4_K_M)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default 0)")
    for name in _SHAPE:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help="in place of the preset's")
    add_threads(parser)


def run(args: Namespace) -> int:
    overrides = {name: value for name in _SHAPE if (value := getattr(args, name)) is not None}
    start = time.perf_counter()
    synth(
        args.out,
        args.preset,
        seed=args.seed,
        types=args.types,
        threads=args.threads,
        progress=show_progress(),
        **overrides,
    )
    show(Written(args.out, os.path.getsize(args.out), time.perf_counter() - start), args.json)
    return 0

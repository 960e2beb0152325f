"""Write a synthetic model of a real one's shape, or of any other."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import asdict, dataclass
from typing import Any

from qwen3moe import _core
from qwen3moe.cli.common import add_threads, show, show_progress
from qwen3moe.synth import synth

_TYPES_HELP = "Q4_K_M (default), Q5_K_M or one type for all matrices; or by class: default=Q4_K_M,attn_v=F16"


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
    presets = _core.presets()
    parser.add_argument("--preset", default="small", help=f"{', '.join(presets)} (default small)")
    parser.add_argument("--types", default="Q4_K_M", metavar="TYPE|CLASS=TYPE,...", help=_TYPES_HELP)
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default 0)")
    add_threads(parser)
    shape = parser.add_argument_group("in place of the preset's")
    for name, value in presets["small"].items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            shape.add_argument(flag, action=BooleanOptionalAction)
        else:
            shape.add_argument(flag, type=type(value), metavar="N")


def run(args: Namespace) -> int:
    names = _core.presets()["small"]
    overrides = {name: value for name in names if (value := getattr(args, name)) is not None}
    start = time.perf_counter()
    synth(
        args.out,
        args.preset,
        seed=args.seed,
        types=_types(args.types),
        threads=args.threads,
        progress=show_progress(),
        **overrides,
    )
    show(Written(args.out, os.path.getsize(args.out), time.perf_counter() - start), args.json)
    return 0


def _types(text: str) -> str | dict[str, str]:
    if "=" not in text:
        return text
    parts = [part.strip().partition("=") for part in text.split(",")]
    return {name: type_name for name, _, type_name in parts}

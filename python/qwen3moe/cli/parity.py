"""The same prompts on every device that is here, in one table; fails when bits differ."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any

from qwen3moe.cli.common import add_threads, show, show_progress
from qwen3moe.parity import Parity, parity
from qwen3moe.tiny import TINY_PATH, tiny

PROMPT = "def fibonacci(n):\n"


@dataclass(frozen=True)
class Shown:
    """What `parity` prints; the bundled model also writes a few lines of Python."""

    parity: Parity
    completion: str | None

    def to_dict(self) -> dict[str, Any]:
        return self.parity.to_dict() | {"completion": self.completion}

    def __str__(self) -> str:
        return str(self.parity) if self.completion is None else f"{self.parity}\n\n{self.completion}"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="GGUF file; by default the bundled model, which also writes Python")
    parser.add_argument("--device", action="append", metavar="NAME", help="take this device; by default all")
    add_threads(parser)


def run(args: Namespace) -> int:
    path = TINY_PATH if args.model is None else args.model
    found = parity(path, args.device, threads=args.threads, progress=show_progress())
    show(Shown(found, _complete(found, args.threads) if args.model is None else None), args.json)
    return 0 if found.equal else 1


def _complete(found: Parity, threads: int | None) -> str:
    with tiny(found.rows[-1].device, threads=threads) as model:
        pieces = model.generate(PROMPT, max_tokens=64, repetition_penalty=1.2, stop="\n\n\n")
        return PROMPT + "".join(pieces).rstrip()

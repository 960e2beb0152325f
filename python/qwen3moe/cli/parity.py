"""The same prompts on every device that is here, in one table; fails when bits differ."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any

from qwen3moe.cli.common import add_threads, show, show_progress
from qwen3moe.generation import Completion
from qwen3moe.parity import Parity, parity
from qwen3moe.tiny import TINY_PATH, tiny

PROMPT = "def fibonacci(n):\n"
# Sampled: so small a model repeats itself where it always takes the likeliest token. One seed in ten ends a function.
OPTIONS: dict[str, Any] = dict(max_tokens=96, temperature=0.7, repetition_penalty=1.1, seed=41, stop="\n\n\n")


@dataclass(frozen=True)
class Written:
    """What the bundled model writes on each device."""

    completions: dict[str, Completion]

    @property
    def text(self) -> str:
        return PROMPT + next(iter(self.completions.values())).text.rstrip()

    @property
    def equal(self) -> bool:
        """Whether tokens and log-probabilities are the same on all."""
        first, *others = self.completions.values()
        return all(other == first for other in others)

    def __str__(self) -> str:
        if len(self.completions) == 1:
            return self.text
        same = f"the same tokens on {' and '.join(self.completions)}"
        return f"{self.text}\n\n{same if self.equal else 'THE TOKENS DIFFER'}"


@dataclass(frozen=True)
class Shown:
    """What `parity` prints; the bundled model also writes a few lines of Python."""

    parity: Parity
    written: Written | None

    @property
    def equal(self) -> bool:
        return self.parity.equal and (self.written is None or self.written.equal)

    def to_dict(self) -> dict[str, object]:
        return {**self.parity.to_dict(), "equal": self.equal, "completion": self.written and self.written.text}

    def __str__(self) -> str:
        return str(self.parity) if self.written is None else f"{self.parity}\n\n{self.written}"


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="GGUF file; by default the bundled model, which also writes Python")
    parser.add_argument("--device", action="append", metavar="NAME", help="take this device; by default all")
    add_threads(parser)


def run(args: Namespace) -> int:
    path = TINY_PATH if args.model is None else args.model
    found = parity(path, args.device, threads=args.threads, progress=show_progress())
    shown = Shown(found, _write(found, args.threads) if args.model is None else None)
    show(shown, args.json)
    return 0 if shown.equal else 1


def _write(found: Parity, threads: int | None) -> Written:
    completions = {}
    for device in dict.fromkeys(row.device for row in found.rows):
        with tiny(device, threads=threads) as model:
            completions[device] = model.generate(PROMPT, **OPTIONS).finish()[0]
    return Written(completions)

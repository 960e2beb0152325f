"""The logits of a prompt: the largest, the hash of all, and a file of them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qwen3moe.cli.common import add_model, add_tokens, open_model, parse_tokens, show
from qwen3moe.counts import as_count
from qwen3moe.files import replacing
from qwen3moe.hashing import sha256_logits
from qwen3moe.model import Model
from qwen3moe.session import Floats
from qwen3moe.tables import table
from qwen3moe.tokens import as_tokens


@dataclass(frozen=True)
class Logits:
    """What `logits` prints. `top` is of the last position, `argmax` of every row."""

    model: str
    device: str
    tokens: int
    positions: str
    sha256: str
    argmax: list[int]
    top: list[tuple[int, float]]
    out: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = [[token, f"{value:.6f}"] for token, value in self.top]
        lines = [table(["token", "logit"], rows), "", f"SHA-256 {self.sha256} ({self.positions}, {self.device})"]
        return "\n".join(lines + ([f"wrote {self.out}"] if self.out else []))


def configure(parser: ArgumentParser) -> None:
    add_model(parser)
    add_tokens(parser)
    parser.add_argument("--positions", choices=("last", "all"), default="last", help="logits of which positions")
    parser.add_argument(
        "--top", type=int, default=10, metavar="K", help="how many of the largest to print (default 10)"
    )
    parser.add_argument("-o", "--out", metavar="FILE.npy", help="write the logits")


def run(args: Namespace) -> int:
    as_count(args.top, "--top", 0)
    tokens = as_tokens(parse_tokens(args.tokens)).tolist()
    with open_model(args) as model:
        logits = _to_file(model, tokens, args) if args.out else model.forward(tokens, args.positions)
        show(_describe(model, tokens, args, logits), args.json)
    return 0


def _to_file(model: Model, tokens: list[int], args: Namespace) -> Floats:
    """Into the mapped file itself, so that memory does not grow with the prompt."""
    rows = () if args.positions == "last" else (len(tokens),)
    with replacing(args.out) as draft:
        mapped = np.lib.format.open_memmap(draft, "w+", np.dtype("<f4"), (*rows, model.config["vocab"]))
        model.forward(tokens, args.positions, out=mapped)
        mapped.flush()
    return mapped


def _describe(model: Model, tokens: list[int], args: Namespace, logits: Floats) -> Logits:
    rows = np.atleast_2d(logits)
    order = np.argsort(-rows[-1], kind="stable")[: args.top]
    return Logits(
        model=model.path,
        device=model.device,
        tokens=len(tokens),
        positions=args.positions,
        sha256=sha256_logits(logits),
        argmax=rows.argmax(axis=-1).tolist(),
        top=[(int(i), float(rows[-1, i])) for i in order],
        out=args.out,
    )

"""Write what the forward pass computes on its way to an .npz file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from typing import Any

from qwen3moe.cli.common import add_model, add_tokens, open_model, parse_ranges, parse_tokens, show
from qwen3moe.hashing import sha256_logits
from qwen3moe.traces import save_trace


@dataclass(frozen=True)
class Written:
    """What `trace` prints."""

    out: str
    device: str
    shapes: dict[str, tuple[int, ...]]
    bytes: int
    logits_sha256: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        line = f"wrote {len(self.shapes)} arrays, {self.bytes / 1e6:.1f} MB, to {self.out}"
        return line if self.logits_sha256 is None else f"{line}\nSHA-256 of the logits {self.logits_sha256}"


def configure(parser: ArgumentParser) -> None:
    add_model(parser)
    add_tokens(parser)
    parser.add_argument("-o", "--out", required=True, metavar="FILE.npz", help="where to write")
    parser.add_argument("--stages", default="*", help='stages: globs or groups, such as "router.*,q" (default all)')
    parser.add_argument("--layers", metavar="0-3,7", help="layers, from the end where negative (default all)")
    parser.add_argument("--positions", metavar="0-3,7", help="positions, from the end where negative (default all)")


def run(args: Namespace) -> int:
    tokens = parse_tokens(args.tokens)
    layers, positions = parse_ranges(args.layers, "--layers"), parse_ranges(args.positions, "--positions")
    with open_model(args) as model:
        trace = model.trace(tokens, args.stages, layers, positions)
        save_trace(args.out, trace, tokens, positions, model=model)
        shapes = {key: array.shape for key, array in trace.items()}
        digest = sha256_logits(trace["logits"]) if "logits" in trace else None
        size = sum(array.nbytes for array in trace.values())
        show(Written(args.out, model.device, shapes, size, digest), args.json)
    return 0

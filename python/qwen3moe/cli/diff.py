"""Compare two traces; name the first stage, layer and element that differ."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from qwen3moe.cli.common import show
from qwen3moe.diff import diff
from qwen3moe.traces import load_trace


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("a", help=".npz file that trace wrote")
    parser.add_argument("b", help="another")


def run(args: Namespace) -> int:
    found = diff(load_trace(args.a), load_trace(args.b))
    show(found, args.json)
    return 0 if found.equal else 1

"""The same prompts on every device that is here, in one table; fails when bits differ."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path

from qwen3moe.cli.common import add_threads, show, show_progress
from qwen3moe.parity import parity
from qwen3moe.synth import synth


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="GGUF file; by default a small synthetic one")
    parser.add_argument("--device", action="append", metavar="NAME", help="take this device; by default all")
    add_threads(parser)


def run(args: Namespace) -> int:
    with ExitStack() as stack:
        path = args.model
        if path is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = synth(Path(folder) / "small.gguf")
        found = parity(path, args.device, threads=args.threads, progress=show_progress())
    show(found, args.json)
    return 0 if found.equal else 1

"""The command line: one module per command."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from qwen3moe import __version__
from qwen3moe.cli import bench, contracts, diff, doctor, info, logits, parity, quantize, run, score, synth, trace
from qwen3moe.cli.common import Command
from qwen3moe.errors import Qwen3MoeError

COMMANDS: tuple[Command, ...] = (
    info, run, score, logits, trace, diff, parity, bench, synth, quantize, contracts, doctor,
)  # fmt: skip

REFUSED, INTERRUPTED, PIPE_CLOSED = 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status: 0, 1 for a negative finding, 2 for an error."""
    args = _parser().parse_args(argv)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader has seen enough; what is still buffered must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except (Qwen3MoeError, OSError, MemoryError) as error:
        print("error:", " ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        return REFUSED


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="qwen3moe", description="Qwen3-MoE logits from GGUF files.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"qwen3moe {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        about = (command.__doc__ or "").splitlines()[0]
        own = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
        command.configure(own)
        own.add_argument("--json", action="store_true", help="print JSON")
        own.set_defaults(run=command.run)
    return parser

"""How fast a model prefills and decodes."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from qwen3moe.bench import bench
from qwen3moe.cli.common import add_model, open_model, parse_counts, show, show_progress
from qwen3moe.rivals import RIVALS


def configure(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("-p", "--prompt", default="512", metavar="N,...", help="tokens of a prefill (default 512)")
    parser.add_argument("-n", "--generate", default="128", metavar="N,...", help="tokens to decode (default 128)")
    parser.add_argument("-d", "--depth", default="0", metavar="N,...", help="tokens in the cache before (default 0)")
    parser.add_argument("-r", "--repetitions", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--vs", choices=tuple(RIVALS), help="time another engine on the same file, in turn")
    parser.add_argument("-o", "--output", choices=("md", "json"), default="md", help="form of the output")


def run(args: Namespace) -> int:
    with open_model(args) as model:
        found = bench(
            model,
            prompt=parse_counts(args.prompt, "--prompt"),
            generated=parse_counts(args.generate, "--generate"),
            depth=parse_counts(args.depth, "--depth"),
            repetitions=args.repetitions,
            rival=args.vs,
            progress=show_progress(),
        )
    show(found, args.json or args.output == "json")
    return 0

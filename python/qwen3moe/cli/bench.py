"""How fast a model prefills and decodes."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from qwen3moe.bench import bench
from qwen3moe.cli.common import add_model, open_model, show, show_progress


def configure(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("-p", "--prompt", type=int, default=512, help="tokens of a prefill (default 512)")
    parser.add_argument("-n", "--generate", type=int, default=128, help="tokens to decode (default 128)")
    parser.add_argument("-d", "--depth", type=int, default=0, help="tokens in the cache before either (default 0)")
    parser.add_argument("-r", "--repetitions", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("-o", "--output", choices=("md", "json"), default="md", help="form of the output")


def run(args: Namespace) -> int:
    with open_model(args) as model:
        found = bench(
            model,
            prompt=args.prompt,
            generated=args.generate,
            depth=args.depth,
            repetitions=args.repetitions,
            progress=show_progress(),
        )
    show(found, args.json or args.output == "json")
    return 0

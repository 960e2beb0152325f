"""Continue a prompt, or chat: text as it comes."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from qwen3moe.cli.common import add_model, open_model, parse_tokens, printable, read_text, show
from qwen3moe.errors import ArgumentError
from qwen3moe.generation import Generation
from qwen3moe.model import Model

_OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "stop")


@dataclass(frozen=True)
class Answer:
    """What continued a prompt, or one message of a chat. tokens_per_second: of all but the first."""

    text: str
    tokens: list[int]
    logprobs: list[float]
    finish: str | None
    first_token_seconds: float
    tokens_per_second: float | None


@dataclass(frozen=True)
class Run:
    """What `run` prints."""

    model: str
    device: str
    answers: list[Answer] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def configure(parser: ArgumentParser) -> None:
    add_model(parser)
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument(
        "-p", "--prompt", metavar="TEXT|@FILE", help="what to continue (@@ is an @); by default standard input"
    )
    prompt.add_argument("--tokens", metavar="1,2,3|@FILE", help="token ids in place of text")
    parser.add_argument("--chat", action="store_true", help="the prompt, or each line of the input, is a message")
    parser.add_argument("--system", metavar="TEXT|@FILE", help="a chat's first message")
    parser.add_argument("-c", "--context", type=int, default=8192, metavar="N", help="tokens of a chat (8192)")
    parser.add_argument("-n", "--max-tokens", type=int, default=256, metavar="N", help="the most new tokens (256)")
    parser.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0: the likeliest token (default)")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="of the K likeliest")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="of the likeliest that make up P")
    parser.add_argument(
        "--min-p", type=float, default=0.0, metavar="P", help="at least P times as likely as the likeliest"
    )
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="1: none")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same text, on any device")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this; may be repeated")


def run(args: Namespace) -> int:
    if args.system is not None and not args.chat:
        raise ArgumentError("--system is a message of a chat: add --chat")
    options = {name: getattr(args, name) for name in _OPTIONS}
    with open_model(args) as model:
        found = Run(model.path, model.device)
        for generation in _chat(model, args, options) if args.chat else _continue(model, args, options):
            found.answers.append(_tell(generation, quiet=args.json))
        if args.json:
            show(found, True)
    return 0


def _continue(model: Model, args: Namespace, options: dict[str, Any]) -> Iterator[Generation]:
    if args.tokens is not None:
        yield model.generate(parse_tokens(args.tokens), **options)
    else:
        yield model.generate(sys.stdin.read() if args.prompt is None else read_text(args.prompt), **options)


def _chat(model: Model, args: Namespace, options: dict[str, Any]) -> Iterator[Generation]:
    """Each answer becomes part of the conversation; a session keeps what was evaluated."""
    if args.tokens is not None:
        raise ArgumentError("a chat is of text; --tokens are ids")
    messages = [] if args.system is None else [{"role": "system", "content": read_text(args.system)}]
    with model.session(min(args.context, model.config["context"])) as session:
        for line in _lines() if args.prompt is None else [read_text(args.prompt)]:
            messages.append({"role": "user", "content": line})
            generation = model.chat(messages, session=session, **options)
            yield generation
            messages.append({"role": "assistant", "content": generation.completions[0].text})


def _lines() -> Iterator[str]:
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.rstrip("\n")


def _tell(generation: Generation, quiet: bool) -> Answer:
    start = first = time.perf_counter()
    for count, piece in enumerate(generation):
        first = time.perf_counter() if count == 0 else first
        if not quiet:
            print(printable(piece), end="", flush=True)
    seconds = time.perf_counter() - first
    if not quiet:
        print()
    (done,) = generation.completions
    speed = (len(done.tokens) - 1) / seconds if len(done.tokens) > 1 and seconds > 0 else None
    return Answer(done.text, done.tokens, done.logprobs, done.finish, first - start, speed)

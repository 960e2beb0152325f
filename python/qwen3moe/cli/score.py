"""How likely a model finds texts: log-probabilities, or perplexity over windows."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from typing import Any

from qwen3moe.cli.common import add_model, open_model, read_text, show
from qwen3moe.errors import ArgumentError
from qwen3moe.model import Model
from qwen3moe.perplexity import Perplexity
from qwen3moe.tables import table


@dataclass(frozen=True)
class Scored:
    """One text. logprobs: of every token but the first."""

    text: str
    tokens: list[int]
    logprobs: list[float]
    logprob: float
    perplexity: float


@dataclass(frozen=True)
class Scores:
    """What `score` prints."""

    model: str
    device: str
    texts: list[Scored]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = [[_short(s.text), len(s.tokens), f"{s.logprob:.4f}", f"{s.perplexity:.4f}"] for s in self.texts]
        return table(["text", "tokens", "log-probability", "perplexity"], rows)


@dataclass(frozen=True)
class Windows:
    """What `score --perplexity` prints."""

    model: str
    device: str
    texts: list[Perplexity]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(str(found) for found in self.texts)


def configure(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("texts", nargs="+", metavar="TEXT|@FILE", help="texts (@@ is an @), or files of a text each")
    parser.add_argument("--perplexity", choices=("hf", "llama.cpp"), help="over windows, by this convention")
    parser.add_argument("--window", type=int, metavar="N", help="tokens of a window (default 512)")
    parser.add_argument(
        "--stride", type=int, metavar="N", help="from window to window, hf only (default half a window)"
    )


def run(args: Namespace) -> int:
    if args.perplexity is None and (args.window is not None or args.stride is not None):
        raise ArgumentError("--window and --stride are for --perplexity")
    texts = [read_text(text) for text in args.texts]
    with open_model(args) as model:
        show(_windows(model, texts, args) if args.perplexity else _scores(model, texts), args.json)
    return 0


def _scores(model: Model, texts: list[str]) -> Scores:
    found = zip(texts, model.score(texts), strict=True)
    scored = [Scored(text, s.tokens.tolist(), s.logprobs.tolist(), s.total, s.perplexity) for text, s in found]
    return Scores(model.path, model.device, scored)


def _windows(model: Model, texts: list[str], args: Namespace) -> Windows:
    options = dict(window=args.window, stride=args.stride, convention=args.perplexity)
    return Windows(model.path, model.device, [model.perplexity(text, **options) for text in texts])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:37]}..."

"""What the commands share: the model's arguments, lists in arguments, and output."""

from __future__ import annotations

import json
import math
import re
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from qwen3moe.errors import ArgumentError, FileError
from qwen3moe.model import Model
from qwen3moe.tiny import TINY_PATH


class Command(Protocol):
    """What a module of this folder has; its docstring is its help, its name the command's."""

    __name__: str
    __doc__: str | None

    def configure(self, parser: ArgumentParser) -> None: ...
    def run(self, args: Namespace) -> int: ...


class Report(Protocol):
    """A finding that prints itself, for people and for programs."""

    def to_dict(self) -> dict[str, Any]: ...


def add_model(parser: ArgumentParser) -> None:
    parser.add_argument("model", help="GGUF file, or the first part of a split one; tiny is the bundled model")
    parser.add_argument("--device", default="auto", help="cpu, or auto for the best that is here (default)")
    add_threads(parser)


def add_threads(parser: ArgumentParser) -> None:
    parser.add_argument("-t", "--threads", type=int, help="CPU threads; by default all that there are")


def add_tokens(parser: ArgumentParser) -> None:
    parser.add_argument("--tokens", required=True, metavar="1,2,3|@FILE", help="token ids, or a file of them")


def open_model(args: Namespace) -> Model:
    bundled = args.model == "tiny" and not Path(args.model).exists()
    path = TINY_PATH if bundled else args.model
    return Model.from_gguf(path, args.device, threads=args.threads, progress=show_progress())


def show_progress() -> bool:
    return sys.stderr.isatty()


def read_text(text: str) -> str:
    """The argument itself, or what stands in the file after an @; @@ begins a text with @."""
    if not text.startswith("@") or text.startswith("@@"):
        return text.removeprefix("@")
    try:
        return Path(text[1:]).read_text("utf-8")
    except OSError as error:
        hint = f"; for the text {text!r:.40} write @{text}" if isinstance(error, FileNotFoundError) else ""
        raise FileError(error.errno, f"cannot read {text[1:]}: {error.strerror}{hint}") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{text[1:]} is no text in UTF-8: byte {error.start}") from error


def parse_tokens(text: str) -> list[int]:
    """Integers separated by commas or white space, from the argument or from the file after an @."""
    words = read_text(text).replace(",", " ").split()
    for i, word in enumerate(words):
        if not re.fullmatch(r"-?\d+", word):
            raise ArgumentError(f"tokens[{i}] is {word!r:.40}; token ids are integers")
    return [int(word) for word in words]


def parse_ranges(text: str | None, what: str) -> list[int] | None:
    """ "0-3,7,-1" becomes [0, 1, 2, 3, 7, -1]; nothing stays None."""
    if text is None:
        return None
    values: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(-?\d+)(?:-(\d+))?", part.strip())
        if not found:
            raise ArgumentError(f"{what} has {part!r:.40}; expected numbers and ranges, such as 0-3,7")
        first = int(found[1])
        values.extend(range(first, int(found[2]) + 1) if found[2] else [first])
    return values


def parse_counts(text: str, what: str) -> list[int]:
    """ "512,2048" becomes [512, 2048]."""
    words = text.split(",")
    for word in words:
        if not re.fullmatch(r"\s*\d+\s*", word):
            raise ArgumentError(f"{what} has {word!r:.40}; expected numbers, such as 512,2048")
    return [int(word) for word in words]


def show(report: Report, as_json: bool) -> None:
    """Prints a finding in the form that was asked for."""
    text = json.dumps(plain(report.to_dict()), indent=2, allow_nan=False) if as_json else str(report)
    print(printable(text))


def printable(text: str) -> str:
    """Names, metadata and models hold any character; what the terminal does not know is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def plain(value: Any) -> Any:
    """A value as JSON knows it: NumPy's become Python's, numbers that are not finite become null."""
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

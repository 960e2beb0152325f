"""Contracts, evidence and what they speak of, read from a checkout or from the installed package."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qwen3moe.contracts import sources
from qwen3moe.errors import ArgumentError

_INSTALLED = Path(__file__).parent / "data"

Document = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """Something that does not hold: where, what, and what to do about it."""

    file: str
    place: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.what}; {self.mend}"


@dataclass(frozen=True)
class Catalogue:
    """All contracts and receipts by their path, and the files and tests that they may name."""

    root: Path | None  # of the checkout; None where the package is installed without its sources
    schemas: dict[str, Document]
    contracts: dict[str, Document]
    receipts: dict[str, Document]
    files: dict[str, str]  # every source's SHA-256
    tests: frozenset[str]
    unreadable: list[Problem] = field(default_factory=list)

    def falsifiers(self) -> dict[str, Document]:
        """Every falsification test by its id."""
        return {entry["id"]: entry for contract in self.contracts.values() for entry in contract["falsification_tests"]}


def load(root: Path | None = None) -> Catalogue:
    """The contracts of a checkout, by default of the one around the working folder, else of the installed package."""
    if root is not None and not sources.is_checkout(root):
        raise ArgumentError(f"{root} is no checkout; expected a folder with contracts/schema.json and tests")
    checkout = root or sources.find_checkout()
    folder = checkout / "contracts" if checkout else _INSTALLED
    if checkout:
        files, tests = sources.hash_files(checkout), sources.find_tests(checkout)
    else:
        known = json.loads((folder / "sources.json").read_text())
        files, tests = known["files"], known["tests"]
    problems: list[Problem] = []
    return Catalogue(
        checkout,
        {name: json.loads((folder / f"{name}.json").read_text()) for name in ("schema", "receipt.schema")},
        _read_all(folder, "*.yaml", _parse_yaml, problems),
        _read_all(folder, "evidence/*.json", json.loads, problems),
        files,
        frozenset(tests),
        problems,
    )


def _read_all(folder: Path, pattern: str, parse: Callable[[str], Any], problems: list[Problem]) -> dict[str, Document]:
    found = {}
    for path in sorted(folder.glob(pattern)):
        name = f"contracts/{path.relative_to(folder).as_posix()}"
        try:
            document = parse(path.read_text(encoding="utf-8"))
            if not isinstance(document, dict):
                raise ValueError(f"a {type(document).__name__}, not a mapping")
            found[name] = document
        except ValueError as error:
            problems.append(Problem(name, "file", " ".join(str(error).split()), "make it readable"))
    return found


def _parse_yaml(text: str) -> Any:
    import yaml  # here, so that the command line starts without it

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Refuses a key that comes twice, which YAML itself lets pass."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
            if twice is not None:
                raise ValueError(f"line {node.start_mark.line + 1}: the key {twice!r} comes twice")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error

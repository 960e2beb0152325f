"""The project's files by their hashes: of a checkout, or as they were when the package was built.

Needs nothing but Python's own library: the build runs it as a script, before there is a package.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PARTS = ("CMakeLists.txt", "pyproject.toml", "contracts", "cpp", "kernels", "python", "tests", "notebooks")
_BUILT = (".pyc", ".so")
_TEST = re.compile(r"^(?:async )?def (test_\w+)\(", re.MULTILINE)


def is_checkout(folder: Path) -> bool:
    return (folder / "contracts" / "schema.json").is_file() and (folder / "tests").is_dir()


def find_checkout(start: Path | None = None) -> Path | None:
    """The checkout that a folder lies in, by default the working one; None outside of any."""
    here = (start or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if is_checkout(folder)), None)


def hash_files(root: Path) -> dict[str, str]:
    """SHA-256 of every file by its path, evidence apart: a receipt cannot cover itself."""
    return {path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in sorted(_walk(root))}


def find_tests(root: Path) -> list[str]:
    """Every test function of the suite, as "tests/x.py::test_name"."""
    files = sorted((root / "tests").rglob("test_*.py"))
    return [
        f"{file.relative_to(root).as_posix()}::{name}" for file in files for name in _TEST.findall(file.read_text())
    ]


def select(files: Iterable[str], pattern: str) -> list[str]:
    """The paths that a glob matches: * inside a folder, ** over any number of them."""
    translated = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
    return [path for path in files if re.fullmatch(translated, path)]


def combined(files: Mapping[str, str], patterns: Iterable[str]) -> tuple[int, str]:
    """How many files the globs match, and one hash of their paths and contents."""
    chosen = sorted({path for pattern in patterns for path in select(files, pattern)})
    lines = "".join(f"{path} {files[path]}\n" for path in chosen)
    return len(chosen), hashlib.sha256(lines.encode()).hexdigest()


def _walk(root: Path) -> Iterator[str]:
    for part in PARTS:
        for path in [root / part] if (root / part).is_file() else (root / part).rglob("*"):
            name = path.relative_to(root).as_posix()
            hidden = any(piece.startswith(".") or piece == "__pycache__" for piece in name.split("/"))
            evidence = name.startswith("contracts/evidence/")
            if path.is_file() and not hidden and not evidence and path.suffix not in _BUILT:
                yield name


def main(root: str, out: str) -> None:
    """Writes what an installed package knows of its sources."""
    known = {"files": hash_files(Path(root)), "tests": find_tests(Path(root))}
    Path(out).write_text(json.dumps(known, indent=0))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Runs falsifiers by pytest, and records what they showed."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from qwen3moe.contracts.evidence import backends_of
from qwen3moe.contracts.load import Catalogue, Document
from qwen3moe.contracts.receipts import describe_device, write_receipt
from qwen3moe.contracts.validate import strip_parameters
from qwen3moe.errors import ArgumentError

_DEVICE = re.compile(r"\b(cuda|vulkan):\d+")

# What the results of every device rest on, and what else those of the CPU show, where the whole suite runs.
_COMMON = ("CMakeLists.txt", "cpp/gguf/**", "cpp/model/**", "cpp/backend/*", "kernels/shared/**")
_WHOLE = ("cpp/*", "cpp/bindings/**", "cpp/quantise/**", "cpp/synth/**", "python/qwen3moe/**")


@dataclass(frozen=True)
class Verification:
    """What `contracts verify` wrote."""

    out: str
    device: str
    outcomes: dict[str, bool]

    @property
    def ok(self) -> bool:
        return bool(self.outcomes) and all(self.outcomes.values())

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}

    def __str__(self) -> str:
        failed = [f"{name} failed" for name, passed in self.outcomes.items() if not passed]
        passed = sum(self.outcomes.values())
        return "\n".join([*failed, f"wrote {self.out}: {passed} of {len(self.outcomes)} falsifiers on {self.device}"])


def collect(catalogue: Catalogue) -> frozenset[str]:
    """The tests that pytest collects, and those of which it has no parameters here: for devices, or for receipts."""
    root = _checkout(catalogue)
    files = sorted(
        {entry[key].split("::")[0] for entry in _all(catalogue) for key in ("test", "shown_by") if key in entry}
    )
    found = _pytest(root, ["--collect-only", "-q", *(file for file in files if (root / file).is_file())], quiet=True)
    collected = {strip_parameters(line) for line in found.stdout.splitlines() if "::" in line}
    absent = {entry["test"] for entry in _all(catalogue) if "cpu" not in backends_of(entry) or "figure" in entry}
    return frozenset(collected | (absent & catalogue.tests))


def run_falsifier(catalogue: Catalogue, name: str) -> int:
    """Runs the test of one id, its output shown; pytest's exit status."""
    falsifiers = catalogue.falsifiers()
    if name not in falsifiers:
        raise ArgumentError(f"there is no falsifier {name!r}; they are {', '.join(sorted(falsifiers))}")
    return _pytest(_checkout(catalogue), [falsifiers[name]["test"]]).returncode


def verify(
    catalogue: Catalogue, out: str, *, device: str = "cpu", results: str | None = None, slow: bool = False
) -> Verification:
    """Runs every falsifier for a device's back end and writes a receipt.

    results: a JUnit file of pytest, to record a run that has been in place of a new one.
    """
    root = _checkout(catalogue)
    about = describe_device(device)
    if results is not None:
        chosen = [entry for entry in _all(catalogue) if about["backend"] in backends_of(entry)]
        outcomes = read_outcomes(Path(results), chosen, about["backend"])
        command = f"python -m qwen3moe contracts verify --device {device} --results {Path(results).name}"
    else:
        outcomes = run_falsifiers(catalogue, about["backend"], slow=slow)
        command = f"python -m qwen3moe contracts verify --device {device}{' --slow' if slow else ''}"
    if not outcomes:
        raise ArgumentError(f"no falsifier ran on {device}; nothing to record")
    covers = covered_by(catalogue, about["backend"], outcomes)
    write_receipt(out, command=command, device=about, figures={}, falsifiers=outcomes, covers=covers, root=root)
    return Verification(out, device, outcomes)


def run_falsifiers(catalogue: Catalogue, backend: str, *, slow: bool = False) -> dict[str, bool]:
    """Runs those of a back end by pytest: whether each passed; one of which nothing ran is left out."""
    chosen = [entry for entry in _all(catalogue) if backend in backends_of(entry)]
    others = " and ".join(f"not {name}" for name in ("cuda", "vulkan"))
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "results.xml"
        tests = sorted({entry["test"] for entry in chosen})
        devices = ["-k", others if backend == "cpu" else backend]
        _pytest(_checkout(catalogue), [*(["--slow"] if slow else []), *devices, f"--junitxml={junit}", *tests])
        return read_outcomes(junit, chosen, backend)


def covered_by(catalogue: Catalogue, backend: str, falsifiers: Iterable[str]) -> list[str]:
    """Globs of the sources that a run of some falsifiers on a back end speaks for, the tests' own among them."""
    known = catalogue.falsifiers()
    tests = {known[name]["test"].split("::")[0] for name in falsifiers}
    own = [f"kernels/{backend}/**", *(_WHOLE if backend == "cpu" else [f"cpp/backend/{backend}/**"])]
    return [*_COMMON, *own, *sorted(with_imports(tests, _checkout(catalogue)))]


def with_imports(tests: Iterable[str], root: Path) -> set[str]:
    """Test files, the conftest.py of their folders, and all that they import of the tests."""
    found: set[str] = set()
    left = [root / test for test in tests]
    while left:
        file = left.pop()
        name = file.relative_to(root).as_posix()
        if name in found or not file.is_file():
            continue
        found.add(name)
        left += [folder / "conftest.py" for folder in file.parents if folder.is_relative_to(root / "tests")]
        left += _imported(file, root)
    return found


def _imported(file: Path, root: Path) -> Iterator[Path]:
    """Where a module's `from ... import ...` may lead, as far as that is among the tests."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = file.parents[node.level - 1] if node.level else root
            base = base.joinpath(*(node.module or "").split("."))
            if base.is_relative_to(root / "tests"):
                yield from (base.with_suffix(".py"), *(base / f"{name.name}.py" for name in node.names))


def read_outcomes(junit: Path, falsifiers: Iterable[Document], backend: str) -> dict[str, bool]:
    """Whether each falsifier passed on a back end; one that was skipped everywhere is left out."""
    try:
        cases = list(ElementTree.parse(junit).iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        raise ArgumentError(f"{junit} is no JUnit file of pytest ({error})") from error
    ran: dict[str, list[bool]] = {}
    for case in cases:
        found = _DEVICE.search(case.get("name", ""))
        kinds = {child.tag for child in case}
        if (found[1] if found else "cpu") == backend and "skipped" not in kinds:
            test = f"{case.get('classname', '').replace('.', '/')}.py::{strip_parameters(case.get('name', ''))}"
            ran.setdefault(test, []).append(not kinds & {"failure", "error"})
    return {entry["id"]: all(ran[entry["test"]]) for entry in falsifiers if entry["test"] in ran}


def _all(catalogue: Catalogue) -> list[Document]:
    return list(catalogue.falsifiers().values())


def _checkout(catalogue: Catalogue) -> Path:
    if catalogue.root is None:
        raise ArgumentError("the tests are not installed with the package; run this in a checkout")
    return catalogue.root


def _pytest(root: Path, arguments: list[str], quiet: bool = False) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=root, env=environment, text=True, capture_output=quiet)

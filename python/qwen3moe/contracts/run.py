"""Runs falsifiers by pytest, and records what they showed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
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
_COMMON = ("CMakeLists.txt", "cpp/*", "cpp/gguf/**", "cpp/model/**", "cpp/synth/**", "cpp/bindings/**", "cpp/backend/*")


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
    """The tests that pytest collects, and those for devices that are not here, whose parameters it has none of."""
    root = _checkout(catalogue)
    files = sorted(
        {entry[key].split("::")[0] for entry in _all(catalogue) for key in ("test", "shown_by") if key in entry}
    )
    found = _pytest(root, ["--collect-only", "-q", *(file for file in files if (root / file).is_file())], quiet=True)
    collected = {strip_parameters(line) for line in found.stdout.splitlines() if "::" in line}
    absent = {entry["test"] for entry in _all(catalogue) if "cpu" not in backends_of(entry)}
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
    chosen = [entry for entry in _all(catalogue) if about["backend"] in backends_of(entry)]
    if results is not None:
        outcomes = read_outcomes(Path(results), chosen, about["backend"])
        command = f"python -m qwen3moe contracts verify --device {device} --results {Path(results).name}"
    else:
        with tempfile.TemporaryDirectory() as folder:
            junit = Path(folder) / "results.xml"
            tests = sorted({entry["test"] for entry in chosen})
            _pytest(root, [*(["--slow"] if slow else []), f"--junitxml={junit}", *tests])
            outcomes = read_outcomes(junit, chosen, about["backend"])
        command = f"python -m qwen3moe contracts verify --device {device}{' --slow' if slow else ''}"
    if not outcomes:
        raise ArgumentError(f"no falsifier ran on {device}; nothing to record")
    ran = {entry["test"].split("::")[0] for entry in chosen if entry["id"] in outcomes}
    covers = [*covered_by(about["backend"]), *sorted(ran)]
    write_receipt(out, command=command, device=about, figures={}, falsifiers=outcomes, covers=covers, root=root)
    return Verification(out, device, outcomes)


def covered_by(backend: str) -> list[str]:
    """Globs of the sources that a run on a back end speaks for."""
    own = [f"kernels/{backend}/**", "kernels/shared/**"]
    return [*_COMMON, *own, "python/qwen3moe/**" if backend == "cpu" else f"cpp/backend/{backend}/**"]


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

"""Checks an installation: what is here, what is not and why, and whether it computes what it should."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qwen3moe import _core
from qwen3moe.devices import available_devices
from qwen3moe.hashing import sha256_logits, short
from qwen3moe.machine import memory, processor, usable_threads
from qwen3moe.model import Model
from qwen3moe.prompts import plain_tokens
from qwen3moe.synth import synth

_THREADS = (1, 2, 3)


@dataclass(frozen=True)
class Check:
    """One question and its answer."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor` found."""

    checks: list[Check]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}

    def __str__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = [
            f"{'ok  ' if check.ok else 'FAIL'}  {check.name.ljust(width)}  {check.detail}" for check in self.checks
        ]
        failed = [check.name for check in self.checks if not check.ok]
        lines += ["", f"not well: {', '.join(failed)}" if failed else "all is well"]
        return "\n".join(lines)


def doctor() -> Diagnosis:
    """Runs every check; one that fails does not keep the others from running."""
    checks = (
        ("versions", _versions),
        ("processor", _processor),
        ("threads", lambda: f"{usable_threads()} usable"),
        ("memory", _memory),
        ("back ends", _backends),
        ("arithmetic", _arithmetic),
        ("logits", _logits),
    )
    return Diagnosis([_run(name, check) for name, check in checks])


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except Exception as error:  # whatever is wrong is what the user asked for
        return Check(name, False, f"{type(error).__name__}: {error}")


def _versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("qwen3moe", "numpy"))
    return f"{packages}, Python {platform.python_version()}, {platform.platform()}"


def _processor() -> str:
    name, features = processor()
    return f"{name}: {' '.join(features) or 'no instruction set beyond the base'}"


def _memory() -> str:
    total, available = memory()
    return f"{available / 1e9:.1f} of {total / 1e9:.1f} GB available"


def _backends() -> str:
    entries = _core.backends()
    if not any(entry["available"] for entry in entries):
        raise RuntimeError("none is available")
    return "; ".join(f"{'' if e['available'] else 'no '}{e['device']} ({e['description']})" for e in entries)


def _arithmetic() -> str:
    """Every device's functions against the hash that all must have."""
    results = [_core.arithmetic.selftest(name) for name in available_devices()]
    wrong = [f"{result['device']}: {result['reason']}" for result in results if not result["ok"]]
    if wrong:
        raise RuntimeError("; ".join(wrong))
    return f"exact on {', '.join(result['device'] for result in results)}"


def _logits() -> str:
    """Those of a small model must not depend on the number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        path = synth(Path(folder) / "small.gguf")
        hashes = {threads: _hash(path, threads) for threads in _THREADS}
    if len(set(hashes.values())) != 1:
        found = ", ".join(f"{threads}: {short(digest)}" for threads, digest in hashes.items())
        raise RuntimeError(f"the logits depend on the number of threads ({found})")
    return f"{short(hashes[1])} with {', '.join(map(str, hashes))} threads"


def _hash(path: Any, threads: int) -> str:
    with Model.from_gguf(path, "cpu", threads=threads) as model:
        return sha256_logits(model.forward(plain_tokens(9, model.config["vocab"]), "all"))

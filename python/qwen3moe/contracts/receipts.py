"""Receipts: a run on named hardware, as JSON, with a hash of the sources that it speaks for.

write_receipt(
    "contracts/evidence/h200-cuda.json",
    command="python tests/gpu/check.py",
    device=describe_device("cuda:0"),
    figures={"decode @ 128": {"decode_tok_s": [1201.5, 1203.2, 1199.8], "depth": 128}},
    falsifiers=["FALSIFY-QW3-MOE-GPU-PARITY-001"],
    covers=["kernels/shared/**", "kernels/cuda/**", "cpp/**"],
)
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from qwen3moe import _core
from qwen3moe.contracts import sources
from qwen3moe.errors import ArgumentError, BackendUnavailableError
from qwen3moe.files import replacing
from qwen3moe.machine import memory, processor, usable_threads

FORM = "receipt-v1"
FALSIFIER = re.compile(r"(?:FALSIFY|F)-[A-Z0-9-]+")

Outcomes = Mapping[str, bool]


def write_receipt(
    path: str | os.PathLike[str],
    *,
    command: str,
    device: Mapping[str, Any],
    figures: Mapping[str, Mapping[str, Any]],
    falsifiers: Iterable[str] | Outcomes,
    covers: Sequence[str],
    root: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Writes a receipt and returns what it says.

    command: what was run. device: from `describe_device`. figures: by the run's name; inside, the keys of `bench`, and
    every list of samples gets its median and spread. falsifiers: the ids that passed, or whether each did. covers:
    globs of the sources that the run speaks for. root: the checkout, by default the one around the working folder.
    """
    checkout = Path(root) if root is not None else sources.find_checkout()
    if checkout is None:
        raise ArgumentError(f"{Path.cwd()} is in no checkout; a receipt needs the sources that it covers, give root=")
    outcomes = dict(falsifiers) if isinstance(falsifiers, Mapping) else dict.fromkeys(falsifiers, True)
    receipt = {
        "form": FORM,
        "recorded": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": version("qwen3moe"),
        "command": command,
        "device": dict(device),
        "machine": describe_machine(),
        "covers": _cover(checkout, covers),
        "falsifiers": {_known(name): "passed" if outcomes[name] else "failed" for name in sorted(outcomes)},
        "figures": {run: {key: _figure(value) for key, value in keys.items()} for run, keys in figures.items()},
    }
    receipt["digest"] = digest(receipt)
    Path(path).parent.mkdir(parents=True, exist_ok=True)  # the first of all receipts
    with replacing(path) as draft:
        draft.write_text(json.dumps(receipt, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return receipt


def digest(receipt: Mapping[str, Any]) -> str:
    """SHA-256 of all that a receipt says but this: a line added by hand shows."""
    said = {key: value for key, value in receipt.items() if key != "digest"}
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def describe_device(name: str) -> dict[str, Any]:
    """What a receipt says of a device: name, back end, and the driver."""
    entry = next((e for e in _core.backends() if e["device"] == name), None)
    if entry is None or not entry["available"]:
        raise BackendUnavailableError(f"device {name!r}: {entry['description'] if entry else 'there is none'}")
    backend = name.partition(":")[0]
    driver = _nvidia_driver() if "NVIDIA" in entry["description"] else _system()
    return {"device": name, "backend": backend, "name": entry["description"], "driver": driver}


def describe_machine() -> dict[str, Any]:
    """What a receipt says of the machine around the device."""
    name, features = processor()
    return {
        "processor": name,
        "features": features,
        "threads": usable_threads(),
        "memory_bytes": memory()[0],
        "system": _system(),
        "python": platform.python_version(),
    }


def _system() -> str:
    """The kernel and its version, without what a distributor adds to it."""
    return f"{platform.system()} {platform.release().partition('-')[0]}"


def _nvidia_driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return found.splitlines()[0].strip() if found.strip() else "unknown"


def _cover(root: Path, covers: Sequence[str]) -> dict[str, Any]:
    files = sources.hash_files(root)
    for pattern in covers:
        if not sources.select(files, pattern):
            raise ArgumentError(f"covers has {pattern!r}, which matches no file of {root}")
    if not covers:
        raise ArgumentError("covers is empty; a receipt speaks for some sources")
    count, combined = sources.combined(files, covers)
    return {"globs": list(covers), "files": count, "sha256": combined}


def _known(name: str) -> str:
    if not FALSIFIER.fullmatch(name):
        raise ArgumentError(f"falsifiers has {name!r}; expected an id such as FALSIFY-QW3-MOE-GPU-PARITY-001")
    return name


def _figure(value: Any) -> Any:
    """Samples with their median and spread, as `bench` gives them; anything else as it is."""
    if not isinstance(value, (list, tuple)):
        return value
    if not value or not all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in value):
        raise ArgumentError(f"a figure's samples are {value!r:.60}; expected numbers")
    samples = [float(x) for x in value]
    middle = median(samples)
    return {"median": middle, "spread": (max(samples) - min(samples)) / middle if middle else 0.0, "samples": samples}

"""The same logits on every device: evaluates a few prompts on each and compares the bits."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qwen3moe import _core
from qwen3moe.devices import available_devices
from qwen3moe.hashing import sha256_logits, short
from qwen3moe.measure import cosine
from qwen3moe.model import Model
from qwen3moe.progress import Progress, reporting
from qwen3moe.prompts import plain_tokens
from qwen3moe.session import Floats
from qwen3moe.tables import table

PROMPT_LENGTHS = (1, 7, 64)


@dataclass(frozen=True)
class ParityRow:
    """One prompt on one device: hash of the logits of all positions, and the last position's largest."""

    device: str
    tokens: int
    sha256: str
    argmax: int
    cosine: float | None  # against the first device
    seconds: float


@dataclass(frozen=True)
class Parity:
    """What `parity` found."""

    model: str
    rows: list[ParityRow]
    absent: dict[str, str]  # devices that could not take part, and why

    @property
    def equal(self) -> bool:
        """Whether each prompt has one hash on all devices."""
        return len({(row.tokens, row.sha256) for row in self.rows}) == len({row.tokens for row in self.rows})

    def to_dict(self) -> dict[str, Any]:
        return {"equal": self.equal, **asdict(self)}

    def __str__(self) -> str:
        header = ["device", "tokens", "SHA-256 of the logits", "argmax", "cosine", "seconds"]
        rows = [
            [
                row.device,
                row.tokens,
                short(row.sha256),
                row.argmax,
                "undefined" if row.cosine is None else f"{row.cosine:.9f}",
                f"{row.seconds:.3f}",
            ]
            for row in self.rows
        ]
        lines = [table(header, rows), ""]
        lines += [f"{device} took no part: {reason}" for device, reason in self.absent.items()]
        devices = len({row.device for row in self.rows})
        alone = "one device is here, so there is nothing to compare"
        agree = "the bits are equal" if self.equal else "THE BITS DIFFER"
        lines.append(alone if devices == 1 else f"{devices} devices: {agree}")
        return "\n".join(lines)


def parity(
    path: str | os.PathLike[str],
    devices: Sequence[str] | None = None,
    *,
    lengths: Sequence[int] = PROMPT_LENGTHS,
    threads: int | None = None,
    progress: Progress = False,
) -> Parity:
    """Runs prompts of these lengths on these devices, by default on all that are here."""
    names = list(devices) if devices is not None else available_devices()
    rows: list[ParityRow] = []
    reference: dict[int, Floats] = {}
    with reporting(progress, "parity", "runs") as report:
        for name in names:
            with Model.from_gguf(path, name, threads=threads) as model:
                for length in lengths:
                    rows.append(_run(model, name, length, reference))
                    if report:
                        report(len(rows), len(names) * len(lengths))
    absent = {entry["device"]: entry["description"] for entry in _core.backends() if not entry["available"]}
    return Parity(os.fsdecode(path), rows, absent)


def _run(model: Model, name: str, length: int, reference: dict[int, Floats]) -> ParityRow:
    prompt = plain_tokens(length, model.config["vocab"])
    start = time.perf_counter()
    logits = model.forward(prompt, "all")
    seconds = time.perf_counter() - start
    first = reference.setdefault(length, logits)
    return ParityRow(name, length, sha256_logits(logits), int(logits[-1].argmax()), cosine(first, logits), seconds)

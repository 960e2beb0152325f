"""What the receipts show: for each falsifier and back end, and so the status of each stage. Never written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qwen3moe.contracts import sources
from qwen3moe.contracts.load import Catalogue, Document
from qwen3moe.contracts.receipts import digest

DRAFT, ALGORITHM, RUNTIME = "DRAFT", "ACTIVE_ALGORITHM_LEVEL", "ACTIVE_RUNTIME"


@dataclass(frozen=True)
class Evidence:
    """One falsifier in one receipt."""

    file: str
    falsifier: str
    backend: str
    outcome: str  # "passed" or "failed"
    fresh: bool  # the sources are still those that it covers
    covered: frozenset[str]
    machine: str
    recorded: str
    figures: Document

    @property
    def holds(self) -> bool:
        return self.fresh and self.outcome == "passed"


def is_fresh(receipt: Document, catalogue: Catalogue) -> bool:
    """Whether the sources that a receipt covers are what they were, and so is the receipt."""
    covers = receipt["covers"]
    return receipt["digest"] == digest(receipt) and sources.combined(catalogue.files, covers["globs"]) == (
        covers["files"],
        covers["sha256"],
    )


def hardware(receipt: Document) -> str:
    """What a receipt was written on: the GPU, or the processor."""
    name: str = receipt["device"]["name"]
    return f"{receipt['machine']['processor']}, {name}" if receipt["device"]["backend"] == "cpu" else name


def find_evidence(catalogue: Catalogue) -> list[Evidence]:
    """All of it, the oldest first."""
    found = []
    for file, receipt in sorted(catalogue.receipts.items(), key=lambda item: str(item[1].get("recorded"))):
        covered = {path for glob in receipt["covers"]["globs"] for path in sources.select(catalogue.files, glob)}
        fresh, device = is_fresh(receipt, catalogue), receipt["device"]
        for falsifier, outcome in receipt["falsifiers"].items():
            found.append(
                Evidence(
                    file,
                    falsifier,
                    device["backend"],
                    outcome,
                    fresh,
                    frozenset(covered),
                    hardware(receipt),
                    receipt["recorded"],
                    receipt["figures"],
                )
            )
    return found


def backends_of(falsifier: Document) -> list[str]:
    """The back ends that a falsifier is for."""
    return list(falsifier.get("backends", ["cpu"]))


def stage_falsifiers(contract: Document, stage: Document) -> list[Document]:
    """Those of a stage: the ones that it names, or all of its contract's."""
    named = stage.get("falsified_by")
    return [entry for entry in contract["falsification_tests"] if named is None or entry["id"] in named]


def files_of(paths: Iterable[str], catalogue: Catalogue) -> set[str]:
    """The files that lie under some paths."""
    wanted = list(paths)
    return {file for file in catalogue.files if any(file == path or file.startswith(f"{path}/") for path in wanted)}


def status_of(contract: Document, stage: Document, evidence: list[Evidence], catalogue: Catalogue) -> str:
    """RUNTIME where every falsifier held on every back end of the stage, on the sources as they are; ALGORITHM where
    every one held on some back end; DRAFT otherwise."""
    needed = stage_falsifiers(contract, stage)
    sources_of_stage = files_of(stage["paths"], catalogue)
    holding = [item for item in evidence if item.holds]
    shown = {(item.falsifier, item.backend) for item in holding if sources_of_stage <= item.covered}
    asked = {(entry["id"], name) for entry in needed for name in backends_of(entry) if name in stage["backends"]}
    if asked and asked <= shown:
        return RUNTIME
    return ALGORITHM if {entry["id"] for entry in needed} <= {item.falsifier for item in holding} else DRAFT


def figure_text(evidence: Evidence, falsifier: Document) -> str:
    """The figure that a falsifier is about, as the receipt has it."""
    key = falsifier.get("figure")
    found = [(run, values[key]) for run, values in evidence.figures.items() if key in values]
    return ", ".join(f"{run}: {_number(value)}" for run, value in found)


def _number(value: Any) -> str:
    middle = value["median"] if isinstance(value, dict) else value
    return f"{middle:.4g}" if isinstance(middle, float) else str(middle)

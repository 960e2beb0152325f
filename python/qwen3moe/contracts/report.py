"""One table of all that is promised, where it was shown, and what status follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qwen3moe.contracts.evidence import Evidence, backends_of, figure_text, find_evidence, status_of
from qwen3moe.contracts.load import Catalogue
from qwen3moe.tables import table


@dataclass(frozen=True)
class Row:
    """An obligation, one of its falsifiers, and what is known of it on one back end."""

    contract: str
    obligation: str
    falsifier: str
    backend: str
    status: str  # passed, failed, stale or none
    machine: str
    recorded: str
    figure: str


@dataclass(frozen=True)
class StageStatus:
    contract: str
    stage: str
    backends: list[str]
    status: str


@dataclass(frozen=True)
class Report:
    """What `contracts report` prints."""

    rows: list[Row]
    stages: list[StageStatus]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            [
                row.obligation,
                row.falsifier,
                row.backend,
                row.status,
                ", ".join(filter(None, (row.machine, row.recorded[:10], row.figure))),
            ]
            for row in self.rows
        ]
        stages = [[stage.contract, stage.stage, ", ".join(stage.backends), stage.status] for stage in self.stages]
        header = ["obligation", "falsifier", "back end", "status", "last evidence"]
        return f"{table(header, lines)}\n\n{table(['contract', 'stage', 'back ends', 'status'], stages)}"


def report(catalogue: Catalogue) -> Report:
    """Of contracts that validate; what evidence there is decides every status."""
    evidence = find_evidence(catalogue)
    latest = {(item.falsifier, item.backend): item for item in evidence}
    rows, stages = [], []
    for contract in catalogue.contracts.values():
        falsifiers = {entry["id"]: entry for entry in contract["falsification_tests"]}
        for obligation in contract["proof_obligations"]:
            for name in obligation["falsified_by"]:
                for backend in backends_of(falsifiers[name]):
                    found = latest.get((name, backend))
                    figure = figure_text(found, falsifiers[name]) if found else ""
                    rows.append(_row(contract["id"], obligation["id"], name, backend, found, figure))
        for stage in contract["implementation_stages"]:
            status = status_of(contract, stage, evidence, catalogue)
            stages.append(StageStatus(contract["id"], stage["id"], list(stage["backends"]), status))
    return Report(rows, stages)


def _row(contract: str, obligation: str, name: str, backend: str, found: Evidence | None, figure: str) -> Row:
    if found is None:
        return Row(contract, obligation, name, backend, "none", "", "", "")
    status = found.outcome if found.fresh else "stale"
    return Row(contract, obligation, name, backend, status, found.machine, found.recorded, figure)

"""What a model file holds: config, tensors by type, plan and metadata."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from qwen3moe.cli.common import add_model, open_model, show
from qwen3moe.model import Model
from qwen3moe.tables import table


@dataclass(frozen=True)
class TypeTotal:
    """All tensors of one type."""

    type: str
    tensors: int
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Info:
    """What `info` prints."""

    model: str
    device: str
    weight_bytes: int
    config: dict[str, Any]
    types: list[TypeTotal]
    plan: list[str]
    metadata: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = [[t.type, t.tensors, t.parameters, t.bytes] for t in self.types]
        return "\n\n".join(
            [
                f"{self.model}\n{self.weight_bytes / 1e9:.3f} GB of weights, on {self.device}",
                _listing("config", self.config),
                table(["type", "tensors", "parameters", "bytes"], rows),
                "\n".join(["plan", *(f"  {line}" for line in self.plan)]),
                _listing("metadata", self.metadata),
            ]
        )


def configure(parser: ArgumentParser) -> None:
    add_model(parser)


def run(args: Namespace) -> int:
    with open_model(args) as model:
        types = _types(model)
        info = Info(model.path, model.device, model.weight_bytes, model.config, types, model.plan(), model.metadata())
        show(info, args.json)
    return 0


def _types(model: Model) -> list[TypeTotal]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for tensor in model.tensors():
        groups.setdefault(tensor["type"], []).append(tensor)
    totals = [
        TypeTotal(name, len(group), sum(prod(t["shape"]) for t in group), sum(t["bytes"] for t in group))
        for name, group in groups.items()
    ]
    return sorted(totals, key=lambda total: -total.bytes)


def _listing(title: str, values: dict[str, Any]) -> str:
    return "\n".join([title, *(f"  {key} = {_shortened(value)}" for key, value in values.items())])


def _shortened(value: Any) -> str:
    if hasattr(value, "__len__") and not isinstance(value, str) and len(value) > 8:
        return f"[{', '.join(repr(item) for item in value[:4])}, ...] of {len(value)}"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."

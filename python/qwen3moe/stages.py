"""Names and order of what a trace can capture: globs become stages, and trace keys sort in forward order."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from qwen3moe import _core
from qwen3moe.errors import ArgumentError

# Outside the layers; every other stage is captured once per layer.
BEFORE_LAYERS = ("embed",)
AFTER_LAYERS = ("final_norm", "logits")


def stages() -> list[str]:
    """Every stage that a trace can capture, in forward order."""
    return _core.stages()


def select_stages(patterns: str | Iterable[str]) -> list[str]:
    """The stages that match a glob, a group ("router", "expert"), a comma-separated string or a list of these."""
    wanted = patterns.split(",") if isinstance(patterns, str) else list(patterns)
    known = stages()
    chosen: set[str] = set()
    for pattern in (p.strip() for p in wanted):
        matches = [stage for stage in known if _matches(stage, pattern)]
        if not matches:
            raise ArgumentError(f"no stage matches {pattern!r}; the stages are {', '.join(known)}")
        chosen.update(matches)
    if not chosen:
        raise ArgumentError(f"no stage was asked for; the stages are {', '.join(known)}")
    return [stage for stage in known if stage in chosen]


def _matches(stage: str, pattern: str) -> bool:
    names = (stage, stage.removeprefix("moe_"))
    return any(fnmatchcase(name, pattern) or name.partition(".")[0] == pattern for name in names)


class TraceKey(NamedTuple):
    """The parts of a trace's key: "layers.3.moe_router.ids" is stage moe_router.ids of layer 3."""

    layer: int | None
    stage: str

    @classmethod
    def parse(cls, key: str) -> TraceKey:
        head, _, rest = key.partition(".")
        layer, _, stage = rest.partition(".")
        return cls(int(layer), stage) if head == "layers" and layer.isdecimal() else cls(None, key)


def forward_order(keys: Iterable[str]) -> list[str]:
    """Trace keys as the forward pass makes them; keys of unknown stages come last in their layer."""
    rank = {stage: i for i, stage in enumerate(stages())}

    def place(key: str) -> tuple[int, int, int, str]:
        layer, stage = TraceKey.parse(key)
        part = 1 if layer is not None else 0 if stage in BEFORE_LAYERS else 2
        return part, layer or 0, rank.get(stage, len(rank)), stage

    return sorted(keys, key=place)

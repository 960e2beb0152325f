"""The choice of a device."""

from __future__ import annotations

from qwen3moe import _core

_BEST_FIRST = ("cuda", "vulkan", "cpu")


def available_devices() -> list[str]:
    """The names of the devices that are here, the best first."""
    names = [entry["device"] for entry in _core.backends() if entry["available"]]
    return sorted(names, key=lambda name: _BEST_FIRST.index(name.partition(":")[0]))


def resolve_device(device: str) -> str:
    """The best device for "auto"; any other name is the core's to judge."""
    return available_devices()[0] if device == "auto" else device

"""The choice of a device."""

from __future__ import annotations

from qwen3moe import _core

_BEST_FIRST = ("cuda", "vulkan", "cpu")


def available_devices() -> list[str]:
    """The names of the devices that are here, the best first; the CPU before a Vulkan that only plays a GPU on it."""
    here = [entry for entry in _core.backends() if entry["available"]]
    here.sort(key=lambda entry: (entry["software"], _BEST_FIRST.index(entry["device"].partition(":")[0])))
    return [entry["device"] for entry in here]


def resolve_device(device: str) -> str:
    """The best device for "auto"; any other name is the core's to judge."""
    return available_devices()[0] if device == "auto" else device

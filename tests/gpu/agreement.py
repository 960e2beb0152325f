"""A device held against the CPU on whole models: hashes of logits, every stage of a trace, experts, argmax, reruns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import qwen3moe
from qwen3moe.tiny import TINY_PATH
from tests.claims import checks
from tests.devices import prompt

REFERENCE = Path(__file__).parents[1] / "reference" / "tiny.npz"
RERUNS = 100


def bundled(device: str) -> dict[str, Any]:
    """The bundled model on the prompts of its reference."""
    with np.load(REFERENCE) as reference:
        prompts = [reference[name] for name in sorted(reference.files) if name.startswith("tokens.")]
    return agreement(TINY_PATH, device, prompts)


def synthetic(path: Path, device: str, prompts: int = 4, length: int = 64) -> dict[str, Any]:
    """A synthetic model on prompts of random tokens."""
    with qwen3moe.Model.from_gguf(path, "cpu") as model:
        vocab = model.config["vocab"]
    return agreement(path, device, [prompt(length, seed, vocab) for seed in range(prompts)])


def agreement(path: Path, device: str, prompts: Sequence[Any]) -> dict[str, Any]:
    """How many of the prompts agree with the CPU in each respect; hashes of all logits, and of the first's reruns."""
    equal = dict.fromkeys(("logits_equal", "stages_equal", "last_experts_equal", "argmax_equal"), 0)
    hashes = []
    with qwen3moe.Model.from_gguf(path, "cpu") as cpu, qwen3moe.Model.from_gguf(path, device) as other:
        last = cpu.config["layers"] - 1
        for tokens in prompts:
            expected, found = cpu.forward(tokens, "all"), other.forward(tokens, "all")
            hashes.append(qwen3moe.sha256_logits(found))
            equal["logits_equal"] += hashes[-1] == qwen3moe.sha256_logits(expected)
            equal["argmax_equal"] += not checks.argmax([expected[-1]], [found[-1]])
            traces = [model.trace(tokens) for model in (cpu, other)]
            equal["stages_equal"] += qwen3moe.diff(*traces).equal
            equal["last_experts_equal"] += not checks.last_experts(*traces, last)
        reruns = {qwen3moe.sha256_logits(other.forward(prompts[0], "all")) for _ in range(RERUNS)}
    return {
        "model": path.name,
        "prompts": len(prompts),
        "tokens": sum(map(len, prompts)),
        **equal,
        "reruns": RERUNS,
        "rerun_hashes": len(reruns),
        **{f"logits_sha256_{i}": value for i, value in enumerate(hashes)},
    }


def findings(figures: dict[str, Any]) -> list[str]:
    """What does not agree."""
    asked = figures["prompts"]
    respects = [(key, value) for key, value in figures.items() if key.endswith("_equal")]
    bad = [f"{key}: {value} of {asked}" for key, value in respects if value != asked]
    return bad + ([f"{figures['rerun_hashes']} hashes of one prompt"] if figures["rerun_hashes"] != 1 else [])

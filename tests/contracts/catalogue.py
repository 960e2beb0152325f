"""The repository's contracts, and receipts to put beside them."""

import copy
import json
from dataclasses import replace
from pathlib import Path

from qwen3moe.contracts.load import load
from qwen3moe.contracts.receipts import describe_device, digest, write_receipt

ROOT = Path(__file__).parents[2]
FORWARD = "contracts/qwen3-moe-forward-v1.yaml"
GPU = "contracts/qwen3-moe-forward-gpu-v1.yaml"
EVIDENCE = "contracts/evidence/r.json"


def repository(receipts=None):
    """A copy to change at will, with these receipts alone."""
    found = copy.deepcopy(load(ROOT))
    return replace(found, receipts=receipts or {})


def receipt(folder, *, backend="cpu", falsifiers, covers=("kernels/**", "cpp/**", "python/**"), figures=None):
    """One that was written today."""
    device = {**describe_device("cpu"), "device": f"{backend}:0", "backend": backend}
    path = folder / "r.json"
    write_receipt(
        path,
        command="a run",
        device=device,
        figures=figures or {},
        falsifiers=falsifiers,
        covers=covers,
        root=ROOT,
    )
    return json.loads(path.read_text())


def resealed(document):
    """What a forger would do who knows of the digest."""
    return {**document, "digest": digest(document)}

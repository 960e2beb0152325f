"""On a machine with a GPU: all falsifiers of its back end, whole models against the CPU and HuggingFace's, speed and
memory, and a receipt of them.

python tests/gpu/evidence.py --device cuda:0 --out contracts/evidence/NAME.json [--layers 48] [--folder DIR]

Needs pytest, pyyaml, torch, transformers and gguf.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import qwen3moe
from qwen3moe.contracts.load import load
from qwen3moe.contracts.receipts import describe_device, write_receipt
from qwen3moe.contracts.run import covered_by, run_falsifiers, with_imports
from tests.claims import checks
from tests.devices import prompt
from tests.gpu import agreement, hf
from tests.gpu.models import full_shape

ROOT = Path(__file__).parents[2]
DEPTHS = (128, 4096)
PROMPTS = (512, 2048)
TOKENS = 50
SAMPLES = 5


def memory_share(device: str) -> float:
    """Of a CUDA device, by the driver's count: all processes, all of it."""
    query = ["nvidia-smi", f"--id={device.partition(':')[2]}", "--query-gpu=memory.used,memory.total"]
    text = subprocess.run([*query, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True).stdout
    used, total = map(float, text.split(","))
    return used / total


def rates(tokens: int, work: Callable[[], object]) -> list[float]:
    """Tokens per second of several runs, after one that warms up."""
    found = []
    for _ in range(1 + SAMPLES):
        start = time.perf_counter()
        work()
        found.append(tokens / (time.perf_counter() - start))
    return found[1:]


def whole_models(folder: Path, device: str, layers: int) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Of the bundled model and the synthetic one: agreement with the CPU, and on CUDA with HuggingFace's; findings."""
    path = full_shape(folder, layers)
    found = {
        "agreement, bundled": agreement.bundled(device),
        f"agreement, {path.stem}": agreement.synthetic(path, device),
    }
    bad = [f"{name}: {text}" for name, figures in found.items() for text in agreement.findings(figures)]
    if device.startswith("cuda"):
        figures = hf.closeness(path, device)
        found["HuggingFace float16"] = {key: [entry[key] for entry in figures] for key in figures[0]}
        if min(found["HuggingFace float16"]["cosine_min"]) < checks.LEAST_COSINE:
            bad.append(f"HuggingFace's cosine is {min(found['HuggingFace float16']['cosine_min'])}")
    return found, bad


def speed_and_memory(folder: Path, device: str, layers: int) -> dict[str, dict[str, Any]]:
    """Prompts and decoding with a synthetic model of the 30B's shape, and the memory in use meanwhile."""
    path = full_shape(folder, layers)
    found: dict[str, dict[str, Any]] = {}
    with qwen3moe.Model.from_gguf(path, device) as model, model.session(context=max(DEPTHS) + 200) as session:
        tokens = prompt(max(DEPTHS) + 200, vocab=model.config["vocab"])
        about = {"model": path.name, "layers": layers, "weight_bytes": model.weight_bytes}

        def prefill(count: int) -> None:
            session.truncate(0)
            session.eval(tokens[:count])

        def decode(depth: int) -> None:
            session.truncate(depth)
            for token in tokens[depth : depth + TOKENS]:
                session.eval([int(token)])

        for count in PROMPTS:
            measured = rates(count, lambda count=count: prefill(count))
            found[f"prefill {count} @ 0"] = {**about, "depth": 0, "prefill_tok_s": measured}
        session.truncate(0)
        session.eval(tokens[: max(DEPTHS)], "none")
        for depth in reversed(DEPTHS):
            measured = rates(TOKENS, lambda depth=depth: decode(depth))
            found[f"decode {TOKENS} @ {depth}"] = {**about, "depth": depth, "decode_tok_s": measured}
        if device.startswith("cuda"):
            found["memory"] = {**about, "memory_share": [memory_share(device)]}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--out", required=True, metavar="FILE.json", help="where to write the receipt")
    parser.add_argument("--layers", type=int, default=48, help="of the model that is timed; 0 leaves it out")
    parser.add_argument("--folder", type=Path, help="where the model is kept; a temporary one by default")
    options = parser.parse_args()
    device, backend = options.device, options.device.partition(":")[0]
    about, catalogue = describe_device(device), load(ROOT)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        figures, bad = whole_models(folder, device, options.layers) if options.layers else ({}, [])
        if options.layers:
            figures |= speed_and_memory(folder, device, options.layers)
    outcomes = run_falsifiers(catalogue, backend, slow=True)

    def write() -> dict[str, Any]:
        return write_receipt(
            options.out,
            command=f"python tests/gpu/evidence.py --device {device} --layers {options.layers}",
            device=about,
            figures=figures,
            falsifiers=outcomes,
            covers=sorted({*covered_by(catalogue, backend, outcomes), *with_imports(["tests/gpu/evidence.py"], ROOT)}),
            root=ROOT,
        )

    receipt = write()
    full = any(run.get("weight_bytes", 0) >= checks.FULL_SIZE_BYTES for run in figures.values())
    if backend == "cuda" and full:  # what the receipt says is judged as it stands there
        outcomes["FALSIFY-QW3-MOE-GPU-THROUGHPUT-001"] = not checks.throughput(receipt)
        outcomes["FALSIFY-QW3-MOE-GPU-MEMORY-001"] = not checks.memory(receipt)
        write()
    for name, passed in sorted(outcomes.items()):
        print(f"{name:40} {'passed' if passed else 'FAILED'}")
    for text in bad:
        print(text)
    print(f"wrote {options.out}: {sum(outcomes.values())} of {len(outcomes)} passed")
    return 0 if outcomes and all(outcomes.values()) and not bad else 1


if __name__ == "__main__":
    sys.exit(main())

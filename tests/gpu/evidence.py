"""On a machine with a GPU, without pytest: the claims of the forward contract, speed and memory, and a receipt of them.

python tests/gpu/evidence.py --device cuda:0 --out contracts/evidence/NAME.json [--layers 48] [--folder DIR]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import qwen3moe
from qwen3moe.contracts.receipts import describe_device, write_receipt
from qwen3moe.contracts.run import covered_by
from tests.claims import altered, checks
from tests.devices import CASES, make, prompt

LENGTHS = (1, 7, 70, 270)
PROMPTS = [prompt(length, seed) for seed, length in enumerate((1, 2, 3, 5, 8, 13, 21, 34, 55, 89))]
DEPTHS = (128, 4096)
TOKENS = 50

Models = tuple[qwen3moe.Model, qwen3moe.Model]  # the CPU's, and the device's


def parity(models: Models) -> list[str]:
    return [finding for n in LENGTHS for finding in checks.parity(*models, prompt(n))]


def invariants(models: Models) -> list[str]:
    model = models[1]
    return [finding for n in LENGTHS for finding in checks.invariants(model.config, model.trace(prompt(n)), n)]


def determinism(models: Models) -> list[str]:
    return checks.determinism(lambda: models[1].forward(prompt(70), "all"))


def every_layer(models: Models) -> list[str]:
    traces = [[model.trace(prompt(n), "post_ffn_residual") for model in models] for n in LENGTHS]
    return [finding for pair in traces for finding in checks.layers(*pair)]


def last_experts(models: Models) -> list[str]:
    last = models[0].config["layers"] - 1
    return checks.last_experts(*(model.trace(prompt(270), "router.ids", [last]) for model in models), last)


def argmax(models: Models) -> list[str]:
    return checks.argmax(*([model.forward(tokens) for tokens in PROMPTS] for model in models))


def preload(models: Models) -> list[str]:
    dense = [t["name"] for t in models[1].tensors() if t["name"].endswith("ffn_gate.weight")]
    return [f"{name} is dense" for name in dense] or checks.invariants(models[1].config, models[1].trace([1, 2, 3]), 3)


ON_THE_SMALL_MODEL: dict[str, Callable[[Models], list[str]]] = {
    "FALSIFY-QW3-MOE-GPU-PARITY-001": parity,
    "FALSIFY-QW3-MOE-GPU-INVARIANTS-001": invariants,
    "FALSIFY-FWD-ROUTER-001": invariants,
    "FALSIFY-QW3-MOE-GPU-DETERMINISM-001": determinism,
    "FALSIFY-QW3-MOE-PER-LAYER-001": every_layer,
    "FALSIFY-QW3-MOE-LAST-LAYER-001": last_experts,
    "FALSIFY-QW3-MOE-ARGMAX-001": argmax,
    "FALSIFY-QW3-MOE-GPU-PRELOAD-001": preload,
}


def every_case(folder: Path, device: str) -> list[str]:
    """Each weight type and shape, stage by stage."""
    findings = []
    for case in CASES:
        path = make(case, folder)
        with qwen3moe.Model.from_gguf(path, "cpu") as cpu, qwen3moe.Model.from_gguf(path, device) as other:
            findings += [f"{case}: {text}" for n in (1, 4, 5, 70) for text in checks.parity(cpu, other, prompt(n))]
    return findings


def eager(folder: Path, device: str) -> list[str]:
    """Float32 weights of several times the memory are refused, with both numbers."""
    altered.sparse_model(folder / "eager.gguf", layers=800, experts=64, width=2048, ff=768)
    try:
        qwen3moe.Model.from_gguf(folder / "eager.gguf", device).close()
    except qwen3moe.OutOfMemoryError as error:
        return [] if "bytes" in str(error) else [str(error)]
    return ["nearly a terabyte of weights were taken"]


def memory_share(device: str) -> float:
    """Of a CUDA device, by the driver's count: all processes, all of it."""
    query = ["nvidia-smi", f"--id={device.partition(':')[2]}", "--query-gpu=memory.used,memory.total"]
    text = subprocess.run([*query, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True).stdout
    used, total = map(float, text.split(","))
    return used / total


def speed_and_memory(folder: Path, device: str, layers: int) -> dict[str, dict[str, Any]]:
    """Decoding with a synthetic model of the 30B's shape, and the memory in use meanwhile."""
    path = folder / f"30b-{layers}.gguf"
    if not path.exists():
        qwen3moe.synth(path, "qwen3-coder-30b-a3b", layers=layers)
    found: dict[str, dict[str, Any]] = {}
    with qwen3moe.Model.from_gguf(path, device) as model, model.session(context=max(DEPTHS) + 200) as session:
        tokens = prompt(max(DEPTHS) + 200, vocab=model.config["vocab"])
        about = {"model": path.name, "layers": layers, "weight_bytes": model.weight_bytes, "generated": TOKENS}
        for depth in DEPTHS:
            session.truncate(0)
            session.eval(tokens[:depth], "none")
            rates = []
            for _ in range(6):
                session.truncate(depth)
                start = time.perf_counter()
                for token in tokens[depth : depth + TOKENS]:
                    session.eval([int(token)])
                rates.append(TOKENS / (time.perf_counter() - start))
            found[f"decode @ {depth}"] = {**about, "depth": depth, "decode_tok_s": rates[1:]}  # the first warms up
        if device.startswith("cuda"):
            found["memory"] = {**about, "memory_share": [memory_share(device)]}
    return found


def attempt(name: str, work: Callable[[], list[str]]) -> bool:
    start = time.perf_counter()
    try:
        findings = work()
    except Exception as error:
        traceback.print_exc()
        findings = [f"{type(error).__name__}: {error}"]
    verdict = "passed" if not findings else f"FAILED: {findings[0]:.150}"
    print(f"{name:40} {time.perf_counter() - start:6.1f} s  {verdict}", flush=True)
    return not findings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--out", required=True, metavar="FILE.json", help="where to write the receipt")
    parser.add_argument("--layers", type=int, default=48, help="of the model that is timed; 0 leaves it out")
    parser.add_argument("--folder", type=Path, help="where models are kept; a temporary one by default")
    options = parser.parse_args()
    device, backend = options.device, options.device.partition(":")[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        small = qwen3moe.synth(folder / "small.gguf")
        with qwen3moe.Model.from_gguf(small, "cpu") as cpu, qwen3moe.Model.from_gguf(small, device) as other:
            outcomes = {name: attempt(name, lambda c=c: c((cpu, other))) for name, c in ON_THE_SMALL_MODEL.items()}
        if backend != "cpu":
            for name, work in (("CASES", every_case), ("EAGER", eager)):
                outcomes[f"FALSIFY-QW3-MOE-GPU-{name}-001"] = attempt(name, lambda w=work: w(folder, device))
        figures = speed_and_memory(folder, device, options.layers) if options.layers else {}
    command = f"python tests/gpu/evidence.py --device {device} --layers {options.layers}"
    covers = [*covered_by(backend), "tests/claims/*.py", "tests/gpu/evidence.py"]

    def write() -> dict[str, Any]:
        about = describe_device(device)
        return write_receipt(
            options.out, command=command, device=about, figures=figures, falsifiers=outcomes, covers=covers
        )

    receipt = write()
    full = any(run.get("weight_bytes", 0) >= checks.FULL_SIZE_BYTES for run in figures.values())
    if backend == "cuda" and full:  # what the receipt says is judged as it stands there
        outcomes["FALSIFY-QW3-MOE-GPU-THROUGHPUT-001"] = attempt("THROUGHPUT", lambda: checks.throughput(receipt))
        outcomes["FALSIFY-QW3-MOE-GPU-MEMORY-001"] = attempt("MEMORY", lambda: checks.memory(receipt))
        write()
    print(f"wrote {options.out}: {sum(outcomes.values())} of {len(outcomes)} passed")
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""One run on a machine with a GPU: bits against the CPU, case by case, then speed. The summary comes last.

python tests/gpu/check.py [--quick] [--device cuda:0] [--case NAME ...] [--layers N] [--no-speed]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2]))

import qwen3moe
from qwen3moe import _core
from tests.devices import CASES, make, prompt, same
from tests.gpu.models import full_shape

QUICK = ["F32", "F16", "Q8_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS", "mixed", "head_dim 128",
         "6 and 3 blocks", "300 experts", "odd Q4_0"]  # fmt: skip


def check_trace(cpu: qwen3moe.Model, other: qwen3moe.Model, length: int) -> str:
    """Empty where every stage has equal bits; else the first that has not, and how far off it is."""
    found = qwen3moe.diff(cpu.trace(prompt(length)), other.trace(prompt(length)))
    return "" if found.equal else str(found.first or "traces are not alike")


def check_logits(cpu: qwen3moe.Model, other: qwen3moe.Model, length: int) -> str:
    """The same of the logits of every position of a prompt."""
    a, b = cpu.forward(prompt(length), "all"), other.forward(prompt(length), "all")
    return "" if same(a, b) else f"logits differ at position {int(np.argmax((a != b).any(axis=1)))}"


def check_decode(cpu: qwen3moe.Model, other: qwen3moe.Model, length: int) -> str:
    """The same of tokens one by one, the way that replays a graph."""
    tokens = prompt(length)
    expected = cpu.forward(tokens, "all")
    with other.session(context=length) as session:
        session.eval(tokens[: length - 20], "none")
        for i in range(length - 20, length):
            if not same(session.eval(tokens[i : i + 1]), expected[i]):
                return f"decoding differs at position {i}"
    return ""


def choices_of(rows: Sequence[npt.NDArray[np.float32]]) -> list[qwen3moe.Choice]:
    """What the host chooses of rows of logits."""
    tokens = [_core.sampling.argmax(row) for row in rows]
    logprobs, _ = _core.sampling.log_probabilities(np.stack(rows), np.array(tokens, np.int32))
    return [qwen3moe.Choice(*choice) for choice in zip(tokens, logprobs.tolist(), strict=True)]


def check_choices(cpu: qwen3moe.Model, other: qwen3moe.Model, length: int) -> str:
    """The same of what the device chooses: of a prompt, of tokens one by one, and of more prompts than it takes rows of
    logits at a time."""
    tokens = prompt(length)
    expected = choices_of(cpu.forward(tokens, "all"))
    with other.session(context=length) as session:
        found = session.choose(tokens[: length - 20])
        for i in range(length - 20, length):
            if found != expected[i - 1]:
                return f"the choice at position {i - 1} is {found}, not {expected[i - 1]}"
            found = session.choose(tokens[i : i + 1])
    prompts = [prompt(1 + seed % 9, seed) for seed in range(70)]
    sessions = [other._core.session(9) for _ in prompts]
    together = [qwen3moe.Choice(*choice) for choice in _core.choose_batch(sessions, prompts)]
    return "" if together == choices_of(cpu.forward_batch(prompts)) else "choices of prompts together differ"


CHECKS: dict[str, Callable[[qwen3moe.Model, qwen3moe.Model], str]] = {
    "trace 1": lambda a, b: check_trace(a, b, 1),
    "trace 4": lambda a, b: check_trace(a, b, 4),
    "trace 70": lambda a, b: check_trace(a, b, 70),
    "logits 600": lambda a, b: check_logits(a, b, 600),
    "decode 266": lambda a, b: check_decode(a, b, 266),
    "choices 266": lambda a, b: check_choices(a, b, 266),
}


def check_case(case: str, folder: Path, device: str) -> dict[str, str]:
    """What each check found; what was raised counts as found."""
    found = {}
    path = make(case, folder)
    with qwen3moe.Model.from_gguf(path, "cpu") as cpu, qwen3moe.Model.from_gguf(path, device) as other:
        for name, run in CHECKS.items():
            try:
                found[name] = run(cpu, other)
            except Exception as error:
                traceback.print_exc()
                found[name] = f"{type(error).__name__}: {error}"
    return found


def seconds(work: Callable[[], object], repetitions: int) -> float:
    samples = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        samples.append(time.perf_counter() - start)
    return median(samples)


def speed(folder: Path, device: str, layers: int, batch: int) -> list[str]:
    """Decode and prefill of the 30B's shape with fewer layers, and what a layer costs."""
    path = full_shape(folder, layers)
    start = time.perf_counter()
    lines = []
    with qwen3moe.Model.from_gguf(path, device, batch=batch) as model, model.session(context=5000) as session:
        gb = model.weight_bytes / 1e9
        lines.append(f"{layers} layers, {gb:.2f} GB, opened in {time.perf_counter() - start:.1f} s")
        vocab = model.config["vocab"]
        tokens = prompt(4400, vocab=vocab)

        def decode(count: int, depth: int) -> None:
            session.truncate(depth)
            for i in range(depth, depth + count):
                session.eval(tokens[i : i + 1])

        def prefill(count: int) -> None:
            session.truncate(0)
            session.eval(tokens[:count])

        for count in (512, 2048):
            prefill(count)
            took = seconds(lambda count=count: prefill(count), 5)
            lines.append(f"prefill {count}: {count / took:8.0f} tok/s, {took * 1e3:.2f} ms, batch {batch}")
        session.truncate(0)
        session.eval(tokens[:4200], "none")
        for depth in (4096, 128):
            decode(20, depth)
            took = seconds(lambda depth=depth: decode(50, depth), 3) / 50
            lines.append(f"decode @{depth}: {1 / took:8.1f} tok/s, {took * 1e6:.0f} us a token")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer cases")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this case; may be repeated")
    parser.add_argument("--layers", type=int, default=4, help="of the model that is timed")
    parser.add_argument("--batch", type=int, default=512, help="rows of a batch, where speed is measured")
    parser.add_argument("--no-speed", action="store_true")
    parser.add_argument("--folder", type=Path, help="where models are kept; a temporary one by default")
    options = parser.parse_args()
    for entry in qwen3moe.backends():
        print(entry["device"], "yes" if entry["available"] else "no", entry["description"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        results: dict[str, dict[str, str]] = {}
        for case in options.case or (QUICK if options.quick else list(CASES)):
            start = time.perf_counter()
            try:
                results[case] = check_case(case, folder, options.device)
            except Exception as error:
                traceback.print_exc()
                results[case] = {"open": f"{type(error).__name__}: {error}"}
            bad = [name for name, found in results[case].items() if found]
            print(
                f"{case:16} {time.perf_counter() - start:6.1f} s  {'equal' if not bad else ', '.join(bad)}", flush=True
            )
        lines = []
        if not options.no_speed:
            try:
                lines = speed(folder, options.device, options.layers, options.batch)
            except Exception as error:
                traceback.print_exc()
                lines = [f"speed: {type(error).__name__}: {error}"]
    failed = {case: found for case, found in results.items() if any(found.values())}
    print("\n--- summary")
    for case, found in failed.items():
        name, what = next((name, what) for name, what in found.items() if what)
        count = sum(map(bool, found.values()))
        print(f"{case:16} {count}/{len(CHECKS)} fail; {name}: {what[:200]}")
    print(f"{len(results) - len(failed)} of {len(results)} cases have equal bits")
    print("\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

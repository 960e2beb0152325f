"""Runs a fuzzer for a while and writes a receipt of what it did.

python -m tests.fuzz.record reader --program build/fuzz/fuzz_gguf --seconds 3600 --out FILE.json
    [--executions 20000000] [--jobs 1] [--corpus FOLDER]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from qwen3moe.contracts.receipts import describe_device, write_receipt
from tests.claims import checks
from tests.fuzz import seeds

# What a run speaks for: the code under the fuzzer and the fuzzer itself. The corpus grows, and makes it only harder.
COVERS = {
    "reader": ["cpp/errors.h", "cpp/gguf/**", "tests/fuzz/fuzz_gguf.cpp"],
    "forward": ["cpp/errors.h", "cpp/gguf/**", "cpp/model/**", "cpp/backend/*", "kernels/cpu/**", "kernels/shared/**",
                "tests/fuzz/*.cpp", "tests/fuzz/*.h"],
}  # fmt: skip
FALSIFIERS = {"reader": "FALSIFY-GGUF-FUZZ-001", "forward": "FALSIFY-GGUF-FUZZ-002"}

PROGRESS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/")
EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def fuzz(program: Path, corpus: Path, options: list[str]) -> dict[str, Any]:
    """Runs libFuzzer over a folder, which it adds to; what it did, by the keys of a receipt."""
    with tempfile.TemporaryDirectory() as findings:
        command = [str(program), f"-artifact_prefix={findings}/", "-print_final_stats=1", *options, str(corpus)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        found = len(list(Path(findings).iterdir()))
    if found or done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
    return {**read_log(done.stderr), "findings": max(found, int(done.returncode != 0))}


def fuzz_together(program: Path, corpus: Path, jobs: int, options: list[str]) -> dict[str, Any]:
    """Several at once, which take from each other what they find."""
    start = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(lambda seed: fuzz(program, corpus, [f"-seed={seed}", *options]), range(1, jobs + 1)))
    figures = {key: (sum if key in ("executions", "findings") else max)(f[key] for f in found) for key in found[0]}
    return {**figures, "jobs": jobs, "seconds": round(time.monotonic() - start, 1)}


def read_log(text: str) -> dict[str, int]:
    """Executions, edges covered, features and files of the corpus, as libFuzzer's last lines have them."""
    edges, features, files = map(int, PROGRESS.findall(text)[-1])
    return {
        "executions": int(EXECUTED.findall(text)[-1]),
        "edges": edges,
        "features": features,
        "corpus_files": files,
    }


def outcome(target: str, figures: Mapping[str, Any]) -> bool:
    return not checks.fuzzing({"figures": {target: figures}})


def words(options: argparse.Namespace) -> list[str]:
    """What was asked for, without the places where it was."""
    asked = [options.target, "--seconds", options.seconds, "--jobs", options.jobs]
    asked += ["--executions", options.executions] if options.executions else []
    return [str(word) for word in asked]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=list(COVERS))
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--out", required=True, metavar="FILE.json", help="where to write the receipt")
    parser.add_argument("--executions", type=int, help="of all jobs together, after which it may end earlier")
    parser.add_argument("--jobs", type=int, default=1, help="fuzzers at once")
    parser.add_argument("--corpus", type=Path, help="a folder to go on with and to keep; by default a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        corpus = options.corpus or Path(temporary)
        seeds.write(options.target, corpus)
        flags = [f"-max_total_time={options.seconds}", f"-max_len={seeds.LARGEST[options.target]}"]
        if options.executions:
            flags.append(f"-runs={-(-options.executions // options.jobs)}")
        figures = fuzz_together(options.program, corpus, options.jobs, flags)
    passed = outcome(options.target, figures)
    write_receipt(
        options.out,
        command=" ".join(["python -m tests.fuzz.record", *words(options)]),
        device=describe_device("cpu"),
        figures={options.target: figures},
        falsifiers={FALSIFIERS[options.target]: passed},
        covers=COVERS[options.target],
    )
    print(f"wrote {options.out}: {figures}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())

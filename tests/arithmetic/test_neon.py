"""The kernels for 64-bit ARM: compiled by a cross compiler, run by an emulator, equal to the portable ones there."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
FLAGS = ["-std=c++20", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra", "-Wshadow", "-Werror"]
VARIANTS = {"portable": "armv8-a", "neon": "armv8.2-a+dotprod"}


@pytest.mark.skipif(not (shutil.which(COMPILER) and shutil.which(EMULATOR)), reason="no tools for ARM are installed")
def test_bits(tmp_path):
    include = [f"-I{ROOT / 'kernels'}", f"-I{ROOT / 'cpp'}"]
    kernels = sorted((ROOT / "kernels" / "cpu").glob("*.cpp"))
    jobs = [
        [COMPILER, *FLAGS, *include, f"-march={march}", f"-DQM_SIMD={name}", "-c", path, "-o", f"{name}-{path.stem}.o"]
        for name, march in VARIANTS.items()
        for path in kernels
    ]
    jobs.append([COMPILER, *FLAGS, *include, "-c", Path(__file__).with_name("variants.cpp"), "-o", "variants.o"])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: subprocess.run(job, check=True, cwd=tmp_path), jobs))
    objects = sorted(path.name for path in tmp_path.glob("*.o"))
    subprocess.run([COMPILER, "-static", *objects, "-o", "variants"], check=True, cwd=tmp_path)
    done = subprocess.run([EMULATOR, "-cpu", "max", "./variants"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.endswith(" equal\n"), done.stdout + done.stderr

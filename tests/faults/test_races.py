"""The thread sanitizer over everything that threads may do with a model at once; the engine is built for it here."""

import os
import subprocess
import sys
from pathlib import Path

import pybind11
import pytest

import qwen3moe
from tests.shapes import TINY

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_no_data_race(tmp_path):
    build = tmp_path / "build"
    # The tools of this environment, which need not be the shell's.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    options = {
        "QWEN3MOE_SANITIZE": "thread",
        "QWEN3MOE_CUDA": "OFF",
        "QWEN3MOE_VULKAN": "OFF",
        "CMAKE_BUILD_TYPE": "RelWithDebInfo",
        "pybind11_DIR": pybind11.get_cmake_dir(),
        "Python_EXECUTABLE": sys.executable,
    }
    defined = [f"-D{name}={value}" for name, value in options.items()]
    configure = ["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", *defined]
    subprocess.run(configure, check=True, capture_output=True, env=environment)
    make = ["cmake", "--build", build, "--target", "races"]
    subprocess.run(make, check=True, capture_output=True, env=environment)
    path = qwen3moe.synth(tmp_path / "m.gguf", "small", **TINY, types="Q4_K_M")
    done = subprocess.run(
        [build / "races", path],
        capture_output=True,
        text=True,
        timeout=1200,
        env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1 second_deadlock_stack=1"},
    )
    assert done.returncode == 0 and done.stdout == "no difference\n", f"{done.stdout}{done.stderr[-6000:]}"

"""The thread sanitizer over everything that threads may do with a model at once; the engine is built for it here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pybind11
import pytest

import qwen3moe
from tests.shapes import TINY

ROOT = Path(__file__).parents[2]
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "QWEN3MOE_CUDA": "OFF",
    "QWEN3MOE_VULKAN": "OFF",
    "pybind11_DIR": pybind11.get_cmake_dir(),
    "Python_EXECUTABLE": sys.executable,
}
# The tools of this environment, which need not be the shell's.
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


class Sanitized:
    """A copy of the sources, and the program that is built of them."""

    def __init__(self, folder):
        self.sources, self.build = folder / "sources", folder / "build"
        for part in ("cpp", "kernels", "tests/faults", "tests/fuzz"):
            shutil.copytree(ROOT / part, self.sources / part)
        shutil.copy(ROOT / "CMakeLists.txt", self.sources)
        defined = [f"-D{name}={value}" for name, value in OPTIONS.items()]
        self.run("cmake", "-S", self.sources, "-B", self.build, "-G", "Ninja", *defined)
        self.model = qwen3moe.synth(folder / "m.gguf", "small", **TINY, types="Q4_K_M")

    def run(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"

    def replace(self, file, old, new):
        """Changes the copy of a source."""
        text = (self.sources / file).read_text()
        assert old in text
        (self.sources / file).write_text(text.replace(old, new))

    def races(self):
        self.run("cmake", "--build", self.build, "--target", "races")
        options = "halt_on_error=1 second_deadlock_stack=1"
        return subprocess.run(
            [self.build / "races", self.model],
            capture_output=True,
            text=True,
            timeout=1200,
            env={**os.environ, "TSAN_OPTIONS": options},
        )


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    return Sanitized(tmp_path_factory.mktemp("sanitized"))


def test_no_data_race(sanitized):
    done = sanitized.races()
    assert done.returncode == 0 and done.stdout == "no difference\n", f"{done.stdout}{done.stderr[-6000:]}"


def test_a_session_that_nobody_locks(sanitized):
    """The planted fault: callers are not told that a session is in use."""
    sanitized.replace("cpp/model/session.cpp", "session_.busy_.exchange(true, std::memory_order_acquire)", "false")
    done = sanitized.races()
    assert done.returncode != 0 and "data race" in done.stderr

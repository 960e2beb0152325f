"""The stubs say what the compiled module has, and the package is typed throughout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def run(tmp_path: Path, *command: str) -> None:
    environment = os.environ | {"MYPY_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=HERE, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_stubs_agree_with_the_compiled_module(tmp_path: Path) -> None:
    run(tmp_path, "mypy.stubtest", "qwen3moe._core", "--allowlist", str(HERE / "stubtest.allow"))


def test_users_see_types(tmp_path: Path) -> None:
    """py.typed is installed, and the public names have types that strict checking accepts."""
    (tmp_path / "use.py").write_text(
        "import numpy as np\n"
        "import qwen3moe\n"
        "def f(path: str) -> float:\n"
        "    with qwen3moe.Model.from_gguf(path) as model, model.session(context=8) as session:\n"
        "        session.eval(np.arange(3))\n"
        "        return qwen3moe.compare(model.forward([1, 2]), model.forward((1, 2))).cosine or 0.0\n"
    )
    run(tmp_path, "mypy", "--strict", "--python-executable", sys.executable, str(tmp_path / "use.py"))

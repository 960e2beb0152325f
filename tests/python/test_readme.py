"""What the README shows does what it says, on the small model in place of the large one."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
COMMANDS = re.findall(r"^    python -m qwen3moe (.*)$", README, re.MULTILINE)


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = "synth logits trace diff run score bench quantize"
    assert {command.split()[0] for command in COMMANDS} == set(expected.split())
    for command in COMMANDS:
        words = shlex.split(command.replace("qwen3-coder-30b-a3b", "small"))
        done = subprocess.run([sys.executable, "-m", "qwen3moe", *words], capture_output=True, text=True, timeout=300)
        assert done.returncode == (1 if words[0] == "diff" else 0), done.stderr
        assert done.stdout and not done.stderr


def test_python(small_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.gguf").symlink_to(small_model_path)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})


def test_the_commands_of_the_first_lines_are_whole() -> None:
    assert len(re.findall(r"^    python3 -m venv .*-m qwen3moe parity$", README, re.MULTILINE)) == 1
    assert len(re.findall(r"^    python3 -m venv .*-m pytest$", README, re.MULTILINE)) == 1

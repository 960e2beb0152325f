"""`import qwen3moe` needs no GPU, no driver and nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import qwen3moe

HEAVY = ("torch", "transformers", "tokenizers", "jinja2", "tqdm", "gguf", "matplotlib", "yaml", "jsonschema")


def run_python(code: str, **env: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bare_environment() -> dict[str, str]:
    """This one, without any way to a driver."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
    nowhere = "/nonexistent"
    return kept | {"VK_DRIVER_FILES": nowhere, "VK_ICD_FILENAMES": nowhere, "CUDA_VISIBLE_DEVICES": ""}


def test_import_without_any_driver() -> None:
    code = "import qwen3moe; print([b['device'] for b in qwen3moe.backends() if b['available']])"
    assert run_python(code, **bare_environment()) == "['cpu']"


@pytest.mark.parametrize("name", HEAVY)
def test_import_loads_nothing_heavy(name: str) -> None:
    assert run_python(f"import sys, qwen3moe; print({name!r} in sys.modules)", **bare_environment()) == "False"


def test_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, qwen3moe.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert run_python(code, **bare_environment()) == "[]"


def test_public_names_exist() -> None:
    assert [name for name in qwen3moe.__all__ if not hasattr(qwen3moe, name)] == []
    assert len(set(qwen3moe.__all__)) == len(qwen3moe.__all__)


def test_logging_is_silent_by_default() -> None:
    code = "import logging, qwen3moe; logging.getLogger('qwen3moe').error('heard')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (qwen3moe.GGUFError, ValueError),
        (qwen3moe.CheckpointError, ValueError),
        (qwen3moe.FileError, OSError),
        (qwen3moe.ArgumentError, ValueError),
        (qwen3moe.ContextFullError, RuntimeError),
        (qwen3moe.OutOfMemoryError, MemoryError),
        (qwen3moe.BackendUnavailableError, RuntimeError),
        (qwen3moe.DeviceError, RuntimeError),
        (qwen3moe.NumericalError, RuntimeError),
        (qwen3moe.SessionError, RuntimeError),
        (qwen3moe.SessionFileError, RuntimeError),
        (qwen3moe.SessionFileError, ValueError),
        (qwen3moe.TokenizerError, ValueError),
        (qwen3moe.TemplateError, ValueError),
    ],
)
def test_errors_are_also_the_builtin_that_a_caller_expects(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, qwen3moe.Qwen3MoeError)
    assert issubclass(error, builtin)

"""Every malformed file is refused: by name, in time, in little memory."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qwen3moe import _core

from . import hostile_model
from .hostile import CASES

LEVELS = ("container", "model")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    found = {}
    for level in LEVELS:
        cases = [case for case in CASES if case.level == level]
        folder = tmp_path_factory.mktemp(level)
        paths = "".join(f"{case.write(folder)}\n" for case in cases)
        process = subprocess.run(
            [sys.executable, "-m", "tests.gguf.refusals", level],
            input=paths,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=300,
        )
        lines = [json.loads(line) for line in process.stdout.splitlines()]
        lines += [["died", f"{process.returncode}: {process.stderr[-2000:]}", 0.0]] * (len(cases) - len(lines))
        found |= dict(zip((case.name for case in cases), lines, strict=True))
    return found


def test_the_cases_are_many_and_distinct():
    assert len({case.name for case in CASES}) == len({str(case.data) for case in CASES}) == len(CASES)
    for level in LEVELS:
        assert sum(case.level == level for case in CASES) >= 100


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_is_refused(case, outcomes):
    kind, message, seconds = outcomes[case.name]
    assert kind == "GGUFError", message
    assert re.search(case.pattern, message), message
    assert len(message) < 1000
    assert seconds < 1


def test_the_model_that_the_cases_break_is_sound(tmp_path):
    """Otherwise the cases would be refused for a fault that all of them share."""
    path = tmp_path / "m.gguf"
    path.write_bytes(hostile_model.model())
    config = _core.Model(str(path)).config
    assert (config["vocab"], config["layers"]) == (hostile_model.VOCAB, hostile_model.LAYERS)
    untied = {"output.weight": None}
    plain = {"qwen3moe.attention.value_length": None, "tokenizer.ggml.tokens": None}
    for changes in ({"tensors": untied}, {"keys": plain}):
        path.write_bytes(hostile_model.model(**changes))
        _core.Model(str(path))

"""Every malformed file is refused: by name, in time, in little memory."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .hostile import CASES

CONTAINER = [case for case in CASES if case.level == "container"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    paths = "".join(f"{case.write(folder)}\n" for case in CONTAINER)
    process = subprocess.run(
        [sys.executable, "-m", "tests.gguf.refusals"],
        input=paths,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    outcomes = [json.loads(line) for line in process.stdout.splitlines()]
    outcomes += [["died", f"{process.returncode}: {process.stderr[-2000:]}", 0.0]] * (len(CONTAINER) - len(outcomes))
    return dict(zip((case.name for case in CONTAINER), outcomes, strict=True))


def test_the_cases_are_many_and_distinct():
    assert len({case.name for case in CASES}) == len(CASES)
    contents = {str(case.data) for case in CONTAINER}
    assert len(contents) == len(CONTAINER) >= 220


@pytest.mark.parametrize("case", CONTAINER, ids=lambda case: case.name)
def test_is_refused(case, outcomes):
    kind, message, seconds = outcomes[case.name]
    assert kind == "GGUFError", message
    assert re.search(case.pattern, message), message
    assert len(message) < 1000
    assert seconds < 1

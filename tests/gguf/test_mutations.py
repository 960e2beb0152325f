"""The corpus of malformed files notices the loss of any one check of the reader: each is taken out in turn."""

import re
import shutil

import pytest

from qwen3moe.contracts.sources import find_tests
from tests.gguf.mutations import (
    CHECKED,
    CHECKS,
    CORPUS,
    ELSEWHERE,
    ROOT,
    Outcome,
    Reader,
    checks,
    parts,
    program,
    source,
    spans,
)

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader(tmp_path_factory.mktemp("reader"), CORPUS, program())


# Refusals that no condition of their own stands before: the two voices, and an unknown value type.
UNCONDITIONAL = {"gguf/cursor": 2, "gguf/file": 2, "gguf/metadata": 1}


@pytest.mark.parametrize("file", CHECKED)
def test_every_check_is_found(file):
    """No refusal is left over, so that a check in another form does not go unnoticed."""
    text = source(file)
    ends = [check.end for check in checks(elsewhere=True) if check.file == file and check.kind == "condition"]
    refusals = [match.start() for match in re.finditer(r"\brefuse\(|return false;", text)]
    alone = [at for at in refusals if not any(end < at and "}" not in text[end:at] for end in ends)]
    assert refusals and len(alone) == UNCONDITIONAL.get(file, 0), [text[at - 40 : at + 40] for at in alone]


def test_what_is_noticed_elsewhere():
    assert set(ELSEWHERE.values()) <= set(find_tests(ROOT))
    assert set(ELSEWHERE) <= {check.code for check in checks(elsewhere=True)}


def test_parts_of_a_condition():
    code = "a == 0 || f(b || c) > 1 || !d"
    assert [code[i:j].strip() for i, j in parts(code)] == ["a == 0", "f(b || c) > 1", "!d"]
    assert parts("a && (b || c)") == []
    assert [kind for *_, kind in spans("!(a > 1 && b)")] == ["condition", "bound", "bound"]


def test_the_reader_itself_misses_nothing(reader):
    assert reader.without() == Outcome([], died=False)


@pytest.mark.parametrize("switch", range(len(CHECKS)), ids=lambda switch: str(CHECKS[switch]))
def test_the_corpus_notices(reader, switch):
    assert reader.without(switch).cases, f"no malformed file needs {CHECKS[switch]}"

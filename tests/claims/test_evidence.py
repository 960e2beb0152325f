"""What receipts say: of speed and memory on GPUs, of how long the fuzzers ran."""

import json
from pathlib import Path

import pytest

from tests.claims import checks

EVIDENCE = Path(__file__).parents[2] / "contracts" / "evidence"
RECEIPTS = [json.loads(path.read_text()) for path in sorted(EVIDENCE.glob("*.json"))]


def about(key):
    """Receipts with a figure of this key."""
    chosen = [r for r in RECEIPTS if any(key in figures for figures in r["figures"].values())]
    return [pytest.param(r, id=f"{r['device']['device']} {r['recorded']}") for r in chosen]


@pytest.mark.parametrize("receipt", about("decode_tok_s"))
def test_throughput(receipt):
    assert checks.throughput(receipt) == []


@pytest.mark.parametrize("receipt", about("memory_share"))
def test_memory(receipt):
    assert checks.memory(receipt) == []


@pytest.mark.parametrize("receipt", about("executions"))
def test_fuzzing(receipt):
    assert checks.fuzzing(receipt) == []

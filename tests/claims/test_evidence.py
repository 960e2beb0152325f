"""What receipts say: of speed and memory on GPUs, of how long the fuzzers ran."""

import json
from pathlib import Path

import pytest

from tests.claims import checks

EVIDENCE = Path(__file__).parents[2] / "contracts" / "evidence"
RECEIPTS = [json.loads(path.read_text()) for path in sorted(EVIDENCE.glob("*.json"))]


def chosen(which):
    return [pytest.param(r, id=f"{r['device']['device']} {r['recorded']}") for r in RECEIPTS if which(r["figures"])]


def about(key):
    """Receipts with a figure of this key."""
    return chosen(lambda figures: any(key in run for run in figures.values()))


def of(run):
    """Receipts of a run of this name."""
    return chosen(lambda figures: run in figures)


@pytest.mark.parametrize("receipt", about("decode_tok_s"))
def test_throughput(receipt):
    assert checks.throughput(receipt) == []


@pytest.mark.parametrize("receipt", about("memory_share"))
def test_memory(receipt):
    assert checks.memory(receipt) == []


@pytest.mark.parametrize("receipt", of("reader"))
def test_fuzzing_the_reader(receipt):
    assert checks.fuzzing(receipt) == []


@pytest.mark.parametrize("receipt", of("forward"))
def test_fuzzing_the_forward_pass(receipt):
    assert checks.fuzzing(receipt) == []

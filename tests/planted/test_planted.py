"""Every falsifier of every contract fails when its subject is broken: a fault is planted for each, here or where the
contract says, and the falsifier's own test must find it.
"""

import inspect
from pathlib import Path

import pytest

from qwen3moe.contracts.load import load
from tests.contracts.test_receipts import checkout  # noqa: F401
from tests.faults.test_allocations import preload  # noqa: F401
from tests.faults.test_interrupts import large_weights  # noqa: F401
from tests.planted import api, arithmetic, forward, gguf, sampling  # noqa: F401
from tests.planted.bench import FAULTS, Bench
from tests.python.test_cli import run  # noqa: F401

FALSIFIERS = load(Path(__file__).parents[2]).falsifiers()
HERE = "tests/planted/test_planted.py::test_the_falsifier_fails"


@pytest.fixture
def bench(request, monkeypatch, tmp_path, model):
    """With the suite's model open before anything is broken."""
    return Bench(request, monkeypatch, tmp_path)


@pytest.mark.parametrize("falsifier", sorted(FAULTS))
def test_the_falsifier_fails(bench, falsifier):
    fault = FAULTS[falsifier]
    steps = fault.plant(bench)
    next(steps)()
    broken = next(steps)
    with pytest.raises(fault.fails):
        broken()


def test_no_falsifier_is_without_a_fault():
    """The contracts and the table here say the same; other places that they name are tests of the suite."""
    here = {name: entry["fault"] for name, entry in FALSIFIERS.items() if entry["shown_by"] == HERE}
    assert here == {name: fault.what for name, fault in FAULTS.items()}


@pytest.mark.parametrize("falsifier", sorted(FAULTS))
def test_it_is_the_falsifiers_own_test_that_runs(falsifier):
    path, name = FALSIFIERS[falsifier]["test"].split("::")
    source = inspect.getsource(FAULTS[falsifier].plant)
    module = "proofs" if path.startswith("tests/proofs/") else Path(path).stem
    assert f"{module}.{name}" in source

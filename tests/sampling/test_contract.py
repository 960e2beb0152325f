"""contracts/sampling-v1.yaml: its form, its links, and its golden vectors."""

import json

import jsonschema
import numpy as np
import pytest

from qwen3moe import _core
from tests.sampling import reference
from tests.sampling.contract import CONTRACT, ROOT, ramp

sampling = _core.sampling
BEFORE = np.array([1, 2, 3], np.int32)


def test_the_form():
    schema = json.loads((ROOT / "contracts" / "schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(CONTRACT)


def test_obligations_and_tests_are_bound_to_each_other():
    tests = [t["id"] for t in CONTRACT["falsification_tests"]]
    used = {t for o in CONTRACT["proof_obligations"] for t in o["falsified_by"]}
    assert set(tests) == used and len(set(tests)) == len(tests)
    for test in CONTRACT["falsification_tests"]:
        path, name = test["test"].split("::")
        assert f"\ndef {name}(" in (ROOT / path).read_text()
    assert all((ROOT / path).exists() for stage in CONTRACT["implementation_stages"] for path in stage["paths"])


def test_vectors():
    rows = np.array(list(CONTRACT["log_vectors"].items()), np.uint32)
    assert len(rows) >= 16
    np.testing.assert_array_equal(sampling.log(rows[:, 0].copy()), rows[:, 1])
    np.testing.assert_array_equal(reference.log(rows[:, 0].view(np.float32)).view(np.uint32), rows[:, 1])
    for counter, key, result in CONTRACT["philox_vectors"].values():
        assert sampling.philox(counter, key) == result == list(reference.philox(counter, key))


@pytest.mark.parametrize("name", CONTRACT["choice_vectors"])
def test_choices(name):
    vector = CONTRACT["choice_vectors"][name]
    logits = ramp(vector["n"])
    tokens = [
        sampling.choose(logits, BEFORE, seed=vector["seed"], position=position, **vector["options"])
        for position in vector["positions"]
    ]
    assert tokens == vector["tokens"]
    target = np.array(tokens[:1], np.int32)
    found = sampling.log_probabilities(logits[None], target)[0]
    assert found.view(np.uint32)[0] == vector["log_probability_of_the_first"]

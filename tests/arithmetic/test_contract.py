"""contracts/arithmetic-v1.yaml: its form, its links, and its golden vectors on every instruction set."""

import copy
import json

import jsonschema
import numpy as np
import pytest

from qwen3moe import _core
from tests.arithmetic import formats, reference
from tests.arithmetic.contract import CONTRACT, FUNCTIONS, ROOT

arithmetic = _core.arithmetic
SIMD = arithmetic.simd()
SCHEMA = json.loads((ROOT / "contracts" / "schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


# ---- form


def test_the_form():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(CONTRACT)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c.update(status="ACTIVE_RUNTIME"),
        lambda c: c.update(id="Arithmetic"),
        lambda c: c.pop("amendments"),
        lambda c: c["proof_obligations"][0].update(falsified_by=[]),
        lambda c: c["falsification_tests"][0].update(test="by hand"),
        lambda c: c["functions"][0]["accuracy"].update(bound=0),
        lambda c: c.update(appendix={}),
    ],
)
def test_a_spoilt_contract_is_refused(spoil):
    contract = copy.deepcopy(CONTRACT)
    spoil(contract)
    assert not VALIDATOR.is_valid(contract)


def test_obligations_and_tests_are_bound_to_each_other():
    tests = {t["id"] for t in CONTRACT["falsification_tests"]}
    used = {t for o in CONTRACT["proof_obligations"] for t in o["falsified_by"]}
    assert tests == used and len(tests) == len(CONTRACT["falsification_tests"])


@pytest.mark.parametrize("test", [t["test"] for t in CONTRACT["falsification_tests"]])
def test_every_falsification_test_exists(test):
    path, name = test.split("::")
    assert f"\ndef {name}(" in (ROOT / path).read_text()


def test_every_path_exists():
    paths = [h["path"] for h in CONTRACT["proof_harnesses"]]
    paths += [p for stage in CONTRACT["implementation_stages"] for p in stage["paths"]]
    assert all((ROOT / path).exists() for path in paths)


# ---- what it says of the code


def test_the_functions_are_those_of_the_code():
    assert {name: len(f["arguments"]) for name, f in FUNCTIONS.items()} == dict(arithmetic.functions())


def test_the_hash_of_the_selftest():
    assert CONTRACT["selftest"]["hash"] == arithmetic.selftest("cpu")["expected"]


def test_the_formats():
    for name, f in CONTRACT["formats"].items():
        ours = formats.FORMATS[name]
        assert (f["block"], f["bytes"], f["minima"]) == (ours.block, ours.bytes, len(ours.halves) == 2)
        assert tuple(f["most"]) == ours.extremes
        assert f["block"] * f["most"][0] * f["most"][1] * 128 < 2**31


# ---- vectors


@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_vectors(name, simd):
    rows = np.array(CONTRACT["vectors"][name], np.uint32)
    assert len(rows) >= 16
    np.testing.assert_array_equal(arithmetic.call(name, rows[:, :-1], simd), rows[:, -1])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vectors_by_the_reference(name):
    rows = np.array(CONTRACT["vectors"][name], np.uint32)
    np.testing.assert_array_equal(reference.call(name, rows[:, :-1]), rows[:, -1])


def ramp(n, exponent):
    return np.ldexp(np.arange(n) * 73 % 257 - 128.0, exponent).astype(np.float32)


@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("case", CONTRACT["x16_vectors"])
def test_x16_vectors(case, simd):
    vector = CONTRACT["x16_vectors"][case]
    x = ramp(vector["input"]["n"], vector["input"]["exponent"])
    for i, bits in vector["input"]["replaced"].items():
        x.view(np.uint32)[i] = bits
    values, scales, _ = arithmetic.quantise(x, simd)
    assert reference.canonical(scales)[0] == vector["scale"]
    assert values[:4].tolist() == vector["first"]
    assert reference.fold(np.arange(256), values.astype(np.int32).view(np.uint32)) == vector["hash"]


@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("name", formats.TYPES)
def test_weight_vectors(name, simd):
    vector = CONTRACT["weight_vectors"][name]
    data = bytes.fromhex(vector["block"])
    columns = formats.FORMATS[name].block if name in formats.FORMATS else 32
    dot = arithmetic.dot(name, data, 1, columns, ramp(columns, -3)[None], simd)
    assert reference.bits(dot)[0, 0] == vector["dot"]
    weights = arithmetic.dequantise(name, data, columns, simd)[0]
    assert reference.fold(np.arange(columns), reference.canonical(weights)) == vector["weights"]


@pytest.mark.parametrize("simd", SIMD)
@pytest.mark.parametrize("n", CONTRACT["dot256_vectors"])
def test_dot256_vectors(n, simd):
    w = reference.floats(np.uint32(0x3F800000) + (reference.mix(np.arange(n, dtype=np.uint32)) >> 9)) - np.float32(1.5)
    dot = arithmetic.dot("F32", w.view(np.uint8), 1, n, ramp(n, -3)[None], simd)
    assert reference.bits(dot)[0, 0] == CONTRACT["dot256_vectors"][n]

"""`diff` names the first stage, layer and element that differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import qwen3moe
from qwen3moe import diff, load_trace, save_trace

Arrays = dict[str, np.ndarray]


@pytest.fixture
def trace() -> Arrays:
    """Two layers, three positions; in no order."""
    random = np.random.default_rng(1)
    arrays: Arrays = {"logits": random.standard_normal((3, 8), dtype=np.float32)}
    for layer in (1, 0):
        arrays[f"layers.{layer}.q"] = random.standard_normal((3, 4), dtype=np.float32)
        arrays[f"layers.{layer}.moe_router.ids"] = random.integers(0, 4, (3, 2), dtype=np.int32)
        arrays[f"layers.{layer}.attn_norm"] = random.standard_normal((3, 4), dtype=np.float32)
    arrays["embed"] = random.standard_normal((3, 4), dtype=np.float32)
    return arrays


def copied(trace: Arrays) -> Arrays:
    return {key: array.copy() for key, array in trace.items()}


def bump(array: np.ndarray, index: tuple[int, ...]) -> None:
    """One ULP up."""
    array[index] = np.nextafter(array[index], np.float32(np.inf), dtype=np.float32)


def test_equal_traces(trace: Arrays) -> None:
    found = diff(trace, copied(trace))
    assert found.equal
    assert found.first is None
    assert [array.key for array in found.arrays] == [
        *("embed", "layers.0.attn_norm", "layers.0.q", "layers.0.moe_router.ids"),
        *("layers.1.attn_norm", "layers.1.q", "layers.1.moe_router.ids", "logits"),
    ]
    assert "no element differs" in str(found)


def test_the_first_in_forward_order_is_named(trace: Arrays) -> None:
    other = copied(trace)
    other["logits"] += 1
    bump(other["layers.1.attn_norm"], (0, 0))
    bump(other["layers.0.q"], (1, 2))
    bump(other["layers.0.q"], (2, 0))
    first = diff(trace, other).first
    assert first is not None
    assert (first.key, first.layer, first.stage) == ("layers.0.q", 0, "q")
    assert first.index == (1, 2)
    assert first.ulp == 1
    assert first.a == trace["layers.0.q"][1, 2] and first.b == other["layers.0.q"][1, 2]
    assert first.cosine == pytest.approx(1, abs=1e-6)
    text = str(diff(trace, other))
    assert "first difference: q of layer 0, element [1, 2]" in text and "1 ULP" in text


def test_integers_differ_without_ulp(trace: Arrays) -> None:
    other = copied(trace)
    other["layers.1.moe_router.ids"][2, 1] ^= 1
    first = diff(trace, other).first
    assert first is not None
    assert (first.key, first.index, first.ulp) == ("layers.1.moe_router.ids", (2, 1), None)
    assert {first.a, first.b} == {trace[first.key][2, 1], other[first.key][2, 1]}


@pytest.mark.parametrize(("value", "same"), [(-0.0, False), (np.nan, False), (0.0, True)])
def test_bits_decide(trace: Arrays, value: float, same: bool) -> None:
    trace["embed"][0, 0] = 0.0
    other = copied(trace)
    other["embed"][0, 0] = value
    assert diff(trace, other).equal is same


def test_equal_nans_are_equal(trace: Arrays) -> None:
    trace["embed"][0, 0] = np.nan
    assert diff(trace, copied(trace)).equal


def test_arrays_of_one_side_are_reported(trace: Arrays) -> None:
    other = copied(trace)
    del other["embed"]
    other["layers.1.expert.up"] = other["layers.1.q"]
    found = diff(trace, other)
    assert (found.only_in_a, found.only_in_b, found.first) == (["embed"], ["layers.1.expert.up"], None)
    assert not found.equal
    assert "only in the first: embed" in str(found)
    assert "no element differs in what could be compared" in str(found)


def test_other_shapes_and_types_are_reported(trace: Arrays) -> None:
    other = copied(trace)
    other["embed"] = other["embed"][:2]
    other["logits"] = other["logits"].astype(np.float64)
    found = diff(trace, other)
    assert not found.equal
    assert {array.key: array.mismatch for array in found.arrays if array.mismatch} == {
        "embed": "float32 [3, 4] against float32 [2, 4]",
        "logits": "float32 [3, 8] against float64 [3, 8]",
    }


def test_stored_traces_know_positions_and_tokens(trace: Arrays, tmp_path: Path) -> None:
    other = copied(trace)
    bump(other["embed"], (1, 3))
    save_trace(tmp_path / "a.npz", trace, range(10), [2, 5, 9])
    save_trace(tmp_path / "b.npz", other, range(10), [2, 5, 9])
    save_trace(tmp_path / "c.npz", trace, range(1, 11), [2, 5, 9])
    a, b, c = (load_trace(tmp_path / f"{name}.npz") for name in "abc")
    first = diff(a, b).first
    assert first is not None and (first.index, first.position) == ((1, 3), 5)
    assert diff(a, b).same_tokens is True
    assert diff(a, c).same_tokens is False and not diff(a, c).equal
    assert "different tokens" in str(diff(a, c))


def test_the_summary_has_a_row_per_stage(trace: Arrays) -> None:
    other = copied(trace)
    other["layers.1.q"] *= 2
    row = next(line for line in str(diff(trace, other)).splitlines() if line.startswith("| q "))
    assert [cell.strip() for cell in row.strip("|").split("|")][:4] == ["q", "1/2", "1", "12/24"]


def test_a_real_trace_with_one_bit_turned(model: qwen3moe.Model) -> None:
    trace = model.trace([1, 2, 3])
    other = copied(trace)
    key = "layers.1.moe_router.weights"
    other[key].view(np.uint32)[2, 1] ^= 1
    first = diff(trace, other).first
    assert first is not None
    assert (first.layer, first.stage, first.index, first.ulp) == (1, "moe_router.weights", (2, 1), 1)
    assert diff(trace, model.trace([1, 2, 3])).equal

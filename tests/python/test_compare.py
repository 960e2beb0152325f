"""`compare` on logits and on traces."""

from __future__ import annotations

import numpy as np
import pytest

import qwen3moe
from qwen3moe import ArgumentError, compare


def test_equal_logits() -> None:
    a = np.random.default_rng(0).standard_normal((4, 32), dtype=np.float32)
    found = compare(a, a.copy())
    assert found.equal_bits
    assert (found.cosine, found.max_abs, found.max_ulp, found.argmax_agreement) == (1.0, 0.0, 0, 1.0)
    assert (found.argmax_differs, found.router_agreement, found.first_divergence) == ([], None, None)


def test_figures_of_unequal_logits() -> None:
    a = np.array([[1, 2, 3], [3, 2, 1]], dtype=np.float32)
    b = np.array([[1, 2, 3], [3, 2, 3.5]], dtype=np.float32)
    found = compare(a, b)
    assert not found.equal_bits
    assert found.max_abs == 2.5
    assert found.max_ulp == int(np.float32(3.5).view(np.int32)) - int(np.float32(1).view(np.int32))
    assert found.argmax_agreement == 0.5 and found.argmax_differs == [1]
    flat = a.astype(float).ravel(), b.astype(float).ravel()
    assert found.cosine == pytest.approx(flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1]))


def test_one_row() -> None:
    found = compare(np.float32([1, 2]), np.float32([2, 1]))
    assert found.argmax_agreement == 0 and found.argmax_differs == [0]


def test_negative_zero_is_another_number() -> None:
    assert not compare(np.float32([0.0, 1]), np.float32([-0.0, 1])).equal_bits


def test_nan() -> None:
    assert compare(np.float32([np.nan, 1]), np.float32([np.nan, 1])).equal_bits
    found = compare(np.float32([np.nan, 1]), np.float32([0, 1]))
    assert not found.equal_bits and found.max_ulp == 2**32 and found.cosine is None


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (np.zeros(3), np.zeros(4), r"\(3,\) and \(4,\)"),
        (np.zeros((1, 3)), np.zeros(3), r"\(1, 3\) and \(3,\)"),
        (np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), r"expected \[vocab\]"),
        (np.float32(1), np.float32(1), r"expected \[vocab\]"),
        (np.zeros(0), np.zeros(0), r"expected \[vocab\]"),
        ({"logits": np.zeros(3)}, np.zeros(3), "one side is a trace"),
        ({"embed": np.zeros((1, 3))}, {"logits": np.zeros((1, 3))}, "no array in common"),
    ],
)
def test_refusals(a: object, b: object, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        compare(a, b)  # type: ignore[arg-type]


def test_router_sets_have_no_order() -> None:
    a = {"layers.0.moe_router.ids": np.int32([[1, 2], [3, 4]]), "layers.1.moe_router.ids": np.int32([[1, 2], [3, 4]])}
    b = {"layers.0.moe_router.ids": np.int32([[2, 1], [3, 4]]), "layers.1.moe_router.ids": np.int32([[1, 2], [3, 5]])}
    found = compare(a, b)
    assert found.router_agreement == 0.75
    assert found.router_differs == [(1, 1)]
    assert not found.equal_bits
    assert found.cosine is None
    assert found.first_divergence is not None and found.first_divergence.layer == 0


def test_traces_of_a_model(model: qwen3moe.Model) -> None:
    a, b = model.trace([1, 2, 3]), model.trace([1, 2, 4])
    same = compare(a, model.trace([1, 2, 3]))
    assert same.equal_bits and same.router_agreement == 1 and same.first_divergence is None
    other = compare(a, b)
    assert not other.equal_bits
    assert other.first_divergence is not None and other.first_divergence.stage == "embed"
    assert other.first_divergence.index[0] == 2, "positions before the other token are the same bits"


def test_words_and_dictionary() -> None:
    a = {"layers.0.moe_router.ids": np.int32([[1, 2]]), "logits": np.float32([[1, 2, 3]])}
    b = {"layers.0.moe_router.ids": np.int32([[1, 3]]), "logits": np.float32([[1, 2, 4]])}
    text = str(compare(a, b))
    assert "different bits" in text and "cosine 0.9" in text and "router sets agree in 0.00%" in text
    assert "first difference: moe_router.ids of layer 0" in text
    found = compare(a, b).to_dict()
    assert found["router_differs"] == [(0, 0)] and found["first_divergence"]["key"] == "layers.0.moe_router.ids"

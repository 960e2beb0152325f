"""Names, groups and globs of stages; layers and positions; the order of trace keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qwen3moe
from qwen3moe import ArgumentError
from qwen3moe.indices import select_indices
from qwen3moe.stages import AFTER_LAYERS, BEFORE_LAYERS, TraceKey, forward_order, select_stages

ROUTER = ["moe_router.logits", "moe_router.probabilities", "moe_router.ids", "moe_router.weights"]
EXPERT = ["expert.gate", "expert.up", "expert.swiglu", "expert.out"]


def test_the_stages_that_users_know() -> None:
    assert qwen3moe.stages() == [
        *("embed", "attn_norm", "q", "k", "v", "q_rope", "k_rope", "attn_out", "post_attn_residual", "ffn_norm"),
        *ROUTER,
        *EXPERT,
        *("moe_ffn_out", "post_ffn_residual", "final_norm", "logits"),
    ]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("moe_router", ROUTER),
        ("router", ROUTER),
        ("router.*", ROUTER),
        ("moe_router.*", ROUTER),
        ("expert", EXPERT),
        ("router.ids", ["moe_router.ids"]),
        ("ffn_out", ["moe_ffn_out"]),
        ("q", ["q"]),
        ("q*", ["q", "q_rope"]),
        ("[qk]_rope", ["q_rope", "k_rope"]),
        ("logits", ["logits"]),
        ("*logits", ["moe_router.logits", "logits"]),
        ("logits, embed", ["embed", "logits"]),
        (["logits", "q", "logits"], ["q", "logits"]),
        (("post_*",), ["post_attn_residual", "post_ffn_residual"]),
    ],
)
def test_patterns(patterns: Any, expected: list[str]) -> None:
    assert select_stages(patterns) == expected


def test_star_is_every_stage() -> None:
    assert select_stages("*") == qwen3moe.stages()


@pytest.mark.parametrize("patterns", ["nothing", "router.nothing", "q,nothing", "", "q,", [], ["Q"]])
def test_a_pattern_without_a_stage_is_refused_with_the_list(patterns: Any) -> None:
    with pytest.raises(ArgumentError, match=r"embed, .*moe_router\.ids, .*logits"):
        select_stages(patterns)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, [0, 1, 2, 3]),
        (2, [2]),
        (-1, [3]),
        (np.int64(1), [1]),
        (range(1, 3), [1, 2]),
        ([3, 0, 3], [0, 3]),
        ([-1, 3], [3]),
        (np.array([1, 2]), [1, 2]),
        ([], []),
    ],
)
def test_indices(wanted: Any, expected: list[int]) -> None:
    assert select_indices(wanted, 4, "layer") == expected


@pytest.mark.parametrize(
    ("wanted", "words"), [(4, "layer 4"), (-5, "layer -5"), ([0, 1.5], "layer is 1.5"), ("12", "layer is '1'")]
)
def test_indices_out_of_range(wanted: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        select_indices(wanted, 4, "layer")


def test_trace_keys() -> None:
    assert TraceKey.parse("layers.12.moe_router.ids") == (12, "moe_router.ids")
    assert TraceKey.parse("embed") == (None, "embed")
    assert TraceKey.parse("layers.x.q") == (None, "layers.x.q")


def test_forward_order() -> None:
    layered = [stage for stage in qwen3moe.stages() if stage not in BEFORE_LAYERS + AFTER_LAYERS]
    order = ["embed", *(f"layers.{i}.{s}" for i in (2, 10) for s in [*layered, "another"]), "final_norm", "logits"]
    assert forward_order(sorted(order)) == order
    assert forward_order(reversed(order)) == order

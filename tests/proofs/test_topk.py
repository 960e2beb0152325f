"""The choice of experts, by trying every order: distinct, in range, sorted, the lower index first among equals."""

import itertools

import numpy as np
import pytest

import qwen3moe
from tests.claims import altered

pytestmark = pytest.mark.proofs
EXPERTS = 5


def weak_orders(n):
    """Every way to rank n things with ties, as n levels: 0 is the lowest, and no level between is empty."""
    for levels in itertools.product(range(n), repeat=n):
        if set(levels) == set(range(max(levels) + 1)):
            yield levels


ORDERS = list(weak_orders(EXPERTS))


WIDTH = 1024  # a channel for each order


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A model whose attention adds nothing: token i is the i-th channel alone, which the router reads."""
    path = qwen3moe.synth(
        tmp_path_factory.mktemp("topk") / "m.gguf",
        types="F32", layers=1, hidden=WIDTH, heads=1, kv_heads=1, head_dim=64, experts=EXPERTS, experts_used=EXPERTS,
        ff=32, vocab=WIDTH,
    )  # fmt: skip
    altered.rows(path, "blk.0.attn_output.weight")[:] = 0
    altered.rows(path, "blk.0.ffn_norm.weight").view(np.float32)[:] = 1
    altered.rows(path, "token_embd.weight").view(np.float32)[:] = np.eye(WIDTH, dtype=np.float32)
    levels = np.zeros((EXPERTS, WIDTH), np.float32)
    levels[:, : len(ORDERS)] = np.array(ORDERS).T / 64  # the norm multiplies by 32
    altered.rows(path, "blk.0.ffn_gate_inp.weight").view(np.float32)[:] = levels
    return path


def test_every_order_of_five_experts(path):
    assert len(ORDERS) == 541
    with qwen3moe.Model.from_gguf(path, "cpu") as model:
        trace = model.trace(range(len(ORDERS)), "router")
    ids, probabilities = trace["layers.0.moe_router.ids"], trace["layers.0.moe_router.probabilities"]
    for row, levels in enumerate(ORDERS):
        expected = sorted(range(EXPERTS), key=lambda e: (-levels[e], e))
        assert ids[row].tolist() == expected, levels
        ranked = probabilities[row][ids[row]].tolist()
        assert all(a >= b for a, b in itertools.pairwise(ranked))
        equal = [levels[a] == levels[b] for a, b in itertools.pairwise(expected)]
        assert [a == b for a, b in itertools.pairwise(ranked)] == equal, levels

"""The routers' code, as an independent dequantiser reads it, in every type that can carry it."""

import numpy as np
import pytest

from qwen3moe import _core
from qwen3moe.synth import synth
from tests.shapes import PLAIN, TINY

from .models import tensors, values

EXPERTS, USED = 48, 6  # more than a block of 32 holds
SHAPE = TINY | dict(layers=3, experts=EXPERTS, experts_used=USED, vocab=640)


@pytest.fixture(scope="module", params=PLAIN)
def model(request, tmp_path_factory):
    path = synth(tmp_path_factory.mktemp("model") / "m.gguf", types=request.param, **SHAPE)
    plan = {tensor["name"]: tensor["deviation"] for tensor in _core.synth_tensors("small", SHAPE, request.param)}
    return {name: values(tensor) for name, tensor in tensors(path).items()}, plan


def test_each_token_raises_the_channels_of_its_experts(model):
    weights, plan = model
    code = weights["token_embd.weight"][:, :EXPERTS] / plan["token_embd.weight"]
    raised = code > 0.7
    assert (raised.sum(axis=1) == USED).all()
    assert abs(code[~raised]).max() < 0.6
    assert raised.any(axis=0).all(), "every expert is some token's"
    assert len(np.unique(raised, axis=0)) > SHAPE["vocab"] / 4, "tokens differ in their experts"


def test_no_layer_writes_to_the_code(model):
    weights, _ = model
    for layer in range(SHAPE["layers"]):
        assert not weights[f"blk.{layer}.attn_output.weight"][:EXPERTS].any()
        assert not weights[f"blk.{layer}.ffn_down_exps.weight"][:, :EXPERTS].any()
        assert weights[f"blk.{layer}.attn_output.weight"][EXPERTS:].any(axis=1).all()


def test_each_router_row_reads_one_channel(model):
    weights, plan = model
    orders = []
    for layer in range(SHAPE["layers"]):
        name = f"blk.{layer}.ffn_gate_inp.weight"
        large = weights[name] > 8 * plan[name]
        assert (large.sum(axis=1) == 1).all()
        orders.append(large.argmax(axis=1))
        assert sorted(orders[-1]) == list(range(EXPERTS))
    assert len({tuple(order) for order in orders}) == len(orders), "layers differ"


def test_norms_leave_the_code_in_its_scale(model):
    weights, _ = model
    for name, norm in weights.items():
        if name.endswith(("attn_norm.weight", "ffn_norm.weight")):
            assert norm[:EXPERTS].max() < 2


@pytest.mark.parametrize("shape", [dict(experts_used=4, experts=4), dict(experts=200, hidden=256)])
def test_no_code_where_there_is_no_choice_or_no_room(tmp_path, shape):
    found = tensors(synth(tmp_path / "m.gguf", types="Q8_0", **TINY | shape))
    assert values(found["blk.0.attn_output.weight"]).any(axis=1).all()

"""Tracing: the logits stay the same bits, the stages are what their names say."""

import numpy as np
import pytest

import qwen3moe
from qwen3moe import _core

TOKENS = [int(t) for t in np.random.default_rng(4).integers(0, 256, 70)]


def bits(a):
    return np.ascontiguousarray(a).view(np.uint32)


def test_traced_logits_are_the_untraced_bits(model):
    trace = model.trace(TOKENS)
    assert np.array_equal(bits(trace["logits"]), bits(model.forward(TOKENS, positions="all")))


def test_every_stage_of_every_layer_is_there(model):
    trace = model.trace(TOKENS)
    c = model.config
    outside = {"embed", "final_norm", "logits"}
    names = {s for s in _core.stages() if s in outside}
    names |= {f"layers.{i}.{s}" for i in range(c["layers"]) for s in _core.stages() if s not in outside}
    assert names <= set(trace)
    assert trace["layers.0.expert.gate"].shape == (len(TOKENS), c["experts_used"], c["ff"])
    assert trace["layers.0.moe_router.ids"].dtype == np.int32


def test_what_steps_make_of_each_other(model):
    t = model.trace(TOKENS)
    for i in range(model.config["layers"]):
        at = f"layers.{i}."
        before = t["embed"] if i == 0 else t[f"layers.{i - 1}.post_ffn_residual"]
        assert not np.array_equal(before, t[at + "post_attn_residual"])
        total = t[at + "post_attn_residual"] + t[at + "moe_ffn_out"]
        assert np.array_equal(bits(total), bits(t[at + "post_ffn_residual"]))
        weights = t[at + "moe_router.weights"]
        assert np.abs(weights.astype(np.float64).sum(1) - 1).max() <= 1e-6
        assert (np.diff(weights, axis=1) <= 0).all(), "experts stand in rank order"
        chosen = np.take_along_axis(t[at + "moe_router.probabilities"], t[at + "moe_router.ids"].astype(int), axis=1)
        assert (
            chosen[:, -1:] >= np.sort(t[at + "moe_router.probabilities"], axis=1)[:, ::-1][:, [chosen.shape[1]]]
        ).all()
        mixed = weights[:, :1] * t[at + "expert.out"][:, 0]
        for r in range(1, weights.shape[1]):
            mixed = mixed + weights[:, r : r + 1] * t[at + "expert.out"][:, r]
        assert np.array_equal(bits(mixed), bits(t[at + "moe_ffn_out"]))


def test_filters(model):
    full = model.trace(TOKENS)
    some = model.trace(TOKENS, stages="router.*", layers=[1, 3], positions=[0, 69])
    stages = {k for k in some if k.startswith("layers.")}
    assert stages == {
        f"layers.{i}.moe_router.{s}" for i in (1, 3) for s in ("logits", "probabilities", "ids", "weights")
    }
    for name in stages:
        assert np.array_equal(some[name], full[name][[0, 69]])
    with pytest.raises(qwen3moe.ArgumentError, match="layer 99"):
        model.trace(TOKENS, layers=[99])
    with pytest.raises(qwen3moe.ArgumentError, match="nonsense"):
        model.trace(TOKENS, stages="nonsense")
    with pytest.raises(qwen3moe.ArgumentError, match="position 70"):
        model.trace(TOKENS, positions=[70])


def test_the_production_plan_has_no_captures(model):
    before = model.plan()
    model.trace(TOKENS)
    assert model.plan() == before
    assert not any("capture" in line for line in before)
    assert len(before) == 1 + 12 * model.config["layers"] + 3

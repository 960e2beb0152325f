"""contracts/trace-moe-gpu-sub-stages-v1.yaml, on every device that is here."""

import shutil
import threading

import numpy as np
import pytest

import qwen3moe
from tests.claims import altered, checks
from tests.devices import prompt, same

ROUTER = ["moe_router.logits", "moe_router.probabilities", "moe_router.ids", "moe_router.weights"]
EXPERT = ["expert.gate", "expert.up", "expert.swiglu", "expert.out"]
LAYER = 2
TOKENS = prompt(40)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("moe_router", ROUTER),
        ("router", ROUTER),
        ("moe_router.*", ROUTER),
        ("moe_ffn_out", ["moe_ffn_out"]),
        ("expert", EXPERT),
        ("expert.gate", ["expert.gate"]),
        (["expert.out", "expert.up"], ["expert.up", "expert.out"]),
        ("expert.swiglu, moe_ffn_out", ["expert.swiglu", "moe_ffn_out"]),
        ("expert.[gu]*", ["expert.gate", "expert.up"]),
    ],
    ids=str,
)
def test_stages_are_understood(subject, asked, expected):
    trace = subject.trace(TOKENS, asked, [LAYER])
    assert list(trace) == [f"layers.{LAYER}.{name}" for name in expected]
    shapes = checks.shapes(subject.config, len(TOKENS))
    assert all(trace[key].shape == shapes[key] for key in trace)


@pytest.mark.parametrize("asked", ["moe", "expert.down", "experts", "layers.0.expert.gate", "", "expert,nothing"])
def test_what_is_no_stage_is_refused(subject, asked):
    with pytest.raises(qwen3moe.ArgumentError, match=r"no stage.*moe_router\.logits"):
        subject.trace(TOKENS, asked)


def test_stages_come_in_forward_order(subject):
    assert checks.order(qwen3moe.stages(), subject.trace(TOKENS), subject.config) == []


def test_the_production_path_is_untouched(subject):
    plan, expected = subject.plan(), subject.forward(TOKENS, "all")
    assert checks.plan(plan) == []
    beside = []
    thread = threading.Thread(target=lambda: beside.extend(subject.forward(TOKENS, "all") for _ in range(5)))
    thread.start()
    traces = [subject.trace(TOKENS) for _ in range(5)]
    thread.join()
    assert subject.plan() == plan
    assert len(beside) == 5
    for logits in (*beside, *(trace["logits"] for trace in traces), subject.forward(TOKENS, "all")):
        assert same(logits, expected)


def alter(path, stage):
    """Changes the file so that a stage of one layer is the first to differ; False where no weight does that."""
    block = f"blk.{LAYER}."
    if stage == "moe_router.weights":
        altered.add_flag(path, "qwen3moe.expert_weights_norm", False)
    elif stage == "moe_router.logits":
        altered.swap(path, f"{block}ffn_gate_inp.weight", 1, 2)
    elif stage in ("expert.gate", "expert.up", "expert.out"):
        part = {"expert.gate": "gate", "expert.up": "up", "expert.out": "down"}[stage]
        for a in range(0, 16, 2):
            altered.swap_experts(path, f"{block}ffn_{part}_exps.weight", a, a + 1)
    else:
        return False
    return True


@pytest.mark.parametrize("stage", [*ROUTER, *EXPERT, "moe_ffn_out"])
def test_diff_names_the_first_stage(reference, subject, small_model_path, tmp_path, stage):
    path = altered.copy(small_model_path, tmp_path)
    if alter(path, stage):
        with qwen3moe.Model.from_gguf(path, subject.device) as other:
            trace = other.trace(TOKENS)
    else:  # no weight of its own: the fault is a bit of the stage, and of all that comes later
        trace = {key: values.copy() for key, values in subject.trace(TOKENS).items()}
        keys = list(trace)
        for key in keys[keys.index(f"layers.{LAYER}.{stage}") :]:
            trace[key].view(np.uint32).flat[3] ^= 1
    found = qwen3moe.diff(reference.trace(TOKENS), trace)
    assert found.first is not None
    layer = 0 if stage == "moe_router.weights" else LAYER  # the flag is the whole model's
    assert (found.first.layer, found.first.stage) == (layer, stage)
    assert str(found.first).startswith(f"first difference: {stage} of layer {layer}, element [")


def test_a_traced_file_survives_the_disk(subject, tmp_path):
    trace = subject.trace(TOKENS, "expert,router,moe_ffn_out")
    qwen3moe.save_trace(tmp_path / "a.npz", trace, TOKENS)
    shutil.copy(tmp_path / "a.npz", tmp_path / "b.npz")
    assert qwen3moe.diff(qwen3moe.load_trace(tmp_path / "a.npz"), qwen3moe.load_trace(tmp_path / "b.npz")).equal

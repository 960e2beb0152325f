"""Each falsifier of the forward contracts fails when what it tests is broken: one planted fault for each.

A fault is planted in a file's tensors, in a result or in a receipt; the falsifier's own check must then find it.
"""

import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

import qwen3moe
from tests.claims import altered, checks
from tests.devices import prompt
from tests.gguf import hostile_model
from tests.reference import hf

TOKENS = prompt(70)


@pytest.fixture
def path(small_model_path, tmp_path):
    return altered.copy(small_model_path, tmp_path)


def opened(path):
    return qwen3moe.Model.from_gguf(path, "cpu")


def test_a_dropped_tail(reference, path):
    altered.rows(path, "blk.1.attn_output.weight")[:, -144:] = 0  # the last block of every row
    findings = checks.parity(reference, opened(path), TOKENS)
    assert len(findings) == 2 and findings[0].startswith("first difference: post_attn_residual of layer 1")


def test_a_rotation_of_another_base(small_model_path, path):
    altered.set_key(path, "qwen3moe.rope.freq_base", "f", 1e4)
    expected = hf.logits(hf.load(str(small_model_path), torch.float16), TOKENS.tolist())[0].astype(np.float32)
    assert checks.closeness(opened(path).forward(TOKENS, "all"), expected)


def test_a_router_that_does_not_renormalise(path):
    altered.add_flag(path, "qwen3moe.expert_weights_norm", False)
    model = opened(path)
    findings = checks.invariants(model.config, model.trace(TOKENS), len(TOKENS))
    assert [finding.split(" with")[0] for finding in findings] == [
        f"layer {layer}: router weights sum to 1" for layer in range(model.config["layers"])
    ]


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (
            lambda t: t["layers.1.moe_router.ids"].__setitem__((3, 0), t["layers.1.moe_router.ids"][3, 1]),
            "layer 1: ids",
        ),
        (lambda t: t["layers.1.moe_router.ids"].__setitem__((0, 0), 16), "layer 1: ids are not"),
        (lambda t: t["layers.2.expert.up"].__setitem__((0, 0, 0), np.inf), "layers.2.expert.up is not finite"),
        (lambda t: t.update(logits=t["logits"][:, :-1]), "logits has the shape"),
        (lambda t: t.pop("layers.0.v"), "layers.0.v is missing"),
    ],
)
def test_other_broken_invariants(reference, spoil, finding):
    trace = {key: values.copy() for key, values in reference.trace(TOKENS).items()}
    assert checks.invariants(reference.config, trace, len(TOKENS)) == []
    spoil(trace)
    (found,) = checks.invariants(reference.config, trace, len(TOKENS))
    assert found.startswith(finding)


def test_a_result_that_changes_now_and_then(reference):
    calls = []

    def run():
        calls.append(None)
        logits = reference.forward([1, 2, 3])
        return np.nextafter(logits, np.float32(np.inf)) if len(calls) == 6 else logits

    assert checks.determinism(run) == ["run 5 has other bits than the first"]


def test_swapped_experts(reference, path):
    used = reference.trace(TOKENS, "router.ids", [2])["layers.2.moe_router.ids"]
    a, b = np.unique(used)[:2]
    altered.swap_experts(path, "blk.2.ffn_down_exps.weight", a, b)
    traces = (model.trace(TOKENS, "post_ffn_residual") for model in (reference, opened(path)))
    assert checks.layers(*traces) == ["layers.2", "layers.3"]


def test_swapped_rows_of_the_last_router(reference, path):
    used = reference.trace(TOKENS, "router.ids", [3])["layers.3.moe_router.ids"]
    often = np.bincount(used.ravel(), minlength=16).argsort()
    altered.swap(path, "blk.3.ffn_gate_inp.weight", int(often[0]), int(often[-1]))
    traces = (model.trace(TOKENS, "router.ids", [3]) for model in (reference, opened(path)))
    assert checks.last_experts(*traces, 3)


def test_swapped_rows_of_the_head(reference, path):
    best = int(reference.forward(TOKENS).argmax())
    altered.swap(path, "output.weight", best, best - 1 if best else 1)
    logits = ([model.forward(TOKENS)] for model in (reference, opened(path)))
    assert checks.argmax(*logits) == [f"prompt 0: token {best} against {best - 1 if best else 1}"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blk.0.ffn_gate_exps.weight": None}, 'tensor "blk.0.ffn_gate_exps.weight": found nothing'),
        ({"blk.0.ffn_gate.weight": (64, 32)}, 'tensor "blk.0.ffn_gate.weight": found a tensor that .* no use for'),
    ],
)
def test_tensors_missing_or_left_over(tmp_path, changes, message):
    (tmp_path / "m.gguf").write_bytes(hostile_model.model(tensors=changes))
    with pytest.raises(qwen3moe.GGUFError, match=message):
        opened(tmp_path / "m.gguf")


OPEN = """
import re, sys, qwen3moe
with qwen3moe.Model.from_gguf(sys.argv[1], "cpu", batch=1) as model:
    print(model.weight_bytes, re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def test_eager_float32_opens_where_it_need_not_fit(tmp_path):
    """The CPU maps its weights: of a file far larger than the memory it reads what it needs, and expands nothing."""
    needed = altered.sparse_model(tmp_path / "eager.gguf", layers=800, experts=64, width=2048, ff=768)
    assert needed > 900e9
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        pytest.fail("a limit on address space is in the way of a mapping of a terabyte")
    done = subprocess.run(
        [sys.executable, "-c", OPEN, tmp_path / "eager.gguf"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    weights, resident = map(int, done.stdout.split())
    assert weights >= 900e9 and resident < 1 << 20


# ---- receipts


def of(**figures):
    return {
        "figures": {
            "a run": {k: {"median": v[0], "samples": v} if isinstance(v, list) else v for k, v in figures.items()}
        }
    }


def test_a_receipt_that_is_too_slow():
    assert checks.throughput(of(weight_bytes=18e9, decode_tok_s=[149.0])) == ["a run: 149.0 tokens per second"]
    assert checks.throughput(of(weight_bytes=18e9, decode_tok_s=[150.0])) == []
    assert checks.throughput(of(weight_bytes=2e9, decode_tok_s=[10.0])) == []


def test_a_receipt_of_too_much_memory():
    assert checks.memory(of(memory_share=[0.5, 0.96])) == ["a run: 96.0% of the memory"]
    assert checks.memory(of(memory_share=[0.95])) == []


def test_a_receipt_of_a_fuzzer_that_found_something():
    assert checks.fuzzing({"figures": {"reader": {"executions": 20_000_000, "findings": 0}}}) == []
    assert checks.fuzzing({"figures": {"reader": {"executions": 20_000_000, "findings": 1}}}) == ["reader: 1 findings"]


def test_a_receipt_of_a_fuzzer_that_did_too_little():
    found = checks.fuzzing({"figures": {"forward": {"executions": 99_999, "findings": 0}}})
    assert found == ["forward: 99999 executions, fewer than 100000"]


# ---- stages


@pytest.fixture(scope="module")
def trace(reference):
    return reference.trace(TOKENS)


def test_a_renamed_stage(reference, trace):
    names = [name.replace("moe_router", "router") for name in qwen3moe.stages()]
    assert "router.logits is no stage that is known" in checks.order(names, trace, reference.config)


def test_stages_out_of_order(reference, trace):
    names = qwen3moe.stages()
    assert checks.order(names, trace, reference.config) == []
    for i in range(len(names) - 1):
        swapped = [*names[:i], names[i + 1], names[i], *names[i + 2 :]]
        assert checks.order(swapped, trace, reference.config), f"{names[i + 1]} before {names[i]}"
    shuffled = dict(sorted(trace.items()))
    assert checks.order(names, shuffled, reference.config) == ["a trace's keys are in another order"]


def test_a_capture_left_in_the_plan(reference):
    plan = reference.plan()
    assert checks.plan([*plan[:4], "0 capture: q ->", *plan[4:]]) == ["0 capture: q ->"]


def test_a_diff_in_alphabetical_order(reference, path, monkeypatch):
    altered.swap(path, "blk.2.ffn_gate_inp.weight", 1, 2)
    traces = [model.trace(TOKENS) for model in (reference, opened(path))]
    assert qwen3moe.diff(*traces).first.stage == "moe_router.logits"
    monkeypatch.setattr(sys.modules["qwen3moe.diff"], "forward_order", sorted)
    assert qwen3moe.diff(*traces).first.stage != "moe_router.logits"

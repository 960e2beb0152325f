"""contracts/qwen3-moe-forward-gpu-v1.yaml, on every device that is here; the CPU among them, for it is one."""

import numpy as np
import pytest
import torch

import qwen3moe
from tests.claims import altered, checks
from tests.devices import make, prompt
from tests.reference import hf

LENGTHS = (1, 7, 70, 270)


@pytest.mark.parametrize("length", LENGTHS)
def test_parity(reference, subject, length):
    assert checks.parity(reference, subject, prompt(length)) == []


@pytest.fixture(scope="module")
def float16(small_model_path):
    tokens = prompt(32)
    return tokens, hf.logits(hf.load(str(small_model_path), torch.float16), tokens.tolist())[0].astype(np.float32)


def test_close_to_float16(float16, subject):
    tokens, expected = float16
    assert checks.closeness(subject.forward(tokens, "all"), expected) == []


@pytest.mark.parametrize("length", LENGTHS)
def test_invariants(subject, length):
    assert checks.invariants(subject.config, subject.trace(prompt(length)), length) == []
    last = subject.forward(prompt(length))
    assert last.shape == (subject.config["vocab"],) and last.dtype == np.float32 and np.isfinite(last).all()


def test_determinism(subject):
    tokens = prompt(70)
    assert checks.determinism(lambda: subject.forward(tokens, "all")) == []

    def between():
        with subject.session(context=100) as a, subject.session(context=100) as b:
            a.eval(tokens[:30], "none")
            b.eval(tokens[::-1].copy(), "none")
            return a.eval(tokens[30:], "all")

    assert checks.determinism(between) == []


@pytest.mark.parametrize("length", LENGTHS)
def test_every_layer(reference, subject, length):
    traces = (model.trace(prompt(length), "post_ffn_residual") for model in (reference, subject))
    assert checks.layers(*traces) == []


def test_the_last_layers_experts(reference, subject):
    last = reference.config["layers"] - 1
    traces = (model.trace(prompt(270), "router.ids", [last]) for model in (reference, subject))
    assert checks.last_experts(*traces, last) == []


def test_argmax_of_every_prompt(reference, subject):
    prompts = [prompt(length, seed) for seed, length in enumerate((1, 2, 3, 5, 8, 13, 21, 34, 55, 89))]
    logits = ([model.forward(tokens) for tokens in prompts] for model in (reference, subject))
    assert checks.argmax(*logits) == []


def test_no_dense_tensors_are_asked_for(subject):
    names = [entry["name"] for entry in subject.tensors()]
    assert not any(name.endswith((".ffn_gate.weight", ".ffn_up.weight", ".ffn_down.weight")) for name in names)
    assert all(f"blk.0.ffn_{part}_exps.weight" in names for part in ("gate", "up", "down"))
    assert np.isfinite(subject.forward([1, 2, 3])).all()


def test_other_shapes(device, tmp_path):
    """A head of 128, every expert used, six and three blocks: the ways that the small model does not take."""
    for case in ("head_dim 128", "every expert", "6 and 3 blocks"):
        path = make(case, tmp_path)
        with qwen3moe.Model.from_gguf(path, "cpu", threads=1) as a, qwen3moe.Model.from_gguf(path, device) as b:
            assert checks.parity(a, b, prompt(20)) == []
            assert checks.invariants(b.config, b.trace(prompt(20)), 20) == []


def test_eager_float32_is_refused_for_memory(device, tmp_path):
    if device == "cpu":  # maps its weights, so they need not fit: test_planted has that side
        return
    needed = altered.sparse_model(tmp_path / "eager.gguf", layers=800, experts=64, width=2048, ff=768)
    with pytest.raises(qwen3moe.OutOfMemoryError, match=r"needs [0-9]+ bytes.*[0-9]+") as refused:
        qwen3moe.Model.from_gguf(tmp_path / "eager.gguf", device)
    assert any(int(word) >= needed for word in str(refused.value).split() if word.isdigit())

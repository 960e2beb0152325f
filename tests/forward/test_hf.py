"""The forward pass against HuggingFace's own Qwen3-MoE with the same dequantised weights."""

import numpy as np
import pytest
import torch

import qwen3moe
from tests.reference import hf


def cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def margin(values, k):
    """Between the k-th largest of each row and the next."""
    ordered = np.sort(values, axis=1)[:, ::-1]
    return ordered[:, k - 1] - ordered[:, k]


@pytest.fixture(scope="module")
def prompt():
    return [int(t) for t in np.random.default_rng(7).integers(0, 256, 48)]


@pytest.fixture(scope="module")
def ours(small_model_path, prompt):
    with qwen3moe.Model.from_gguf(small_model_path, device="cpu") as model:
        return model.trace(prompt, stages="router.*,logits"), model.config


def test_float32(small_model_path, prompt, ours):
    trace, config = ours
    logits, routers = hf.logits(hf.load(str(small_model_path)), prompt)
    assert cosine(trace["logits"], logits) >= 0.999999
    clear = margin(logits, 1) > 1e-3
    assert clear.mean() > 0.5
    assert np.array_equal(trace["logits"].argmax(1)[clear], logits.argmax(1)[clear])
    used = config["experts_used"]
    assert len(routers) == config["layers"]
    for layer, router in enumerate(routers):
        probabilities = np.exp(router - router.max(1, keepdims=True))
        probabilities /= probabilities.sum(1, keepdims=True)
        clear = margin(probabilities, used) > 1e-3
        assert clear.mean() > 0.5, f"layer {layer}: the synthetic routers should decide"
        theirs = np.sort(np.argsort(-router, axis=1, kind="stable")[:, :used], axis=1)
        mine = np.sort(trace[f"layers.{layer}.moe_router.ids"], axis=1)
        assert np.array_equal(mine[clear], theirs[clear]), f"layer {layer}"


def test_float16(small_model_path, prompt, ours):
    trace, _ = ours
    logits, _ = hf.logits(hf.load(str(small_model_path), torch.float16), prompt)
    assert cosine(trace["logits"], logits) >= 0.999


def test_its_own_gguf_reader(tmp_path, prompt):
    """Nothing of ours between the file and HuggingFace: it reads the file, tokenizer metadata and all.

    Its reader does not take the experts' width from the file, so the model has the width that its config defaults to.
    """
    from transformers import Qwen3MoeForCausalLM

    path = qwen3moe.synth(tmp_path / "m.gguf", preset="small", layers=2, ff=768)
    model = Qwen3MoeForCausalLM.from_pretrained(str(tmp_path), gguf_file="m.gguf", dtype=torch.float32).eval()
    logits, _ = hf.logits(model, prompt)
    with qwen3moe.Model.from_gguf(path, device="cpu") as mine:
        assert cosine(mine.forward(prompt, positions="all"), logits) >= 0.999999

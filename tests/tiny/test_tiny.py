"""The bundled model: what HuggingFace computes with the weights before quantisation and after, and that it is a real
test bed.

tests/reference/tiny.npz holds HuggingFace's float16 logits of the unquantised weights, and python/training/reference.py
writes it.
"""

import math
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch

import qwen3moe
from qwen3moe import _core
from qwen3moe.tiny import TINY_PATH
from tests.forward.test_hf import cosine, margin
from tests.quantise.test_blocks import error
from tests.reference import hf

REFERENCE = np.load(Path(__file__).parents[1] / "reference" / "tiny.npz")
PROMPTS = sorted(int(name.removeprefix("text.")) for name in REFERENCE.files if name.startswith("text."))
CLEAR = 0.5  # of the reference's logits, between the largest and the next

# As in tests/quantise/test_blocks.py, of the trained matrices in the reference.
TRAINED_TYPES = ("Q8_0", "Q4_K", "Q5_K", "Q6_K")
THEIRS = {
    "model.embed_tokens.weight": (0.0053644, 0.0715433, 0.0364093, 0.0177934),
    "model.layers.0.self_attn.q_proj.weight": (0.0053789, 0.0716865, 0.0362695, 0.0178979),
    "model.layers.1.self_attn.v_proj.weight": (0.0053302, 0.0713571, 0.0362224, 0.0177003),
    "model.layers.2.mlp.experts.gate_up_proj": (0.0053459, 0.0713498, 0.0363869, 0.0178771),
    "model.layers.3.mlp.experts.down_proj": (0.0054255, 0.0722055, 0.0362959, 0.0179659),
    "lm_head.weight": (0.0052488, 0.0699992, 0.0355518, 0.0174732),
}


@pytest.fixture(scope="module")
def model():
    with qwen3moe.tiny("cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def dequantised():
    return hf.load(str(TINY_PATH))


@pytest.fixture(scope="module")
def held_out(model):
    """A file of the standard library that the model was not trained on; its first thousand tokens."""
    text = (Path(sysconfig.get_path("stdlib")) / "selectors.py").read_text("utf-8")
    return list(model.tokenize(text))[:1000]


def test_the_prompts():
    assert len(PROMPTS) >= 8
    assert all(16 <= len(REFERENCE[f"tokens.{i}"]) <= 64 for i in PROMPTS)


@pytest.mark.parametrize("i", PROMPTS)
def test_the_tokenizer_is_the_references(model, i):
    tokens = REFERENCE[f"tokens.{i}"].tolist()
    assert list(model.tokenize(str(REFERENCE[f"text.{i}"])))[: len(tokens)] == tokens


@pytest.mark.parametrize("i", PROMPTS)
def test_against_float16_before_quantisation(model, i):
    expected = REFERENCE[f"logits.{i}"]
    assert expected.dtype == np.float16
    assert cosine(model.forward(REFERENCE[f"tokens.{i}"], "all"), expected) >= 0.99


def test_argmax_against_float16_before_quantisation(model):
    equal = clear = 0
    for i in PROMPTS:
        expected = REFERENCE[f"logits.{i}"].astype(np.float32)
        got = model.forward(REFERENCE[f"tokens.{i}"], "all")
        sure = margin(expected, 1) > CLEAR
        clear += int(sure.sum())
        equal += int((got.argmax(1) == expected.argmax(1))[sure].sum())
    total = sum(len(REFERENCE[f"tokens.{i}"]) for i in PROMPTS)
    print(f"{total} positions, {clear} with a clear margin, {equal} of them with the same argmax")
    assert clear > total / 2
    assert equal >= 0.95 * clear


def test_against_float32_after_quantisation(model, dequantised):
    """Over all prompts, and over each in which both choose the same experts: they may differ where two are as good."""
    used, ours, theirs = model.config["experts_used"], [], []
    for i in PROMPTS:
        tokens = REFERENCE[f"tokens.{i}"].tolist()
        expected, routers = hf.logits(dequantised, tokens)
        trace = model.trace(tokens, stages="router.*,logits")
        ours.append(trace["logits"])
        theirs.append(expected)
        alike = True
        for layer, router in enumerate(routers):
            chosen = np.sort(np.argsort(-router, axis=1, kind="stable")[:, :used], axis=1)
            same = (np.sort(trace[f"layers.{layer}.moe_router.ids"], axis=1) == chosen).all(1)
            assert (margin(router, used)[~same] < 1e-3).all() or not alike, f"prompt {i}, layer {layer}"
            alike = alike and same.all()
        if alike:
            assert cosine(trace["logits"], expected) >= 0.999999
    assert cosine(np.concatenate(ours), np.concatenate(theirs)) >= 0.999999
    expected, got = np.concatenate(theirs), np.concatenate(ours)
    clear = margin(expected, 1) > 0.01
    assert clear.mean() > 0.9 and np.array_equal(got.argmax(1)[clear], expected.argmax(1)[clear])


def test_perplexity_on_a_held_out_file(model, dequantised, held_out):
    """To four digits, and low enough for a model that has learnt something."""
    targets = np.array(held_out[1:])

    def perplexity(logits):
        logits = np.asarray(logits, np.float64)[:-1]
        top = logits.max(1, keepdims=True)
        log_sum = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
        return math.exp(float((log_sum - logits[np.arange(len(targets)), targets]).mean()))

    with torch.no_grad():
        theirs = perplexity(dequantised(torch.tensor([held_out]), use_cache=False).logits[0].numpy())
    ours = perplexity(model.forward(held_out, "all"))
    print(f"perplexity {ours:.6f}, HuggingFace's {theirs:.6f}")
    assert f"{ours:.4g}" == f"{theirs:.4g}" or abs(ours / theirs - 1) < 5e-5
    assert ours < 40


def test_its_routers_decide(model, held_out):
    trace = model.trace(held_out, stages="moe_router.probabilities,moe_router.ids")
    used = model.config["experts_used"]
    for layer in range(model.config["layers"]):
        probabilities = trace[f"layers.{layer}.moe_router.probabilities"]
        load = np.bincount(trace[f"layers.{layer}.moe_router.ids"].ravel(), minlength=model.config["experts"])
        assert np.median(margin(probabilities, used)) > 0.005, "between the last expert that is used and the next"
        assert load.min() > 0.02 * len(held_out), "every expert has its tokens"
        entropy = -(probabilities * np.log2(np.maximum(probabilities, 1e-30))).sum(1).mean()
        assert entropy < 0.9 * math.log2(model.config["experts"])


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("type_name", TRAINED_TYPES)
def test_quantisers_on_trained_matrices(name, type_name):
    theirs = THEIRS[name][TRAINED_TYPES.index(type_name)]
    assert error(type_name, REFERENCE[f"weights.{name}"]) <= theirs + 5e-8


def test_what_the_package_carries():
    assert TINY_PATH.stat().st_size <= 16_000_000
    card = (TINY_PATH.parent / "MODEL.md").read_text()
    assert all(word in card for word in ("Licence", "Loss", "perplexity", "Python Software Foundation"))
    types = {tensor["type"] for tensor in _core.GGUFFile(TINY_PATH).tensors}
    assert types == {"Q4_K", "Q6_K", "F32"}


def test_its_shape(model):
    config = model.config
    parameters = sum(math.prod(tensor["shape"]) for tensor in model.tensors())
    assert 5e6 <= parameters <= 20e6
    assert config["layers"] >= 4 and config["experts"] >= 16 and config["experts_used"] == 4
    assert config["head_dim"] in (64, 128) and config["vocab"] == 4096

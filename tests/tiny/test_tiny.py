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
HELD_OUT = ("selectors.py", "plistlib.py")  # files that the model was not trained on

# As in tests/quantise/test_blocks.py, of the trained matrices in the reference.
TRAINED_TYPES = ("Q8_0", "Q4_K", "Q5_K", "Q6_K")
THEIRS = {
    "model.embed_tokens.weight": (0.0054852, 0.0724187, 0.0366949, 0.0180086),
    "model.layers.0.self_attn.q_proj.weight": (0.0052538, 0.0703043, 0.0355387, 0.0175437),
    "model.layers.1.self_attn.v_proj.weight": (0.0054907, 0.0728836, 0.0368712, 0.0181537),
    "model.layers.2.mlp.experts.gate_up_proj": (0.0054229, 0.0725165, 0.0365669, 0.0177576),
    "model.layers.3.mlp.experts.down_proj": (0.0053445, 0.0714331, 0.0363461, 0.0178347),
    "lm_head.weight": (0.0058316, 0.0767738, 0.0387989, 0.0191258),
}


@pytest.fixture(scope="module")
def model():
    with qwen3moe.tiny("cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def dequantised():
    return hf.load(str(TINY_PATH))


def text_of(model, name):
    """The tokens of a file of the standard library."""
    return model.tokenize((Path(sysconfig.get_path("stdlib")) / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def held_out(model):
    return text_of(model, HELD_OUT[0])[:1000]


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


@pytest.mark.parametrize("i", PROMPTS)
def test_against_float32_after_quantisation(model, dequantised, i):
    """The same logits, the same largest one, and the same experts wherever two are not as good as each other."""
    used, tokens = model.config["experts_used"], REFERENCE[f"tokens.{i}"].tolist()
    expected, routers = hf.logits(dequantised, tokens)
    trace = model.trace(tokens, stages="router.*,logits")
    assert cosine(trace["logits"], expected) >= 0.999999
    clear = margin(expected, 1) > 0.01
    assert clear.mean() > 0.9 and np.array_equal(trace["logits"].argmax(1)[clear], expected.argmax(1)[clear])
    for layer, router in enumerate(routers):
        chosen = np.sort(np.argsort(-router, axis=1, kind="stable")[:, :used], axis=1)
        same = (np.sort(trace[f"layers.{layer}.moe_router.ids"], axis=1) == chosen).all(1)
        clear = margin(router, used) > 1e-3
        assert clear.mean() > 0.9 and same[clear].all(), f"layer {layer}"


def test_perplexity_on_held_out_files(model, dequantised):
    """To four digits, and low enough for a model that has learnt something."""
    window = model.config["context"]
    files = [text_of(model, name) for name in HELD_OUT]
    ours = [model.perplexity(tokens, window=window, stride=window) for tokens in files]
    losses = []
    for tokens in files:
        for window_tokens in torch.tensor(tokens).split(window):
            if len(window_tokens) > 1:
                with torch.no_grad():
                    logits = dequantised(window_tokens[None], use_cache=False).logits[0, :-1]
                losses.append(torch.nn.functional.cross_entropy(logits.double(), window_tokens[1:], reduction="none"))
    assert sum(found.tokens for found in ours) == sum(map(len, losses))
    mine = math.exp(math.fsum(found.nll * found.tokens for found in ours) / sum(found.tokens for found in ours))
    theirs = float(torch.cat(losses).mean().exp())
    print(f"perplexity {mine:.6f}, HuggingFace's {theirs:.6f}, of {sum(map(len, losses))} tokens")
    assert f"{mine:.4g}" == f"{theirs:.4g}" or abs(mine / theirs - 1) < 5e-5
    assert mine < 20


def test_its_routers_decide(model, held_out):
    trace = model.trace(held_out, stages="moe_router.probabilities,moe_router.ids")
    used = model.config["experts_used"]
    for layer in range(model.config["layers"]):
        probabilities = trace[f"layers.{layer}.moe_router.probabilities"]
        load = np.bincount(trace[f"layers.{layer}.moe_router.ids"].ravel(), minlength=model.config["experts"])
        logs = np.log2(np.maximum(probabilities, 1e-30))
        assert np.sort(probabilities, axis=1)[:, -used:].sum(1).mean() > 0.6, "the share of those that are used"
        assert np.median(margin(logs, used)) > 0.15, "from the last of them to the next, in bits"
        assert -(probabilities * logs).sum(1).mean() < 0.8 * math.log2(model.config["experts"]), "entropy"
        assert load.min() > 0.02 * len(held_out), "every expert has its tokens"


def test_its_activations_have_outliers(model, held_out):
    """What experts and attention are given, layer by layer: a normal distribution has the kurtosis 3."""
    trace = model.trace(held_out, stages="attn_norm,ffn_norm")

    def kurtosis(x):
        x = np.asarray(x, np.float64).ravel()
        x = x - x.mean()
        return (x**4).mean() / (x**2).mean() ** 2

    found = {key: kurtosis(values) for key, values in trace.items()}
    assert len(found) == 2 * model.config["layers"]
    assert min(found.values()) > 3.5 and max(found.values()) > 10, found


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

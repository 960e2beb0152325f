"""The forward pass against plain float64 NumPy, over drawn configs and every weight type."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qwen3moe
from tests.reference.forward import Reference

SUPER = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"]
SMALL = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"]
PLAIN = ["F32", "F16", "BF16"]


def cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def check_against_reference(path, tokens):
    reference_trace: dict[str, np.ndarray] = {}
    expected = Reference.load(str(path)).forward(tokens, reference_trace)
    with qwen3moe.Model.from_gguf(path, device="cpu") as model:
        logits = model.forward(tokens, positions="all")
        trace = model.trace(tokens)
    assert logits.shape == expected.shape and logits.dtype == np.float32
    # A routing choice on a knife's edge may go either way; everything up to there is held to the promise.
    for name, want in reference_trace.items():
        got = trace[name]
        assert got.size == want.size, name
        if name.endswith("moe_router.ids"):
            probabilities = np.sort(reference_trace[name.replace("ids", "probabilities")], axis=1)[:, ::-1]
            used = got.shape[1]
            clear = used == probabilities.shape[1] or (probabilities[:, used - 1] - probabilities[:, used]).min() > 1e-6
            if not clear:
                return
            assert np.array_equal(np.sort(got, axis=1), np.sort(want, axis=1)), name
        elif name.split(".")[-2:][0] != "expert" and not name.endswith("moe_router.weights"):
            # (The experts' stages stand in rank order, which ties may swap.)
            assert cosine(got, want) >= 0.999999, name
    assert cosine(logits, expected) >= 0.999999


@st.composite
def configs(draw):
    heads_per_kv = draw(st.sampled_from([1, 2, 4]))
    kv_heads = draw(st.sampled_from([1, 2]))
    experts = draw(st.sampled_from([1, 2, 5, 8, 16]))
    types = draw(st.sampled_from(SUPER + SMALL + PLAIN))
    unit = 256 if types in SUPER else 32
    head_dim = draw(st.sampled_from([64, 128]))
    heads = heads_per_kv * kv_heads
    if unit == 256 and heads * head_dim % 256:
        heads, kv_heads = 4 * kv_heads, kv_heads
    return {
        "types": types,
        "layers": draw(st.integers(1, 3)),
        "hidden": unit * draw(st.integers(1, 2 if unit == 256 else 9)),
        "heads": heads,
        "kv_heads": kv_heads,
        "head_dim": head_dim,
        "experts": experts,
        "experts_used": draw(st.integers(1, min(experts, 10))),
        "ff": unit * draw(st.integers(1, 2 if unit == 256 else 9)),
        "vocab": draw(st.integers(300, 400)),
        "tied": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs(), data=st.data())
def test_drawn_configs(tmp_path_factory, config, data):
    path = tmp_path_factory.mktemp("drawn") / "m.gguf"
    qwen3moe.synth(path, preset="small", **config)
    # Of very few numbers, as of one expert and two tokens, one may all but cancel, and the cosine with it.
    tokens = data.draw(st.lists(st.integers(0, config["vocab"] - 1), min_size=16, max_size=40))
    check_against_reference(path, tokens)
    path.unlink()


@pytest.mark.parametrize("types", SUPER + SMALL + PLAIN + ["Q4_K_M", "Q5_K_M"])
def test_every_type(tmp_path, types):
    path = qwen3moe.synth(tmp_path / "m.gguf", preset="small", types=types, layers=2, seed=3)
    rng = np.random.default_rng(1)
    check_against_reference(path, [int(t) for t in rng.integers(0, 256, 24)])


def test_a_prompt_longer_than_one_block_of_keys(small_model_path):
    rng = np.random.default_rng(2)
    check_against_reference(small_model_path, [int(t) for t in rng.integers(0, 256, 600)])

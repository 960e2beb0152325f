"""The forward pass against plain float64 NumPy, stage by stage and as a whole: drawn configs, every weight type."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qwen3moe
from tests.reference.bounds import U, stage_bounds
from tests.reference.forward import Reference

SUPER = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"]
SMALL = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL"]
PLAIN = ["F32", "F16", "BF16"]


def cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def as_float64(trace):
    return {name: array if name.endswith(".ids") else array.astype(np.float64) for name, array in trace.items()}


def outside(reference, tokens, trace):
    """The stages that are further from float64 than their own inputs and the width of their integers explain."""
    given = as_float64(trace)
    expected: dict[str, np.ndarray] = {}
    reference.forward(tokens, expected, given)
    bounds = stage_bounds(reference, given)
    assert expected.keys() == given.keys() and bounds.keys() == expected.keys() - {"embed"}
    sizes = np.linalg.norm(expected["embed"], axis=1, keepdims=True)
    bounds["embed"] = U * sizes.repeat(expected["embed"].shape[1], axis=1)
    found = []
    for name, want in expected.items():
        assert given[name].size == want.size, name
        error = np.abs(given[name].reshape(want.shape) - want)
        if not (error <= bounds[name].reshape(want.shape)).all():
            found.append(name)
    return found


def routing_is_clear(trace, used):
    """No choice of experts was on a knife's edge, where float64 may go another way."""
    for name, probabilities in trace.items():
        if name.endswith("moe_router.probabilities") and used < probabilities.shape[1]:
            ordered = np.sort(probabilities, axis=1)[:, ::-1]
            if (ordered[:, used - 1] - ordered[:, used]).min() <= 1e-6:
                return False
    return True


def check_against_reference(path, tokens):
    reference = Reference.load(str(path))
    with qwen3moe.Model.from_gguf(path, device="cpu") as model:
        logits = model.forward(tokens, positions="all")
        trace = model.trace(tokens)
    assert outside(reference, tokens, trace) == []
    own: dict[str, np.ndarray] = {}
    expected = reference.forward(tokens, own)
    assert logits.shape == expected.shape and logits.dtype == np.float32
    if routing_is_clear(own, reference.config["used"]):
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
    tokens = data.draw(st.lists(st.integers(0, config["vocab"] - 1), min_size=1, max_size=40))
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


@pytest.mark.parametrize("tokens", [[7], [7, 3, 9]])
def test_a_stage_that_is_off_is_seen(small_model_path, tokens):
    """A hundredth of a stage's size, in one of its values, is more than any stage may be off."""
    reference = Reference.load(str(small_model_path))
    with qwen3moe.Model.from_gguf(small_model_path, device="cpu") as model:
        trace = model.trace(tokens)
    assert outside(reference, tokens, trace) == []
    for name in trace:
        if name.endswith(".ids"):
            off = trace[name][:, ::-1].copy()
        else:
            off = trace[name].copy()
            off.flat[-1] += 0.01 * np.sqrt(np.mean(off.astype(np.float64) ** 2))
        assert name in outside(reference, tokens, {**trace, name: off}), name


def test_a_missing_digit_is_seen(small_model_path):
    reference = Reference.load(str(small_model_path))
    tokens = [5, 250]
    with qwen3moe.Model.from_gguf(small_model_path, device="cpu") as model:
        trace = model.trace(tokens)
    x = trace["layers.0.attn_norm"].astype(np.float64)
    blocks = x.reshape(len(tokens), -1, 256)
    step = np.abs(blocks).max(axis=-1, keepdims=True) / 127
    coarse = (np.round(blocks / step) * step).reshape(x.shape)
    q = coarse @ reference.tensors["blk.0.attn_q.weight"].T
    trace["layers.0.q"] = q.astype(np.float32).reshape(trace["layers.0.q"].shape)
    assert "layers.0.q" in outside(reference, tokens, trace)

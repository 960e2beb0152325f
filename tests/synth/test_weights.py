"""Random weights: what an independent dequantiser reads has the mean and the deviation that were planned."""

import numpy as np
import pytest

from qwen3moe import _core
from qwen3moe.synth import synth
from tests.shapes import PLAIN, TINY

from .models import tensors, values

SHAPE = TINY | dict(layers=1, hidden=512, experts=8, vocab=1024)


def planned(types):
    return {tensor["name"]: tensor for tensor in _core.synth_tensors("small", SHAPE, types)}


def uncoded(name, weights, deviation):
    """Without what carries the routers' code; test_router_code.py looks at that."""
    part, experts = name.split(".")[-2], SHAPE["experts"]
    if part == "token_embd":
        return weights[:, 256:]  # the code's blocks have even scales
    if part in ("attn_output", "ffn_down_exps"):
        return weights[..., experts:, :]
    if part == "ffn_gate_inp":
        return weights[abs(weights) < 6 * deviation]
    return weights


@pytest.mark.parametrize("types", [*PLAIN, "Q4_K_M", "Q5_K_M"])
def test_every_matrix_is_as_planned(tmp_path, types):
    plan = planned(types)
    found = tensors(synth(tmp_path / "m.gguf", types=types, **SHAPE))
    assert list(found) == list(plan)
    for name, tensor in found.items():
        expected = plan[name]
        assert tensor.tensor_type.name == expected["type"]
        assert tuple(tensor.shape) == expected["shape"]
        weights = values(tensor)
        assert np.isfinite(weights).all()
        if weights.ndim == 1:
            continue
        weights = uncoded(name, weights, expected["deviation"])
        # Blocks share scales and minima, so a tensor has about one independent part in 16 of its values.
        noise = 4 / np.sqrt(weights.size / 16)
        assert abs(weights.mean()) < noise * expected["deviation"], name
        assert weights.std() == pytest.approx(expected["deviation"], rel=0.01 + noise), name


@pytest.mark.parametrize("types", PLAIN)
def test_no_block_and_no_group_is_like_another(tmp_path, types):
    tensor = tensors(synth(tmp_path / "m.gguf", types=types, **SHAPE))["blk.0.ffn_up_exps.weight"]
    raw = tensor.data.reshape(-1, tensor.data.shape[-1]).view(np.uint8)
    assert len(np.unique(raw, axis=0)) == len(raw)
    groups = values(tensor).reshape(-1, 16)
    assert groups.std(axis=1).std() > 0.05 * groups.std(), "scales that vary"
    assert groups.mean(axis=1).std() < 0.4 * groups.std(), "groups near mean 0: independent values would give 0.25"


def test_scales_and_minima_of_k_types_differ(tmp_path):
    tensor = tensors(synth(tmp_path / "m.gguf", types="Q4_K", **SHAPE))["token_embd.weight"]
    blocks = tensor.data.reshape(-1, 144)
    low = blocks[:, 4:8] & 63, blocks[:, 8:12] & 63
    high = (
        (blocks[:, 12:16] & 15) | (blocks[:, 4:8] >> 6 << 4),
        (blocks[:, 12:16] >> 4) | (blocks[:, 8:12] >> 6 << 4),
    )
    for scales, minima in (low, high):
        assert set(np.unique(scales)) == set(range(64))
        assert set(np.unique(minima)) == set(range(64))
        assert set(np.unique(scales ^ minima)) == set(range(8))


def test_q8_0_never_holds_minus_128(tmp_path):
    tensor = tensors(synth(tmp_path / "m.gguf", types="Q8_0", **SHAPE))["token_embd.weight"]
    q = tensor.data.reshape(-1, 34)[:, 2:].view(np.int8)
    assert (q.min(), q.max()) == (-127, 127)


def test_norms_are_near_their_mean_but_for_a_few_large_channels(tmp_path):
    found = tensors(synth(tmp_path / "m.gguf", **SHAPE | dict(hidden=2048)))
    for name, tensor in found.items():
        weights = values(tensor)
        if weights.ndim != 1:
            continue
        large = weights > 4
        if "_q_norm" in name or "_k_norm" in name:
            assert not large.any()
            assert weights.mean() == pytest.approx(1.5, abs=0.1)
        else:
            assert 1 <= large.sum() <= 4
            assert weights[large].min() >= 8 and weights[large].max() <= 20
            assert weights[~large].mean() == pytest.approx(1, abs=0.02)
        assert weights[~large].std() > 0.1 * weights[~large].mean()

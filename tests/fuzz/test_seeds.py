"""What the fuzzers start from: files that are sound, so that a mutation of them gets far."""

import numpy as np
import pytest

import qwen3moe
from tests.fuzz import seeds
from tests.gguf.build import TENSOR_TYPES

FORWARD = seeds.seeds("forward")


def test_there_is_one_of_every_type():
    assert set(TENSOR_TYPES) <= set(FORWARD)
    assert set(TENSOR_TYPES) <= set(seeds.seeds("reader"))
    assert len(seeds.seeds("reader")) > 300


@pytest.mark.parametrize("name", FORWARD)
def test_seeds_reach_the_forward_pass(tmp_path, name):
    path = tmp_path / "m.gguf"
    path.write_bytes(FORWARD[name])
    with qwen3moe.Model.from_gguf(path, "cpu") as model:
        logits = model.forward([0, 4, 2], "all")
    assert logits.shape == (3, 5) and np.isfinite(logits).all() and logits.std() > 0

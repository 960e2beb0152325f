"""A NaN or an infinity in any tensor ends in an error that names the layer and the stage it first shows in."""

import shutil

import numpy as np
import pytest

import qwen3moe
from qwen3moe import _core

NAN_HALF = (0x7E00).to_bytes(2, "little")
INF_HALF = (0x7C00).to_bytes(2, "little")
NAN_FLOAT = np.float32(np.nan).tobytes()

# Where the first stage that reads a tensor shows it. Types are those of the small model's mix.
FIRST_STAGE = {
    "attn_norm": "attn_norm",
    "attn_q": "q",
    "attn_k": "k",
    "attn_v": "v",
    "attn_q_norm": "q_rope",
    "attn_k_norm": "k_rope",
    "attn_output": "post_attn_residual",
    "ffn_norm": "ffn_norm",
    "ffn_gate_inp": "moe_router.logits",
    "ffn_gate_exps": "expert.gate",
    "ffn_up_exps": "expert.up",
    "ffn_down_exps": "expert.out",
}
D_OFFSETS = {"Q4_K": 0, "Q6_K": 208}  # of d in a block
BLOCK_BYTES = {"Q4_K": 144, "Q6_K": 210}


def spoil(path, name, half=NAN_HALF):
    """Overwrites one scale (or float) of every row of a tensor."""
    tensor = next(t for t in _core.GGUFFile(str(path)).tensors if t["name"] == name)
    with open(path, "r+b") as file:
        if tensor["type"] == "F32":
            step, offset, value = 4 * tensor["shape"][0], 0, NAN_FLOAT
        else:
            blocks = tensor["shape"][0] // 256
            step, offset, value = blocks * BLOCK_BYTES[tensor["type"]], D_OFFSETS[tensor["type"]], half
        for row in range(tensor["bytes"] // step):
            file.seek(tensor["offset"] + row * step + offset)
            file.write(value)


@pytest.fixture
def copy(small_model_path, tmp_path):
    return shutil.copy(small_model_path, tmp_path / "spoilt.gguf")


@pytest.mark.parametrize("tensor", FIRST_STAGE)
def test_a_layer(copy, device, tensor):
    spoil(copy, f"blk.2.{tensor}.weight")
    with qwen3moe.Model.from_gguf(copy, device=device) as model, model.session(context=16) as session:
        with pytest.raises(qwen3moe.NumericalError, match=rf"layer 2, stage {FIRST_STAGE[tensor]}, row 0"):
            session.eval([1, 2, 3])
        assert session.position == 0


@pytest.mark.parametrize(
    ("tensor", "stage"), [("token_embd", "embed"), ("output_norm", "final_norm"), ("output", "logits")]
)
def test_outside_the_layers(copy, device, tensor, stage):
    spoil(copy, f"{tensor}.weight", INF_HALF)
    model = qwen3moe.Model.from_gguf(copy, device=device)
    with pytest.raises(qwen3moe.NumericalError, match=rf"not finite: stage {stage}, row 0"):
        model.forward([1, 2, 3])


def test_a_sound_model_next_to_it(small_model_path, device, copy):
    expected = qwen3moe.Model.from_gguf(small_model_path, device=device).forward([1, 2, 3])
    spoil(copy, "blk.0.attn_q.weight")
    with pytest.raises(RuntimeError):
        qwen3moe.Model.from_gguf(copy, device=device).forward([1, 2, 3])
    assert np.array_equal(qwen3moe.Model.from_gguf(small_model_path, device=device).forward([1, 2, 3]), expected)

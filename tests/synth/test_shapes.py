"""What is written, without writing it: shapes, types by class of tensors, refusals."""

import pytest

from qwen3moe import _core
from qwen3moe.errors import ArgumentError
from tests.shapes import PLAIN, TINY


def types_of(preset="small", types="Q4_K_M", **overrides):
    return {t["name"].removesuffix(".weight"): t["type"] for t in _core.synth_tensors(preset, overrides, types)}


def shapes_of(preset="small", **overrides):
    return {t["name"].removesuffix(".weight"): t["shape"] for t in _core.synth_tensors(preset, overrides, "F32")}


def layers_with_q6(types, part, layers):
    found = {types[f"blk.{i}.{part}"] for i in range(layers)}
    assert found <= {"Q4_K", "Q6_K"}
    return [i for i in range(layers) if types[f"blk.{i}.{part}"] == "Q6_K"]


# Written out, not computed: the layers of published Q4_K_M files.
Q6_OF_48 = [0, 1, 2, 3, 4, 5, 8, 11, 14, 17, 20, 23, 26, 29, 32, 35, 38, 41, 42, 43, 44, 45, 46, 47]
Q6_OF_94 = [*range(11), *range(13, 82, 3), *range(82, 94)]


@pytest.mark.parametrize(
    ("preset", "layers", "expected"),
    [("qwen3-coder-30b-a3b", 48, Q6_OF_48), ("qwen3-30b-a3b", 48, Q6_OF_48), ("qwen3-235b-a22b", 94, Q6_OF_94)],
)
def test_q4_k_m_gives_q6_k_to_these_layers(preset, layers, expected):
    types = types_of(preset)
    assert layers_with_q6(types, "attn_v", layers) == expected
    assert layers_with_q6(types, "ffn_down_exps", layers) == expected


def test_q4_k_m_elsewhere():
    types = types_of("qwen3-coder-30b-a3b")
    assert types["token_embd"] == "Q4_K"
    assert types["output"] == "Q6_K"
    assert types["output_norm"] == "F32"
    for i in range(48):
        for part in ("attn_q", "attn_k", "attn_output", "ffn_gate_exps", "ffn_up_exps"):
            assert types[f"blk.{i}.{part}"] == "Q4_K"
        for part in ("attn_norm", "attn_q_norm", "attn_k_norm", "ffn_norm", "ffn_gate_inp"):
            assert types[f"blk.{i}.{part}"] == "F32"


def test_q5_k_m_is_q4_k_m_with_q5_k():
    swapped = {name: type.replace("Q4_K", "Q5_K") for name, type in types_of("qwen3-coder-30b-a3b").items()}
    assert types_of("qwen3-coder-30b-a3b", "Q5_K_M") == swapped


@pytest.mark.parametrize("plain", PLAIN)
def test_a_plain_type_is_that_of_all_matrices_but_the_router(plain):
    for tensor in _core.synth_tensors("small", {}, plain):
        norm_or_router = len(tensor["shape"]) == 1 or "ffn_gate_inp" in tensor["name"]
        assert tensor["type"] == ("F32" if norm_or_router else plain)


def test_a_tied_embedding_is_the_output_head():
    types = types_of(tied=True)
    assert "output" not in types
    assert types["token_embd"] == "Q6_K"


def test_exceptions_by_class_of_tensors():
    base = types_of(types="Q5_K_M")
    types = types_of(types={"default": "Q5_K_M", "attn_v": "F16", "ffn_gate_inp": "BF16"})
    for name, type in types.items():
        part = name.split(".")[-1]
        assert type == {"attn_v": "F16", "ffn_gate_inp": "BF16"}.get(part, base[name])
    assert types_of(types={}) == types_of(types="Q4_K_M")


def test_shapes_of_the_30b_model():
    shapes = shapes_of("qwen3-coder-30b-a3b")
    assert len(shapes) == 3 + 48 * 12
    assert shapes["token_embd"] == shapes["output"] == (2048, 151936)
    assert shapes["output_norm"] == (2048,)
    assert {name.removeprefix("blk.47."): s for name, s in shapes.items() if name.startswith("blk.47.")} == {
        "attn_norm": (2048,),
        "attn_q": (2048, 4096),
        "attn_k": (2048, 512),
        "attn_v": (2048, 512),
        "attn_q_norm": (128,),
        "attn_k_norm": (128,),
        "attn_output": (4096, 2048),
        "ffn_norm": (2048,),
        "ffn_gate_inp": (2048, 128),
        "ffn_gate_exps": (2048, 768, 128),
        "ffn_up_exps": (2048, 768, 128),
        "ffn_down_exps": (768, 2048, 128),
    }


@pytest.mark.parametrize(
    ("preset", "billions"),
    [("qwen3-coder-30b-a3b", 30.5), ("qwen3-30b-a3b", 30.5), ("qwen3-235b-a22b", 235), ("qwen3-coder-480b-a35b", 480)],
)
def test_models_have_as_many_weights_as_their_names_say(preset, billions):
    weights = 0
    for shape in shapes_of(preset).values():
        product = 1
        for dimension in shape:
            product *= dimension
        weights += product
    assert weights == pytest.approx(billions * 1e9, rel=0.005)


def test_presets_differ_where_the_models_do():
    presets = _core.presets()
    coder, plain = presets["qwen3-coder-30b-a3b"], presets["qwen3-30b-a3b"]
    assert {key for key in coder if coder[key] != plain[key]} == {"rope", "context"}
    assert (coder["rope"], coder["context"]) == (1e7, 262144)
    assert (plain["rope"], plain["context"]) == (1e6, 40960)
    assert presets["qwen3-235b-a22b"]["rope"] == 1e6
    assert presets["qwen3-coder-480b-a35b"]["rope"] == 1e7


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("smal", {}, "F32"), ["smal", "small", "qwen3-coder-30b-a3b"]),
        (("small", {"layer": 2}, "F32"), ["layer", "layers", "experts_used"]),
        (("small", {}, "Q4_K_L"), ["Q4_K_L", "Q4_K_M", "IQ4_XS"]),
        (("small", {}, {"attn_x": "F32"}), ["attn_x", "attn_v", "ffn_gate_inp"]),
        (("small", {}, {"attn_v": "Q4_K_M"}), ["Q4_K_M", "Q4_K", "BF16"]),
        (("small", {"layers": 0}, "F32"), ["layers", "0", "1"]),
        (("small", {"layers": 2.5}, "F32"), ["layers", "2.5", "whole"]),
        (("small", {"hidden": -512}, "F32"), ["hidden", "-512"]),
        (("small", {"eps": float("nan")}, "F32"), ["eps", "nan"]),
        (("small", {"vocab": 100}, "F32"), ["vocab", "100", "264"]),
        (("small", {"heads": 7}, "F32"), ["kv_heads", "2", "7"]),
        (("small", {"head_dim": 33}, "F32"), ["head_dim", "33", "even"]),
        (("small", {"experts_used": 17}, "F32"), ["experts_used", "17", "16"]),
        (("small", {"hidden": 384}, "Q4_K_M"), ["token_embd.weight", "384", "Q4_K", "256"]),
        (("small", {"ff": 100}, "Q8_0"), ["ffn_down_exps", "100", "Q8_0", "32"]),
    ],
)
def test_refusals_say_what_was_given_and_what_there_is(arguments, told):
    with pytest.raises(ArgumentError) as refusal:
        _core.synth_tensors(*arguments)
    for part in told:
        assert part in str(refusal.value)


def test_the_smallest_shape_is_accepted():
    ones = dict.fromkeys(("layers", "hidden", "heads", "kv_heads", "experts", "experts_used", "ff", "context"), 1)
    assert shapes_of(**ones, head_dim=2, vocab=264)["token_embd"] == (1, 264)
    assert shapes_of(**TINY)["token_embd"] == (256, 320)

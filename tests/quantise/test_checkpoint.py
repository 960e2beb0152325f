"""A HuggingFace checkpoint in, a GGUF file out, read by `gguf`, by HuggingFace and by this package."""

import json
import shutil

import gguf
import numpy as np
import pytest
import torch

import qwen3moe
from qwen3moe.errors import CheckpointError
from tests.quantise import checkpoints
from tests.reference import hf
from tests.synth.models import metadata, sha256, tensors, values

PROMPT = [3, 300, 17, 250, 99, 1, 42, 199, 64, 128]
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def cosine(a, b):
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of float32; tests that change it take a copy."""
    return checkpoints.save(tmp_path_factory.mktemp("checkpoint") / "sample", checkpoints.model())


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def expected_tensors(made):
    """By GGUF's names, from the model's own parameters."""
    state = {name: tensor.detach().numpy() for name, tensor in made.state_dict().items()}
    found = {}
    for layer in range(made.config.num_hidden_layers):
        gate_up = state.pop(f"model.layers.{layer}.mlp.experts.gate_up_proj")
        gate, up = np.split(gate_up, 2, axis=1)
        found[f"blk.{layer}.ffn_gate_exps.weight"], found[f"blk.{layer}.ffn_up_exps.weight"] = gate, up
        found[f"blk.{layer}.ffn_down_exps.weight"] = state.pop(f"model.layers.{layer}.mlp.experts.down_proj")
    mapping = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3MOE, made.config.num_hidden_layers)
    for name, tensor in state.items():
        found[mapping.get_name(name, try_suffixes=(".weight",))] = tensor
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["fused", "per expert", "fused, sharded", "per expert, sharded"])
def test_every_layout_gives_the_same_weights(tmp_path, dtype, layout):
    made = checkpoints.model(DTYPES[dtype])
    fused, shards = "fused" in layout, 3 if "sharded" in layout else 1
    folder = checkpoints.save(tmp_path / "c", made, dtype=DTYPES[dtype], fused=fused, shards=shards)
    found = tensors(qwen3moe.quantize(folder, tmp_path / "m.gguf", "F16"))
    expected = expected_tensors(made)
    assert set(found) == set(expected)
    for name, tensor in found.items():
        exact = tensor.tensor_type.name == "F32"
        assert exact == (expected[name].ndim == 1 or "ffn_gate_inp" in name)
        want = expected[name] if exact else expected[name].astype(np.float16).astype(np.float32)
        assert np.array_equal(values(tensor), want), name


@pytest.mark.parametrize(
    ("type", "number", "most", "better"),
    [
        ("F16", 1, "F16", "F16"),
        ("Q8_0", 7, "Q8_0", "Q8_0"),
        ("Q6_K", 18, "Q6_K", "Q6_K"),
        ("Q5_K_M", 17, "Q5_K", "Q6_K"),
        ("Q4_K_M", 15, "Q4_K", "Q6_K"),
    ],
)
def test_types(folder, tmp_path, type, number, most, better):
    path = qwen3moe.quantize(folder, tmp_path / "m.gguf", type)
    found = {name: tensor.tensor_type.name for name, tensor in tensors(path).items()}
    assert metadata(path)["general.file_type"] == number
    assert found["token_embd.weight"] == found["blk.0.ffn_down_exps.weight"] == found["blk.0.attn_v.weight"] == most
    assert found["output.weight"] == found["blk.1.ffn_down_exps.weight"] == found["blk.1.attn_v.weight"] == better
    assert found["blk.1.ffn_gate_inp.weight"] == found["output_norm.weight"] == "F32"
    with qwen3moe.Model.from_gguf(path, "cpu") as model:
        logits, _ = hf.logits(hf.load(path), PROMPT)
        assert cosine(model.forward(PROMPT, "all"), logits) >= 0.999999


def test_logits_of_the_checkpoint_itself(tmp_path):
    """With weights that F16 holds exactly, nothing but the arithmetic lies between HuggingFace's model and ours."""
    made = checkpoints.model(torch.float16)
    folder = checkpoints.save(tmp_path / "c", made, dtype=torch.float16)
    with qwen3moe.Model.from_gguf(qwen3moe.quantize(folder, tmp_path / "m.gguf", "F16"), "cpu") as model:
        assert cosine(model.forward(PROMPT, "all"), hf.logits(made, PROMPT)[0]) >= 0.999999


def test_metadata(folder, tmp_path):
    found = metadata(qwen3moe.quantize(folder, tmp_path / "m.gguf"))
    expected = {
        "general.architecture": "qwen3moe",
        "general.name": "sample",
        "general.quantization_version": 2,
        "qwen3moe.block_count": 2,
        "qwen3moe.context_length": 512,
        "qwen3moe.embedding_length": 256,
        "qwen3moe.feed_forward_length": 512,
        "qwen3moe.attention.head_count": 4,
        "qwen3moe.attention.head_count_kv": 2,
        "qwen3moe.attention.key_length": 64,
        "qwen3moe.attention.value_length": 64,
        "qwen3moe.expert_count": 4,
        "qwen3moe.expert_used_count": 2,
        "qwen3moe.expert_feed_forward_length": 256,
        "qwen3moe.attention.layer_norm_rms_epsilon": pytest.approx(1e-6),
        "qwen3moe.rope.freq_base": 5e5,
        "qwen3moe.expert_weights_norm": True,
    }
    assert {key: found[key] for key in expected} == expected


def check_vocabulary(found):
    tokenizer = checkpoints.new_tokenizer()
    vocab = tokenizer.get_vocab()
    tokens = found["tokenizer.ggml.tokens"]
    assert len(tokens) == len(found["tokenizer.ggml.token_type"]) == 320
    assert [vocab.get(token) for token in tokens] == [*range(299), *[None] * 21]
    assert found["tokenizer.ggml.token_type"] == [*[1] * 295, 4, 3, 3, 3, *[5] * 21]
    assert found["tokenizer.ggml.merges"] == [" ".join(m) for m in json.loads(tokenizer.to_str())["model"]["merges"]]
    assert (found["tokenizer.ggml.model"], found["tokenizer.ggml.pre"]) == ("gpt2", "qwen2")
    assert found["tokenizer.ggml.eos_token_id"] == 298
    assert found["tokenizer.ggml.padding_token_id"] == 296
    assert found["tokenizer.ggml.add_bos_token"] is False
    assert found["tokenizer.chat_template"] == checkpoints.TEMPLATE


def test_vocabulary(folder, tmp_path):
    found = metadata(qwen3moe.quantize(folder, tmp_path / "m.gguf"))
    check_vocabulary(found)
    assert "tokenizer.ggml.bos_token_id" not in found


def test_vocabulary_in_separate_files(copy, tmp_path):
    """As before tokenizer.json: vocab.json, merges.txt, and what was added in tokenizer_config.json."""
    document = json.loads((copy / "tokenizer.json").read_text())
    (copy / "tokenizer.json").unlink()
    (copy / "vocab.json").write_text(json.dumps(document["model"]["vocab"]))
    merges = "".join(" ".join(merge) + "\n" for merge in document["model"]["merges"])
    (copy / "merges.txt").write_text("#version: 0.2\n" + merges)
    added = {str(item["id"]): item for item in document["added_tokens"]}
    change(copy / "tokenizer_config.json", added_tokens_decoder=added, chat_template=None)
    (copy / "chat_template.jinja").write_text(checkpoints.TEMPLATE)
    check_vocabulary(metadata(qwen3moe.quantize(copy, tmp_path / "m.gguf")))


def test_special_tokens_by_number(copy, tmp_path):
    (copy / "tokenizer_config.json").unlink()
    change(copy / "config.json", bos_token_id=5, eos_token_id=[7, 8], pad_token_id=None)
    found = metadata(qwen3moe.quantize(copy, tmp_path / "m.gguf"))
    assert (found["tokenizer.ggml.bos_token_id"], found["tokenizer.ggml.eos_token_id"]) == (5, 7)
    assert "tokenizer.ggml.padding_token_id" not in found and "tokenizer.chat_template" not in found


def test_no_tokenizer(tmp_path):
    folder = checkpoints.save(tmp_path / "c", checkpoints.model(), tokenizer=False)
    found = metadata(qwen3moe.quantize(folder, tmp_path / "m.gguf"))
    assert not any(key.startswith("tokenizer") for key in found)
    with qwen3moe.Model.from_gguf(tmp_path / "m.gguf", "cpu") as model:
        assert np.isfinite(model.forward(PROMPT)).all()


def test_tied_embeddings(tmp_path):
    made = checkpoints.model(torch.float16, tie_word_embeddings=True)
    folder = checkpoints.save(tmp_path / "c", made)
    found = tensors(qwen3moe.quantize(folder, tmp_path / "q.gguf"))
    assert "output.weight" not in found and found["token_embd.weight"].tensor_type.name == "Q6_K"
    with qwen3moe.Model.from_gguf(qwen3moe.quantize(folder, tmp_path / "f.gguf", "F16"), "cpu") as model:
        assert cosine(model.forward(PROMPT, "all"), hf.logits(made, PROMPT)[0]) >= 0.999999


def test_transformers_reads_the_file(tmp_path):
    """Its reader does not take the experts' width from the file, so the model has the width that it assumes."""
    from transformers import AutoTokenizer, Qwen3MoeForCausalLM

    folder = checkpoints.save(tmp_path / "c", checkpoints.model(moe_intermediate_size=768))
    path = qwen3moe.quantize(folder, tmp_path / "m.gguf")
    theirs = Qwen3MoeForCausalLM.from_pretrained(str(tmp_path), gguf_file="m.gguf", dtype=torch.float32).eval()
    with qwen3moe.Model.from_gguf(path, "cpu") as model:
        assert cosine(model.forward(PROMPT, "all"), hf.logits(theirs, PROMPT)[0]) >= 0.999999
    text = "def f(x): return 'é'\n<|im_end|> qwen3moe"
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path), gguf_file="m.gguf")
    assert tokenizer.encode(text) == checkpoints.new_tokenizer().encode(text).ids


def test_the_same_file_for_any_threads(folder, tmp_path):
    files = [sha256(qwen3moe.quantize(folder, tmp_path / f"{n}.gguf", threads=n)) for n in (1, 2, 5)]
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llama"}, "model_type: found 'llama'; expected 'qwen3_moe'"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"attention_bias": True}, "attention_bias"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"decoder_sparse_step": 2}, "decoder_sparse_step"),
        ({"mlp_only_layers": [1]}, "mlp_only_layers"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6}}, "rope_parameters"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "rope_parameters"),
        ({"rope_parameters": {"rope_type": "default"}}, "rope_theta: found None"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: found 0"),
        ({"num_hidden_layers": 2.0}, "num_hidden_layers: found 2.0"),
        ({"num_hidden_layers": True}, "num_hidden_layers: found True"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps: found nan"),
        ({"rms_norm_eps": "x"}, "rms_norm_eps: found 'x'"),
        ({"num_hidden_layers": 3}, "model.layers.2.input_layernorm.weight': found nothing"),
        ({"num_hidden_layers": 1}, "model.layers.1.input_layernorm.weight': found a tensor; expected only"),
        ({"vocab_size": 321}, "model.embed_tokens.weight': found shape [320, 256]; expected [321, 256]"),
        ({"num_local_experts": 5}, "mlp.gate.weight': found shape [4, 256]; expected [5, 256]"),
    ],
)
def test_a_config_that_is_not_the_models(copy, tmp_path, changes, message):
    change(copy / "config.json", **changes)
    with pytest.raises(CheckpointError) as failure:
        qwen3moe.quantize(copy, tmp_path / "m.gguf")
    assert message in str(failure.value)
    assert not (tmp_path / "m.gguf").exists()


def test_rope_base_beside_the_other_numbers(copy, tmp_path):
    change(copy / "config.json", rope_parameters=None, rope_theta=1e7)
    assert metadata(qwen3moe.quantize(copy, tmp_path / "m.gguf"))["qwen3moe.rope.freq_base"] == 1e7


def test_rows_that_no_block_fits(tmp_path):
    folder = checkpoints.save(tmp_path / "c", checkpoints.model(moe_intermediate_size=128))
    with pytest.raises(qwen3moe.ArgumentError, match=r"blk\.0\.ffn_down_exps\.weight .* Q4_K.* 256 values"):
        qwen3moe.quantize(folder, tmp_path / "m.gguf")
    qwen3moe.quantize(folder, tmp_path / "m.gguf", "Q8_0")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_no_type_can_hold(tmp_path, value):
    made = checkpoints.model()
    with torch.no_grad():
        made.model.layers[1].self_attn.k_proj.weight[3, 7] = value
    folder = checkpoints.save(tmp_path / "c", made)
    with pytest.raises(qwen3moe.NumericalError, match=r"blk\.1\.attn_k\.weight"):
        qwen3moe.quantize(folder, tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["c"]

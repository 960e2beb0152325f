"""The file: the same for a seed whatever the threads, and metadata that other engines understand."""

import hashlib
import os

import pytest

from qwen3moe import _core
from qwen3moe.synth import synth
from tests.shapes import TINY

from .models import metadata, sha256, tensors

# Of all tensor data of TINY with seed 0: files made of one seed on two machines must be equal. A change of the
# generator changes it knowingly.
DATA_SHA256 = {
    "Q4_K_M": "882091253399ba7fb77c0a992098dcce71930ab77130167d7f38c16a3295a4a3",
    "F16": "3dfb352e68fe0d7a42417492ff0cad7a5fdba2aea77629cd4acf5be2f8e6ad92",
}


@pytest.mark.parametrize("types", ["Q4_K_M", "Q8_0", "F32"])
def test_a_seed_gives_one_file_for_any_threads(tmp_path, types):
    shape = dict(layers=2, vocab=2048)  # tensors of several pieces
    files = [sha256(synth(tmp_path / f"{n}.gguf", types=types, threads=n, seed=7, **shape)) for n in (1, 2, 3)]
    assert len(set(files)) == 1
    assert sha256(synth(tmp_path / "other.gguf", types=types, seed=8, **shape)) != files[0]


@pytest.mark.parametrize("types", DATA_SHA256)
def test_the_data_of_a_seed_is_the_same_everywhere(tmp_path, types):
    digest = hashlib.sha256()
    for tensor in tensors(synth(tmp_path / "m.gguf", types=types, **TINY)).values():
        digest.update(tensor.data.tobytes())
    assert digest.hexdigest() == DATA_SHA256[types]


def test_a_shallow_model_is_the_start_of_a_deep_one(tmp_path):
    shallow = tensors(synth(tmp_path / "2.gguf", types="Q8_0", **TINY))
    deep = tensors(synth(tmp_path / "3.gguf", types="Q8_0", **TINY | dict(layers=3)))
    assert set(shallow) < set(deep)
    for name, tensor in shallow.items():
        assert (tensor.data == deep[name].data).all()


def test_metadata(tmp_path):
    found = metadata(synth(tmp_path / "m.gguf", seed=5, eps=1e-5, rope=5e6, context=777, **TINY))
    expected = {
        "GGUF.version": 3,
        "general.architecture": "qwen3moe",
        "general.file_type": 15,
        "general.quantization_version": 2,
        "qwen3moe.block_count": 2,
        "qwen3moe.context_length": 777,
        "qwen3moe.embedding_length": 256,
        "qwen3moe.feed_forward_length": 512,
        "qwen3moe.attention.head_count": 4,
        "qwen3moe.attention.head_count_kv": 2,
        "qwen3moe.attention.key_length": 64,
        "qwen3moe.attention.value_length": 64,
        "qwen3moe.attention.layer_norm_rms_epsilon": pytest.approx(1e-5),
        "qwen3moe.rope.freq_base": 5e6,
        "qwen3moe.expert_count": 4,
        "qwen3moe.expert_used_count": 2,
        "qwen3moe.expert_feed_forward_length": 256,
        "qwen3moe.vocab_size": 320,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.add_bos_token": False,
    }
    assert {key: found[key] for key in expected} == expected
    assert "small" in found["general.name"] and "synthetic" in found["general.name"]


@pytest.mark.parametrize(
    ("types", "number"),
    [("F32", 0), ("F16", 1), ("Q8_0", 7), ("Q4_K_M", 15), ("Q5_K_M", 17), ("Q6_K", 18), ("BF16", 32)],
)
def test_file_type(tmp_path, types, number):
    assert metadata(synth(tmp_path / "m.gguf", types=types, **TINY))["general.file_type"] == number


def test_the_path_may_be_of_any_kind_and_is_replaced(tmp_path):
    path = tmp_path / "Größe 模型.gguf"
    path.write_bytes(b"old")
    assert synth(path, **TINY) == os.fspath(path)
    assert list(tmp_path.iterdir()) == [path]
    assert len(tensors(path)) == 3 + 12 * TINY["layers"]
    _core.synth(os.fsencode(tmp_path / "bytes.gguf"), "small", TINY, "F16", 0, 1, None)
    assert (tmp_path / "bytes.gguf").stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_progress_counts_all_bytes_and_never_falls(tmp_path):
    seen = []
    path = synth(tmp_path / "m.gguf", progress=lambda done, total: seen.append((done, total)))
    data = sum(tensor.n_bytes for tensor in tensors(path).values())
    assert {total for _, total in seen} == {data}
    assert seen == sorted(seen)
    assert seen[0][0] < data
    assert seen[-1][0] == data


def test_a_progress_bar(tmp_path, capsys):
    synth(tmp_path / "m.gguf", progress=True, **TINY)
    assert "synth" in capsys.readouterr().err

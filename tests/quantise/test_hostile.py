"""Malformed checkpoints: each is refused with its place, and nothing is written."""

import errno
import json
import shutil
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qwen3moe
from qwen3moe._core import GGUFWriter
from qwen3moe.checkpoint.safetensors import read_header
from qwen3moe.errors import CheckpointError, FileError
from qwen3moe.quantize import Checkpoint
from tests.quantise import checkpoints


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return checkpoints.save(tmp_path_factory.mktemp("checkpoint") / "sample", checkpoints.model(), shards=2)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def file_of(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape=(2, 3), begin=0, end=24, dtype="F32", **more):
    return dict(dtype=dtype, shape=list(shape), data_offsets=[begin, end], **more)


GOOD = entry()
ATTACKS = {
    "empty": (b"", "the header: found a length of 0 in a file of 0 bytes"),
    "cut in its length": (b"\1\2\3", "a file of 3 bytes"),
    "header longer than the file": (file_of({}, length=3), "a length of 3 in a file of 10 bytes"),
    "header of 2^63 bytes": (file_of({}, length=2**63), "a length of 9223372036854775808"),
    "no JSON": (file_of(b"{nothing}"), "expected JSON"),
    "no UTF-8": (file_of(b'{"\xff": 1}'), "expected JSON"),
    "a list": (file_of([]), "the header: found a list"),
    "nested too deep": (file_of(b"[" * 200_000), "expected JSON"),
    "a name twice": (file_of(b'{"a": 1, "a": 2}'), "a key that comes twice"),
    "an entry that is a number": (file_of({"a": 7}), "tensor 'a': found another description"),
    "a key too few": (file_of({"a": {"dtype": "F32", "shape": []}}), "found another description"),
    "a key too many": (file_of({"a": entry(more=1)}, bytes(24)), "found another description"),
    "unknown type": (file_of({"a": entry(dtype="F31")}, bytes(24)), "found type 'F31'"),
    "type that is a list": (file_of({"a": entry(dtype=["F32"])}, bytes(24)), "found type"),
    "negative size": (file_of({"a": entry(shape=(-2, -3))}, bytes(24)), "found shape [-2, -3]"),
    "size that is true": (file_of({"a": entry(shape=(True, 6))}, bytes(24)), "found shape [True, 6]"),
    "size with a fraction": (file_of({"a": entry(shape=(2.0, 3))}, bytes(24)), "found shape [2.0, 3]"),
    "huge size": (file_of({"a": entry(shape=(2**62, 2**62))}, bytes(24)), "found shape [46116"),
    "too many dimensions": (file_of({"a": entry(shape=[1] * 9)}, bytes(24)), "found shape"),
    "three offsets": (file_of({"a": GOOD | {"data_offsets": [0, 1, 2]}}, bytes(24)), "found data_offsets [0, 1, 2]"),
    "backwards": (file_of({"a": entry(begin=24, end=0)}, bytes(24)), "found -24 bytes; expected 24"),
    "fewer bytes than the shape": (file_of({"a": entry(end=20)}, bytes(20)), "found 20 bytes; expected 24"),
    "past the end": (file_of({"a": entry(end=24)}, bytes(20)), "found 93 bytes; expected 97"),
    "left over at the end": (file_of({"a": entry()}, bytes(30)), "the end of the last tensor"),
    "overlap": (file_of({"a": entry(), "b": entry(begin=12, end=36)}, bytes(36)), "tensor 'b': found data at byte"),
    "hole": (file_of({"a": entry(), "b": entry(begin=28, end=52)}, bytes(52)), "tensor 'b': found data at byte"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_safetensors(tmp_path, name):
    content, message = ATTACKS[name]
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError) as failure:
        read_header(tmp_path / "model.safetensors")
    assert message in str(failure.value) and "model.safetensors" in str(failure.value)


def test_a_good_one(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry(begin=24, end=48),
        "a": entry(),
        "empty": entry((0, 3), 48, 48),
    }
    (tmp_path / "model.safetensors").write_bytes(file_of(header, struct.pack("<12f", *range(12))))
    found = read_header(tmp_path / "model.safetensors")
    assert set(found) == {"a", "b", "empty"}
    assert found["b"].read(1, 3).tolist() == [7, 8, 9]


def test_every_cut_of_a_good_one_is_refused(tmp_path):
    content = file_of({"a": entry()}, bytes(24))
    for length in range(len(content)):
        (tmp_path / "m.safetensors").write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            read_header(tmp_path / "m.safetensors")


def test_a_file_that_shrinks_after_it_was_opened(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(file_of({"a": entry()}, bytes(24)))
    tensor = read_header(tmp_path / "m.safetensors")["a"]
    (tmp_path / "m.safetensors").write_bytes(file_of({"a": entry()}, bytes(20)))
    with pytest.raises(CheckpointError, match="an end of the file"):
        tensor.read(0, 6)


def change(path, edit):
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def in_index(**placed):
    return "model.safetensors.index.json", lambda document: document["weight_map"].update(placed)


def in_tokenizer(*path, value):
    def edit(document):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return "tokenizer.json", edit


def in_config(**values):
    return "tokenizer_config.json", lambda document: document.update(values)


CHANGES = {
    "shard elsewhere": (in_index(a="../model.safetensors"), "the shard '../model.safetensors'"),
    "shard by its full path": (in_index(a="/etc/passwd"), "the shard '/etc/passwd'"),
    "shard of another kind": (in_index(a="config.json"), "the shard 'config.json'"),
    "shard that is a number": (in_index(a=7), "weight_map"),
    "tensor that its shard lacks": (in_index(a="model-00001-of-00002.safetensors"), "tensor 'a': found nothing"),
    "no map": (("model.safetensors.index.json", lambda document: document.pop("weight_map")), "weight_map"),
    "no model": (in_tokenizer("model", value=None), "model: found another tokenizer"),
    "word pieces": (in_tokenizer("model", "type", value="WordPiece"), "model: found another tokenizer"),
    "other words": (in_tokenizer("pre_tokenizer", value={"type": "ByteLevel"}), "pre_tokenizer"),
    "no pre-tokenizer": (in_tokenizer("pre_tokenizer", value=None), "pre_tokenizer"),
    "id too large": (
        in_tokenizer("model", "vocab", "!", value=320),
        "token '!': found id 320",
    ),
    "negative id": (in_tokenizer("model", "vocab", "!", value=-1), "token '!': found id -1"),
    "id that is text": (in_tokenizer("model", "vocab", "!", value="1"), "token '!': found id 1"),
    "an id twice": (in_tokenizer("model", "vocab", "!", value=5), "an id of its own"),
    "merges that are a number": (in_tokenizer("model", "merges", value=5), "merges: found a int"),
    "merge of three": (in_tokenizer("model", "merges", value=["a b c"]), "merges: found 'a b c'"),
    "merge of one": (in_tokenizer("model", "merges", value=[["a"]]), "merges: found ['a']"),
    "added without content": (in_tokenizer("added_tokens", value=[{"id": 1}]), "added_tokens"),
    "added without id": (in_tokenizer("added_tokens", value=[{"content": "x"}]), "token 'x': found id -1"),
    "lone surrogate": (in_tokenizer("added_tokens", 0, "content", value="\ud800"), "lone surrogates"),
    "template that is a number": (in_config(chat_template=5), "chat_template: found a int"),
    "added by a word": (in_config(added_tokens_decoder={"x": {"content": "y"}}), "added_tokens_decoder"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_index_and_tokenizer(copy, tmp_path, name):
    (file, edit), message = CHANGES[name]
    change(copy / file, edit)
    with pytest.raises(CheckpointError) as failure:
        qwen3moe.quantize(copy, tmp_path / "m.gguf")
    assert message in str(failure.value)
    assert not (tmp_path / "m.gguf").exists()


@pytest.mark.parametrize("missing", ["config.json", "model-00002-of-00002.safetensors", "model.safetensors.index.json"])
def test_a_file_that_is_missing(copy, tmp_path, missing):
    (copy / missing).unlink()
    with pytest.raises(FileError) as failure:
        qwen3moe.quantize(copy, tmp_path / "m.gguf")
    assert failure.value.errno == errno.ENOENT
    assert not (tmp_path / "m.gguf").exists()


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_altered_bytes_are_refused_or_harmless(tmp_path, data):
    content = bytearray(file_of({"a": entry(), "b": entry((3,), 24, 36)}, bytes(36)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    try:
        found = read_header(path)
    except CheckpointError:
        return
    for tensor in found.values():
        assert 8 < tensor.offset <= len(content)


ODD = [None, True, -1, 2**70, 1e400, "", "\ud800", [None], [[]], {"x": []}]


def places(document, prefix=()):
    """Every key and index on the way to a value, the first few of long lists."""
    items = document.items() if isinstance(document, dict) else enumerate(document[:3])
    for key, value in list(items)[:40]:
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from places(value, (*prefix, key))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_an_odd_value_in_any_place(copy, file):
    """Each raises what a caller expects, or does no harm: nothing else comes out, and nothing crashes."""
    original = (copy / file).read_text()
    for path in places(json.loads(original)):
        for odd in ODD:
            document = json.loads(original)
            inner = document
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = odd
            (copy / file).write_text(json.dumps(document))
            try:
                Checkpoint(copy).write_metadata(GGUFWriter())
            except qwen3moe.Qwen3MoeError:
                continue

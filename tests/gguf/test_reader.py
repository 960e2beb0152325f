"""Sound files are read as they were written."""

import gc
import struct
from pathlib import Path

import numpy as np
import pytest

from qwen3moe import _core
from qwen3moe.errors import GGUFError

from .build import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    STRING,
    TENSOR_TYPES,
    U8,
    U16,
    U32,
    U64,
    Tensor,
    array,
    entry,
    gguf,
    raw_entry,
    split,
    text,
    u32,
    u64,
)

VOCABULARY = Path(__file__).parents[3] / "shared" / "data" / "ggml-vocab-qwen2.gguf"

VALUES = {
    "a.u8": (U8, 255),
    "a.i8": (I8, -128),
    "a.u16": (U16, 65535),
    "a.i16": (I16, -32768),
    "a.u32": (U32, (1 << 32) - 1),
    "a.i32": (I32, -(1 << 31)),
    "a.u64": (U64, (1 << 64) - 1),
    "a.i64": (I64, -(1 << 63)),
    "a.f32": (F32, 1.5),
    "a.f64": (F64, 0.1),
    "a.true": (BOOL, True),
    "a.false": (BOOL, False),
    "a.string": (STRING, "Ġ é 漢 😀 \U0010ffff \ud7ff \ue000 \0"),
    "an.empty.string": (STRING, ""),
    "k" * 65535: (STRING, "a key of the greatest length"),
    "ключ": (U8, 1),
}
ARRAYS = {
    "array.u8": (U8, [0, 255]),
    "array.i8": (I8, [-128, 127]),
    "array.u16": (U16, [0, 65535]),
    "array.i16": (I16, [-32768, 32767]),
    "array.u32": (U32, [0, (1 << 32) - 1]),
    "array.i32": (I32, [-(1 << 31), (1 << 31) - 1]),
    "array.u64": (U64, [0, (1 << 64) - 1]),
    "array.i64": (I64, [-(1 << 63), (1 << 63) - 1]),
    "array.f32": (F32, [0.5, float("inf")]),
    "array.f64": (F64, [0.1, -0.0]),
    "array.bool": (BOOL, [True, False]),
    "array.string": (STRING, ["", "one", "Ġ漢", ""]),
    "array.empty": (U32, []),
    "array.of.no.strings": (STRING, []),
}
ENTRIES = [entry(key, kind, value) for key, (kind, value) in VALUES.items()]
ENTRIES += [entry(key, ARRAY, value) for key, value in ARRAYS.items()]
TENSORS = [Tensor(f"weight.{kind}", (2 * block, 3), kind) for kind, (_, block, _) in TENSOR_TYPES.items()]
TENSORS += [Tensor(f"rank.{rank}", (5, 3, 2, 4)[:rank]) for rank in range(1, 5)]
TENSORS += [Tensor("n" * 64, (1,))]


@pytest.fixture
def opened(tmp_path):
    """Opens bytes as a file, or {name: bytes} as files of which the first is opened."""

    def open_them(data):
        files = data if isinstance(data, dict) else {"model.gguf": data}
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        return _core.GGUFFile(tmp_path / next(iter(files)))

    return open_them


@pytest.mark.parametrize("version", [2, 3])
def test_metadata_of_every_type(opened, version):
    data = gguf(ENTRIES, version=version)
    file = opened(data)
    expected = {key: value for key, (_, value) in (VALUES | ARRAYS).items()}
    assert file.version == version
    assert file.bytes == len(data)
    assert file.metadata == expected
    assert file.metadata_keys() == list(expected)
    for key, value in expected.items():
        assert file.value(key) == value
        assert type(file.value(key)) is type(value)
    with pytest.raises(KeyError):
        file.value("no.such.key")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [None, 8, 64, 4096])
def test_tensors_of_every_type(opened, version, alignment):
    entries = [] if alignment is None else [entry("general.alignment", U32, alignment)]
    data = gguf(entries, TENSORS, version=version, alignment=alignment or 32)
    file = opened(data)
    assert len(file.tensors) == len(TENSORS)
    for found, written in zip(file.tensors, TENSORS, strict=True):
        content = written.content()
        assert found["name"] == written.name
        assert found["type"] == written.type
        assert found["shape"] == written.shape
        assert found["bytes"] == len(content)
        assert found["offset"] % (alignment or 32) == 0
        assert data[found["offset"] : found["offset"] + len(content)] == content
        assert file.tensor_data(written.name).tobytes() == content
    with pytest.raises(KeyError):
        file.tensor_data("no.such.tensor")


def test_data_in_any_order_and_with_gaps(opened):
    first = Tensor("first", (8,), offset=128, data=b"")
    second = Tensor("second", (8,), offset=32, data=bytes(range(160)))
    file = opened(gguf([], [first, second]))
    assert file.tensor_data("first").tobytes() == bytes(range(128, 160))
    assert file.tensor_data("second").tobytes() == bytes(range(32, 64))


def test_the_greatest_and_least_alignment(opened):
    for alignment in (8, 1 << 21):
        data = gguf([entry("general.alignment", U32, alignment)], [Tensor("a", (3,))], alignment=alignment)
        assert opened(data).tensors[0]["offset"] % alignment == 0


def test_a_file_without_tensors_or_metadata(opened):
    assert opened(gguf()).tensors == []
    assert opened(gguf()).metadata == {}
    assert opened(gguf([entry("a", U8, 1)])).tensors == []


def test_a_view_is_read_only_and_keeps_the_file(opened):
    view = opened(gguf([], [Tensor("a", (8,))])).tensor_data("a")
    gc.collect()
    assert view.tobytes() == Tensor("a", (8,)).content()
    assert view.dtype == np.uint8
    assert not view.flags.writeable
    with pytest.raises(ValueError):
        view[0] = 1
    with pytest.raises(ValueError):
        view.setflags(write=True)


@pytest.mark.parametrize("parts", [1, 2, 3, 11])
def test_split_files(opened, parts):
    tensors = [[Tensor(f"{part}.{i}", (8 + part,)) for i in range(part % 3)] for part in range(parts)]
    files = split(tensors)
    file = opened(files)
    assert file.bytes == sum(map(len, files.values()))
    assert file.value("split.count") == parts
    written = [tensor for part in tensors for tensor in part]
    assert [tensor["name"] for tensor in file.tensors] == [tensor.name for tensor in written]
    for tensor in written:
        assert file.tensor_data(tensor.name).tobytes() == tensor.content()
    file.check_intact()


@pytest.mark.parametrize("count", [0, 1])
def test_merged_files(opened, count):
    entries = [entry("split.no", U16, 0), entry("split.count", U16, count), entry("split.tensors.count", I32, 1)]
    assert len(opened(gguf(entries, [Tensor("a", (8,))])).tensors) == 1


def small_file():
    """Every kind of field, in few bytes; its last byte is a tensor's."""
    entries = [
        entry("general.alignment", U32, 8),
        entry("a.string", STRING, "é"),
        entry("b.bools", ARRAY, (BOOL, [True, False])),
        entry("c.strings", ARRAY, (STRING, ["x", "ü"])),
        entry("d.floats", ARRAY, (F32, [1.0])),
        entry("e.last", I64, -1),
    ]
    return gguf(entries, [Tensor("t.a", (32, 2), "Q8_0"), Tensor("t.b", (3, 1, 2))], alignment=8)


def test_every_cut_is_refused(tmp_path):
    whole = small_file()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole)
    assert len(_core.GGUFFile(path).tensors) == 2
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(GGUFError, match=r"cut\.gguf: .+: found .+; expected "):
            _core.GGUFFile(path)


def test_every_changed_byte_is_read_or_refused(tmp_path):
    whole = small_file()
    path = tmp_path / "changed.gguf"
    opened = refused = 0
    for place in range(_place_of_data(whole, path)):
        old = whole[place]
        for new in {old ^ (1 << bit) for bit in range(8)} | {0, 1, 0x7F, 0x80, 0xFF, old ^ 0xFF} - {old}:
            path.write_bytes(whole[:place] + bytes([new]) + whole[place + 1 :])
            try:
                file = _core.GGUFFile(path)
            except GGUFError:
                refused += 1
                continue
            opened += 1
            assert len(file.metadata) <= 6
            assert all(file.tensor_data(tensor["name"]).size == tensor["bytes"] for tensor in file.tensors)
    assert opened > 200
    assert refused > 1000


def _place_of_data(whole, path):
    path.write_bytes(whole)
    return min(tensor["offset"] for tensor in _core.GGUFFile(path).tensors)


def test_strings_are_utf8_exactly_where_python_says(tmp_path):
    """The first, last and one-off bytes of every form of UTF-8, in all pairs of the first two bytes."""
    path = tmp_path / "utf8.gguf"
    edges = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF]
    for lead in [
        0x7F,
        0x80,
        0xBF,
        0xC0,
        0xC1,
        0xC2,
        0xDF,
        0xE0,
        0xE1,
        0xEC,
        0xED,
        0xEE,
        0xEF,
        0xF0,
        0xF1,
        0xF3,
        0xF4,
        0xF5,
    ]:
        for second in edges:
            for tail in (b"", b"\x80", b"\xbf\x80", b"\x80\x80\x80", b"\x80\xc0", b"\x7f"):
                content = bytes([lead, second]) + tail
                path.write_bytes(gguf([entry("a", STRING, content)]))
                try:
                    expected = content.decode()
                except UnicodeDecodeError:
                    with pytest.raises(GGUFError, match="expected valid UTF-8"):
                        _core.GGUFFile(path)
                else:
                    assert _core.GGUFFile(path).value("a") == expected


def test_many_entries_open_fast(opened):
    """Keys and names in order, in reverse, and with long common beginnings: the look-up must not degrade."""
    keys = [f"{'p' * 200}.{i:05d}" for i in range(20000)]
    file = opened(gguf([raw_entry(key, U8, b"\1") for key in [*keys[::2], *reversed(keys[1::2])]]))
    assert len(file.metadata_keys()) == len(keys)
    descriptions = [text(f"t.{i}") + u32(1) + u64(1) + u32(0) + u64(32 * i) for i in reversed(range(20000))]
    data = gguf([], [*descriptions, Tensor("end", (8,), offset=32 * 20000, data=bytes(32 * 20001))])
    assert len(opened(data).tensors) == 20001


def test_an_array_may_be_as_large_as_the_file(opened):
    length = 3_000_000
    payload = u32(U16) + u64(length) + struct.pack(f"<{length}H", *(i % 65536 for i in range(length)))
    file = opened(gguf([raw_entry("a", ARRAY, payload), raw_entry("b", ARRAY, array(U8, [7]))]))
    assert file.value("b") == [7]
    assert file.value("a")[65535:65537] == [65535, 0]


def test_agrees_with_the_gguf_package(tmp_path):
    writer_module = pytest.importorskip("gguf.gguf_writer")
    reader_module = pytest.importorskip("gguf.gguf_reader")
    random = np.random.default_rng(1)
    path = tmp_path / "written.gguf"
    writer = writer_module.GGUFWriter(path, "qwen3moe")
    writer.add_block_count(48)
    writer.add_rope_freq_base(1e6)
    writer.add_token_list(["<|endoftext|>", "Ġthe", "漢"])
    writer.add_token_types([3, 1, 1])
    writer.add_bool("a.bool", True)
    writer.add_array("a.floats", [0.5, 1.5])
    writer.add_custom_alignment(64)
    arrays = {
        "token_embd.weight": random.standard_normal((7, 5), np.float32),
        "half.weight": random.standard_normal((3, 2, 4)).astype(np.float16),
        "one": np.ones(1, np.float32),
    }
    for name, values in arrays.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    _compare(_core.GGUFFile(path), reader_module.GGUFReader(path))


def test_agrees_on_a_real_tokenizer():
    reader_module = pytest.importorskip("gguf.gguf_reader")
    if not VOCABULARY.exists():
        pytest.skip(f"{VOCABULARY.name} is not here")
    file = _core.GGUFFile(VOCABULARY)
    assert len(file.value("tokenizer.ggml.tokens")) == 151936
    assert len(file.value("tokenizer.ggml.merges")) == 151387
    _compare(file, reader_module.GGUFReader(VOCABULARY))


def _compare(ours, theirs):
    fields = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert ours.metadata == fields
    assert ours.version == theirs.fields["GGUF.version"].contents()
    assert [tensor["name"] for tensor in ours.tensors] == [tensor.name for tensor in theirs.tensors]
    for found, tensor in zip(ours.tensors, theirs.tensors, strict=True):
        assert found["type"] == tensor.tensor_type.name
        assert found["shape"] == tuple(tensor.shape.tolist())
        assert found["offset"] == tensor.data_offset
        assert found["bytes"] == tensor.n_bytes
        assert ours.tensor_data(tensor.name).tobytes() == tensor.data.tobytes()

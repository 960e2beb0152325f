"""A GGUF file in, a GGUF file of other types out."""

import numpy as np
import pytest

import qwen3moe
from qwen3moe.errors import GGUFError
from tests.gguf import build
from tests.shapes import PLAIN, TINY
from tests.synth.models import metadata, sha256, tensors, values


@pytest.mark.parametrize("types", PLAIN)
def test_every_type_can_be_read(tmp_path, types):
    source = qwen3moe.synth(tmp_path / "source.gguf", types=types, **TINY)
    expected = tensors(source)
    found = tensors(qwen3moe.quantize(source, tmp_path / "m.gguf", "Q8_0"))
    assert list(found) == list(expected)
    for name, tensor in found.items():
        want = values(expected[name])
        assert tensor.tensor_type.name == ("F32" if want.ndim == 1 or "gate_inp" in name else "Q8_0")
        error = np.abs(values(tensor) - want).max() / np.abs(want).max()
        assert error == 0 if tensor.tensor_type.name == "F32" else error < 1 / 250, name


def test_what_is_a_multiple_of_its_scale_is_found_again(tmp_path):
    source = qwen3moe.synth(tmp_path / "source.gguf", types="Q8_0", **TINY)
    again = tensors(qwen3moe.quantize(source, tmp_path / "m.gguf", "Q8_0"))
    for name, tensor in tensors(source).items():
        want = values(tensor)
        np.testing.assert_allclose(values(again[name]), want, rtol=0.01, atol=np.abs(want).max() / 250)


def test_metadata_goes_along(tmp_path):
    source = qwen3moe.synth(tmp_path / "source.gguf", types="F16", **TINY)
    expected, found = metadata(source), metadata(qwen3moe.quantize(source, tmp_path / "m.gguf", "Q6_K"))
    assert found.pop("general.file_type") == 18
    expected.pop("general.file_type")
    for counts in (expected, found):
        for key in [key for key in counts if key.startswith("GGUF.")]:
            counts.pop(key)
    assert found == expected


def test_every_kind_of_value_goes_along(tmp_path, small_model_path):
    """Numbers of every width at their limits, text and arrays, byte by byte."""
    kinds = {
        build.U8: 255, build.I8: -128, build.U16: 65535, build.I16: -32768, build.U32: 2**32 - 1, build.I32: -(2**31),
        build.F32: 0.1, build.BOOL: 1, build.STRING: "Größe", build.U64: 2**64 - 1, build.I64: -(2**63),
        build.F64: 0.1,
    }  # fmt: skip
    entries = [build.entry(f"user.{kind}", kind, value) for kind, value in kinds.items()]
    entries.append(build.entry("user.texts", build.ARRAY, (build.STRING, ["", "a", "ü"])))
    entries.append(build.entry("user.numbers", build.ARRAY, (build.I16, [-1, 0, 1])))
    source = tmp_path / "source.gguf"
    add_entries(small_model_path, source, entries)
    written = open_bytes(qwen3moe.quantize(source, tmp_path / "m.gguf"))
    for entry in entries:
        assert written.count(entry) == 1


def open_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def add_entries(path, out, entries):
    """The file with these entries before its own, its data moved to the next multiple of 32."""
    data = open_bytes(path)
    reader = qwen3moe._core.GGUFFile(path)
    head_end = len(data) - (len(data) - min(t["offset"] for t in reader.tensors))
    count = int.from_bytes(data[16:24], "little") + len(entries)
    head = data[:16] + build.u64(count) + b"".join(entries) + data[24:head_end]
    # The tensors' offsets count from where the data begins, which is aligned: the padding before it may grow.
    out.write_bytes(head + bytes(-len(b"".join(entries)) % 32) + data[head_end:])


def test_a_split_source(tmp_path):
    source = qwen3moe.synth(tmp_path / "source.gguf", types="F16", **TINY)
    whole = sha256(qwen3moe.quantize(source, tmp_path / "whole.gguf"))
    split_in_two(source, tmp_path)
    joined = qwen3moe.quantize(tmp_path / "parts-00001-of-00002.gguf", tmp_path / "joined.gguf")
    assert not any(key.startswith("split.") for key in metadata(joined))
    assert sha256(joined) == whole


def split_in_two(path, folder):
    file = qwen3moe._core.GGUFFile(path)
    described = file.tensors
    made = [build.Tensor(t["name"], t["shape"], t["type"], file.tensor_data(t["name"]).tobytes()) for t in described]
    data = open_bytes(path)
    first = data.index(build.text("general.architecture"))
    last = data.index(build.text(described[0]["name"]) + build.u32(len(described[0]["shape"])))
    entries, count = [data[first:last]], int.from_bytes(data[16:24], "little")
    for number, part in enumerate((made[:5], made[5:])):
        numbers = [
            build.entry("split.no", build.U16, number),
            build.entry("split.count", build.U16, 2),
            build.entry("split.tensors.count", build.I32, len(made)),
        ]
        own = numbers + entries if number == 0 else numbers
        total = count + 3 if number == 0 else 3
        name = f"parts-{number + 1:05d}-of-00002.gguf"
        (folder / name).write_bytes(build.gguf(own, part, entry_count=total))


def test_in_place(tmp_path):
    path = qwen3moe.synth(tmp_path / "m.gguf", types="F16", **TINY)
    expected = sha256(qwen3moe.quantize(path, tmp_path / "other.gguf"))
    assert qwen3moe.quantize(path, path) == path
    assert sha256(path) == expected


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "source.gguf").write_bytes(build.gguf([build.entry("general.architecture", build.STRING, "llama")]))
    with pytest.raises(GGUFError, match="llama"):
        qwen3moe.quantize(tmp_path / "source.gguf", tmp_path / "m.gguf")
    with pytest.raises(qwen3moe.FileError):
        qwen3moe.quantize(tmp_path / "nothing.gguf", tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["source.gguf"]

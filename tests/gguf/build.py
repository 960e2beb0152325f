"""Writes GGUF files byte by byte. It knows the format only, so that it can break every rule of it."""

import struct
from dataclasses import dataclass

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACKING = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}

# Tensor types that can be read: number, values in a block, bytes of a block.
TENSOR_TYPES = {
    "F32": (0, 1, 4),
    "F16": (1, 1, 2),
    "Q4_0": (2, 32, 18),
    "Q4_1": (3, 32, 20),
    "Q5_0": (6, 32, 22),
    "Q5_1": (7, 32, 24),
    "Q8_0": (8, 32, 34),
    "Q2_K": (10, 256, 84),
    "Q3_K": (11, 256, 110),
    "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176),
    "Q6_K": (14, 256, 210),
    "IQ4_NL": (20, 32, 18),
    "IQ4_XS": (23, 256, 136),
    "BF16": (30, 1, 2),
}


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def text(content, length=None):
    """A string: its length, which may lie, and its bytes."""
    content = content.encode() if isinstance(content, str) else content
    return u64(len(content) if length is None else length) + content


def scalar(kind, value):
    return text(value) if kind == STRING else struct.pack("<" + PACKING[kind], value)


def array(kind, values, length=None):
    """The payload of an array: element type, length (which may lie), elements."""
    length = len(values) if length is None else length
    return u32(kind) + u64(length) + b"".join(scalar(kind, value) for value in values)


def raw_entry(key, kind, payload=b""):
    return text(key) + u32(kind) + payload


def entry(key, kind, value):
    """A metadata entry; the value of an array is (element type, elements)."""
    return raw_entry(key, kind, array(*value) if kind == ARRAY else scalar(kind, value))


@dataclass
class Tensor:
    name: str | bytes
    shape: tuple
    type: str | int = "F32"
    data: bytes | None = None  # None: as many bytes as the shape needs, counting up
    offset: int | None = None  # None: after the data before it, aligned

    @property
    def number(self):
        return TENSOR_TYPES[self.type][0] if isinstance(self.type, str) else self.type

    def content(self):
        if self.data is not None:
            return self.data
        _, block, block_bytes = TENSOR_TYPES[self.type]
        rows = 1
        for dimension in self.shape[1:]:
            rows *= dimension
        return bytes(i % 251 for i in range(self.shape[0] // block * block_bytes * rows))

    def description(self, offset):
        shape = b"".join(u64(dimension) for dimension in self.shape)
        return text(self.name) + u32(len(self.shape)) + shape + u32(self.number) + u64(offset)


def pad(data, alignment):
    return data + bytes(-len(data) % alignment)


def gguf(entries=(), tensors=(), *, version=3, magic=b"GGUF", tensor_count=None, entry_count=None, alignment=32):
    """A whole file. Entries are bytes; tensors are Tensor, or bytes for a description alone. Not padded at its end."""
    data = b""
    descriptions = []
    for tensor in tensors:
        if isinstance(tensor, bytes):
            descriptions.append(tensor)
            continue
        data = pad(data, alignment)
        descriptions.append(tensor.description(len(data) if tensor.offset is None else tensor.offset))
        data += tensor.content()
    head = magic + u32(version)
    head += u64(len(descriptions) if tensor_count is None else tensor_count)
    head += u64(len(entries) if entry_count is None else entry_count)
    head += b"".join(entries) + b"".join(descriptions)
    return pad(head, alignment) + data if data else head


def split(parts, *, base="model", count=None, total=None):
    """A split model as {file name: bytes}; each part is a list of tensors, and the numbers may lie."""
    count = len(parts) if count is None else count
    total = sum(map(len, parts)) if total is None else total
    files = {}
    for number, tensors in enumerate(parts):
        entries = [
            entry("split.no", U16, number),
            entry("split.count", U16, count),
            entry("split.tensors.count", I32, total),
        ]
        files[f"{base}-{number + 1:05d}-of-{count:05d}.gguf"] = gguf(entries, tensors)
    return files

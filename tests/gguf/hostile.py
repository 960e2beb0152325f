"""Every malformed file, by name. To add some: a function that yields cases, and its line in `CASES`."""

from . import hostile_metadata, hostile_model, hostile_split, hostile_tensors
from .build import U32, Tensor, entry, gguf, u32, u64
from .case import Case

ANY_ENTRY = entry("a.key", U32, 7)
ANY_TENSOR = Tensor("a.tensor", (8,))


def magics():
    bad = {
        "zeros": bytes(4),
        "ggml": b"lmgg",
        "ggjt": b"tjgg",
        "lower_case": b"gguf",
        "last_letter": b"GGUf",
        "zip": b"PK\x03\x04",
        "elf": b"\x7fELF",
        "html": b"<htm",
        "git_lfs": b"vers",
        "byte_order_mark": b"\xef\xbb\xbfG",
        "one_byte_late": b"\x00GGU",
    }
    for name, magic in bad.items():
        yield Case(f"magic_{name}", gguf([ANY_ENTRY], magic=magic), r'magic at byte 0: found ".*"; expected "GGUF"')
    yield Case("magic_big_endian", gguf([ANY_ENTRY], magic=b"FUGG"), r"found .*a big-endian file")


def versions():
    for version in (0, 1, 4, 5, 255, 0x10003, 0xFFFFFFFF):
        pattern = rf"version at byte 4: found {version}; expected 2 or 3"
        yield Case(f"version_{version}", gguf([ANY_ENTRY], version=version), pattern)
    for version in (1, 2, 3):
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        pattern = r"version at byte 4: found a big-endian file"
        yield Case(f"version_{version}_big_endian", gguf([ANY_ENTRY], version=swapped), pattern)


def cut_headers():
    yield Case("empty", b"", r"file: found nothing: it is empty")
    header = gguf()
    fields = {"magic": (0, 4), "version": (4, 8), "tensor count": (8, 16), "metadata count": (16, 24)}
    for field, (begin, end) in fields.items():
        for cut in sorted({begin, begin + 1, end - 1} - {0}):
            pattern = rf"header, {field} at byte {begin}: found the end of the file after {cut - begin} bytes"
            yield Case(f"header_cut_at_{cut}", header[:cut], pattern)


def counts():
    whole = gguf([ANY_ENTRY], [ANY_TENSOR])
    room = {"tensor_count": (len(whole) - 16) // 33, "entry_count": (len(whole) - 24) // 14}
    fields = {"tensor_count": "tensor count at byte 8", "entry_count": "metadata count at byte 16"}
    for field, place in fields.items():
        lies = {
            "more_than_room": room[field] + 1,
            "file_size": len(whole),
            "2_pow_31": 1 << 31,
            "2_pow_32": 1 << 32,
            "2_pow_63": 1 << 63,
            "times_14_wraps": (1 << 64) // 14 + 1,
            "times_33_wraps": (1 << 64) // 33 + 1,
            "most": (1 << 64) - 1,
        }
        for name, count in lies.items():
            data = gguf([ANY_ENTRY], [ANY_TENSOR], **{field: count})
            yield Case(f"{field}_{name}", data, rf"{place}: found {count}; expected at most {room[field]},")
    two = [ANY_ENTRY, entry("b.key", U32, 7)]
    yield Case(
        "entry_count_one_too_many",
        gguf([ANY_ENTRY], [ANY_TENSOR], entry_count=2),
        r"tensor 0, its name at byte \d+: found a length of \d+ bytes; expected 1 to 64",
    )
    yield Case(
        "entry_count_one_too_few",
        gguf(two, [ANY_TENSOR], entry_count=1),
        r'tensor "b\.key", its shape at byte \d+: found the end of the file|tensor "b\.key", its type',
    )
    yield Case(
        "tensor_count_one_too_many",
        gguf([ANY_ENTRY], [Tensor("a.tensor", (64,))], tensor_count=2),
        r"tensor 1, its name at byte \d+: found a length of \d+ bytes; expected 1 to 64",
    )
    yield Case("entries_and_tensors_missing", b"GGUF" + u32(3) + u64(1) + u64(1), r"tensor count at byte 8: found 1;")
    yield Case("entries_missing", b"GGUF" + u32(3) + u64(0) + u64(1), r"metadata count at byte 16: found 1;")


CASES = [
    *magics(),
    *versions(),
    *cut_headers(),
    *counts(),
    *hostile_metadata.cases(),
    *hostile_tensors.cases(),
    *hostile_split.cases(),
    *hostile_model.cases(),
]

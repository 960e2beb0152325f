"""Malformed metadata: keys, values, arrays, alignment."""

from .build import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    PACKING,
    STRING,
    U8,
    U16,
    U32,
    U64,
    Tensor,
    array,
    entry,
    gguf,
    raw_entry,
    scalar,
    text,
    u32,
    u64,
)
from .case import Case

NAMES = {
    U8: "u8",
    I8: "i8",
    U16: "u16",
    I16: "i16",
    U32: "u32",
    I32: "i32",
    F32: "f32",
    BOOL: "bool",
    STRING: "string",
    U64: "u64",
    I64: "i64",
    F64: "f64",
}
WIDTHS = {U8: 1, I8: 1, U16: 2, I16: 2, U32: 4, I32: 4, F32: 4, BOOL: 1, U64: 8, I64: 8, F64: 8}
UNKNOWN = (13, 14, 255, 256, 1 << 31, (1 << 32) - 1)
LENGTH_LIES = {
    "2_pow_31": 1 << 31,
    "2_pow_32": 1 << 32,
    "2_pow_63": 1 << 63,
    "wraps_back": (1 << 64) - 8,
    "most": (1 << 64) - 1,
}
NOT_UTF8 = {
    "lone_tail": b"a\x80b",
    "lead_without_tail": b"a\xc3b",
    "overlong_2": b"a\xc0\xafb",
    "overlong_2_high": b"a\xc1\xbfb",
    "overlong_3": b"a\xe0\x9f\xbfb",
    "overlong_4": b"a\xf0\x8f\xbf\xbfb",
    "first_surrogate": b"a\xed\xa0\x80b",
    "last_surrogate": b"a\xed\xbf\xbfb",
    "past_last_plane": b"a\xf4\x90\x80\x80b",
    "lead_f5": b"a\xf5\x80\x80\x80b",
    "byte_fe": b"a\xfeb",
    "byte_ff": b"a\xffb",
    "cut_2": b"a\xc3",
    "cut_3": b"a\xe2\x82",
    "cut_4": b"a\xf0\x9f\x98",
    "third_byte_wrong": b"a\xe2\x82b",
    "fourth_byte_wrong": b"a\xf0\x9f\x98b",
}


def keys():
    room = bytes(70000)
    for name, length in {"empty": 0, "65536": 65536, **LENGTH_LIES}.items():
        data = gguf([u64(length) + room], entry_count=1)
        pattern = rf"metadata entry 0, its key at byte 24: found a length of {length} bytes; expected 1 to 65535"
        yield Case(f"key_length_{name}", data, pattern)
    cut = gguf([text("a.key", length=30)], entry_count=1) + bytes(29 - 5)
    yield Case("key_past_end_by_one", cut, r"its key at byte 32: found the end of the file after 29 bytes; expected 30")
    yield Case("key_longest_past_end", gguf([text(b"k" * 100, length=65535)], entry_count=1), r"expected 65535 bytes")
    yield Case("key_with_nul", gguf([entry("a\0b", U32, 1)]), r'its key at byte 32: found "a\\x00b"; expected no NUL')
    yield Case("key_of_nul", gguf([entry("\0", U32, 1)]), r'its key at byte 32: found "\\x00"; expected no NUL')
    for name, content in NOT_UTF8.items():
        data = gguf([entry(content, U32, 1)])
        yield Case(f"key_utf8_{name}", data, r'its key at byte 32: found "a\\x.*"; expected valid UTF-8')
    for second in (entry("a.key", U32, 1), entry("a.key", U32, 2), entry("a.key", STRING, "x")):
        data = gguf([entry("a.key", U32, 1), second])
        pattern = r'metadata entry 1, its key at byte \d+: found "a\.key" again'
        yield Case(f"key_twice_{len(second)}_{second[-4]}", data, pattern)
    many = [entry(f"key.{i}", U8, 1) for i in range(5000)]
    yield Case("key_twice_far_apart", gguf([*many, many[0]]), r'metadata entry 5000, .*"key\.0" again')


def scalars():
    for kind in UNKNOWN:
        data = gguf([raw_entry("a.key", kind, bytes(16))])
        pattern = rf'key "a\.key", its value type at byte 37: found an unknown value type \({kind}\)'
        yield Case(f"value_type_{kind}", data, pattern)
    for cut in range(4):
        data = gguf([raw_entry("a.longer.key", U8, b"\1")])[: 44 + cut]
        yield Case(f"value_type_cut_{cut}", data, rf"its value type at byte 44: found the end .* after {cut} bytes")
    for kind, width in WIDTHS.items():
        data = gguf([entry("a.longer.key", kind, "1" if kind == STRING else 1)])[:-1]
        pattern = rf'key "a\.longer\.key", its value at byte 48: found the end of the file after {width - 1} bytes'
        yield Case(f"value_{NAMES[kind]}_cut", data, pattern)
    for value in (2, 127, 128, 255):
        pattern = rf'key "a\.key", its value at byte 41: found a bool of {value}; expected 0 or 1'
        yield Case(f"bool_{value}", gguf([entry("a.key", BOOL, value)]), pattern)


def strings():
    for name, length in {**LENGTH_LIES, "one_too_many": 4}.items():
        data = gguf([raw_entry("a.key", STRING, text("abc", length=length))])
        pattern = rf'key "a\.key", its value at byte 49: found the end of the file after 3 bytes; expected {length} by'
        yield Case(f"string_length_{name}", data, pattern)
    for cut in (0, 1, 7):
        data = gguf([raw_entry("a.key", STRING, u64(0)[:cut])])
        yield Case(f"string_length_cut_{cut}", data, rf"its value at byte 41: found the end of the file after {cut} by")
    for name, content in NOT_UTF8.items():
        data = gguf([entry("a.key", STRING, content)])
        yield Case(f"string_utf8_{name}", data, r'key "a\.key", its value .*found "a\\x.*"; expected valid UTF-8')
    # What follows would complete the character: the length of the next key, as its first byte.
    data = gguf([entry("a.key", STRING, b"a\xc3"), entry("k" * 0xA9, STRING, "")])
    yield Case("string_utf8_cut_before_its_tail", data, r'key "a\.key", its value .*expected valid UTF-8')
    late = b"x" * 100_000 + b"\xff"
    yield Case("string_utf8_late", gguf([entry("a.key", STRING, late)]), r"\(100001 bytes\); expected valid UTF-8")


def arrays():
    for kind in UNKNOWN:
        data = gguf([raw_entry("a.key", ARRAY, u32(kind) + u64(1) + bytes(16))])
        pattern = rf"its element type at byte 41: found an unknown value type \({kind}\)"
        yield Case(f"array_of_type_{kind}", data, pattern)
    inner = array(U8, [1])
    yield Case("array_nested", gguf([raw_entry("a.key", ARRAY, u32(ARRAY) + u64(1) + inner)]), r"an array of arrays")
    yield Case("array_nested_empty", gguf([raw_entry("a.key", ARRAY, u32(ARRAY) + u64(0))]), r"an array of arrays")
    deep = (u32(ARRAY) + u64(1)) * 100_000
    yield Case("array_nested_deep", gguf([raw_entry("a.key", ARRAY, deep)]), r"an array of arrays")
    for cut in (0, 1, 3):
        data = gguf([raw_entry("a.key", ARRAY, u32(U8)[:cut])])
        yield Case(f"array_type_cut_{cut}", data, rf"its element type at byte 41: found the end .* after {cut} bytes")
    for cut in (0, 1, 7):
        data = gguf([raw_entry("a.key", ARRAY, u32(U8) + u64(0)[:cut])])
        yield Case(f"array_length_cut_{cut}", data, rf"its length at byte 45: found the end .* after {cut} bytes")
    for kind, width in {**WIDTHS, STRING: 8}.items():
        # The product of length and width: one too many, wrapped to one element, most of all.
        lies = {"one_too_many": 3, "wraps": (1 << 64) // width + 1, "most": (1 << 64) - 1}
        for name, length in lies.items():
            if length >= 1 << 64:
                continue
            elements = bytes(2 * width)
            data = gguf([raw_entry("a.key", ARRAY, u32(kind) + u64(length) + elements)])
            pattern = rf"its length at byte 45: found {length} elements of type {NAMES[kind]}; expected at most 2,"
            yield Case(f"array_{NAMES[kind]}_length_{name}", data, pattern)
    for place, values in {"first": (2, 0, 1), "last": (1, 0, 2), "only": (255,)}.items():
        data = gguf([entry("a.key", ARRAY, (BOOL, values))])
        yield Case(f"array_bool_{place}_wrong", data, r'"a\.key", one of its bools at byte \d+: found a bool of 2')


def arrays_of_strings():
    for name, length in {**LENGTH_LIES, "one_too_many": 9}.items():
        elements = text("first") + text("the last", length=length)
        data = gguf([raw_entry("a.key", ARRAY, u32(STRING) + u64(2) + elements)])
        pattern = rf"one of its strings at byte \d+: found the end of the file after 8 bytes; expected {length} bytes"
        yield Case(f"one_string_length_{name}", data, pattern)
    eats = text("eats the next", length=13 + 9) + text("")
    data = gguf([raw_entry("a.key", ARRAY, u32(STRING) + u64(2) + eats)])
    yield Case("one_string_eats_next", data, r"one of its strings at byte \d+: found the end of the file")
    for name, content in NOT_UTF8.items():
        data = gguf([entry("a.key", ARRAY, (STRING, ["fine", content, "fine"]))])
        yield Case(f"one_string_utf8_{name}", data, r'one of its strings .*found "a\\x.*"; expected valid UTF-8')
    # Well formed apart, not together: no string may lean on its neighbour.
    data = gguf([entry("a.key", ARRAY, (STRING, [b"a\xe2\x82", b"\xac"]))])
    yield Case("one_string_utf8_across_two", data, r"expected valid UTF-8")


def alignments():
    tensor = Tensor("a.tensor", (8,))
    bad = (0, 1, 2, 4, 3, 24, 31, 33, 48, 96, 1 << 22, 1 << 30, 1 << 31, (1 << 32) - 1)
    for value in bad:
        data = gguf([entry("general.alignment", U32, value)], [tensor])
        pattern = rf'key "general\.alignment": found {value}; expected a power of two from 8 to 2097152'
        yield Case(f"alignment_{value}", data, pattern)
    for kind in (U8, I8, U16, I16, I32, F32, U64, I64, F64):
        data = gguf([entry("general.alignment", kind, 32)], [tensor])
        pattern = rf'key "general\.alignment": found {NAMES[kind]}; expected u32'
        yield Case(f"alignment_as_{NAMES[kind]}", data, pattern)
    yield Case("alignment_as_bool", gguf([entry("general.alignment", BOOL, 1)], [tensor]), r"found bool; expected u32")
    yield Case("alignment_as_string", gguf([entry("general.alignment", STRING, "32")]), r"found string; expected u32")
    yield Case("alignment_as_array", gguf([entry("general.alignment", ARRAY, (U32, [32]))]), r"found array; expected")
    same = entry("general.alignment", U32, 32)
    for name, second in {"same": same, "other": entry("general.alignment", U32, 64)}.items():
        yield Case(f"alignment_twice_{name}", gguf([same, second], [tensor]), r'"general\.alignment" again')


def cases():
    assert set(WIDTHS) == set(PACKING) and all(len(scalar(kind, 1)) == width for kind, width in WIDTHS.items())
    return [*keys(), *scalars(), *strings(), *arrays(), *arrays_of_strings(), *alignments()]

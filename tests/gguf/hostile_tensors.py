"""Malformed tensor descriptions: names, shapes, types, places of the data."""

from .build import TENSOR_TYPES, U32, Tensor, entry, gguf, text, u32, u64
from .case import Case
from .hostile_metadata import LENGTH_LIES, NOT_UTF8

# Types that GGUF has or had and that are not read.
UNREAD_TYPES = {
    4: "Q4_2",
    5: "Q4_3",
    9: "Q8_1",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    21: "IQ3_S",
    22: "IQ2_S",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    34: "TQ1_0",
    35: "TQ2_0",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
    39: "MXFP4",
    255: "unknown",
    1 << 31: "unknown",
    (1 << 32) - 1: "unknown",
}


def lone(tensor):
    """One description and 1 KiB of data that it may claim."""
    return gguf([], [tensor.description(tensor.offset or 0), Tensor("end", (8,), offset=1024 - 32, data=bytes(1024))])


def names():
    room = bytes(128)
    for name, length in {"empty": 0, "65": 65, **LENGTH_LIES}.items():
        data = gguf([], [u64(length) + room])
        pattern = rf"tensor 0, its name at byte 24: found a length of {length} bytes; expected 1 to 64"
        yield Case(f"tensor_name_length_{name}", data, pattern)
    cut = gguf([], [text("a.tensor", length=64) + bytes(63 - 8)])
    yield Case("tensor_name_past_end_by_one", cut, r"tensor 0, its name at byte 32: .* after 63 bytes; expected 64")
    for name, content in {"nul_inside": "a\0b", "nul_last": "a\0", "nul_only": "\0"}.items():
        yield Case(f"tensor_name_{name}", lone(Tensor(content, (8,))), r"its name at byte 32: .* expected no NUL")
    for name, content in NOT_UTF8.items():
        data = lone(Tensor(content, (8,)))
        yield Case(f"tensor_name_utf8_{name}", data, r'its name at byte 32: found "a\\x.*"; expected valid UTF-8')
    twice = Tensor("twice", (8,))
    data = gguf([], [twice, twice])
    yield Case("tensor_twice", data, r'tensor 1, its name at byte \d+: found "twice" again')
    data = gguf([], [twice, Tensor("twice", (32,), "Q8_0")])
    yield Case("tensor_twice_otherwise", data, r'tensor 1, its name at byte \d+: found "twice" again')
    many = [Tensor(f"t{i}", (1,), data=bytes(32)) for i in range(3000)]
    yield Case("tensor_twice_far_apart", gguf([], [*many, many[1]]), r'tensor 3000, .*"t1" again')
    hidden = Tensor("\x1b[2J\r\n" + "n" * 50, (0,))
    yield Case("tensor_name_with_escapes", lone(hidden), r'^[ -~]*tensor "\\x1b\[2J\\x0d\\x0an+", [ -~]*$')


def cuts():
    """A description cut inside each of its fields."""
    whole = gguf([], [Tensor("a.tensor", (8, 2, 2, 2)).description(0)])
    begin = 24
    widths = {"name": 8 + 8, "rank": 4, "shape": 32, "type": 4, "offset": 8}
    for field, width in widths.items():
        for cut in (begin + 1, begin + width - 1):
            if cut - 24 < 33:
                pattern = r"tensor count at byte 8: found 1; expected at most 0"
            else:
                pattern = rf'tensor "a\.tensor", its {field} at byte \d+: found the end of the file'
            yield Case(f"tensor_cut_in_{field}_at_{cut}", whole[:cut], pattern)
        begin += width
    second = gguf([], [Tensor("a.tensor", (8, 2, 2, 2)).description(0), Tensor("b.tensor", (8,)).description(0)])
    begin = len(whole)
    for field, width in {"name": 8 + 8, "rank": 4, "shape": 8, "type": 4, "offset": 8}.items():
        pattern = rf'tensor ("b\.tensor"|1), its {field} at byte \d+: found the end of the file'
        yield Case(f"second_tensor_cut_in_{field}", second[: begin + width - 1], pattern)
        begin += width


def shapes():
    for rank in (0, 5, 6, 255, 1 << 31, (1 << 32) - 1):
        description = text("a.tensor") + u32(rank) + u64(1) * min(rank, 6) + u32(0) + u64(0)
        data = gguf([], [description + bytes(64)])
        pattern = rf'tensor "a\.tensor", its rank at byte 40: found a rank of {rank}; expected 1 to 4'
        yield Case(f"rank_{rank}", data, pattern)
    for rank in range(1, 5):
        for zero in range(rank):
            shape = [8] * rank
            shape[zero] = 0
            pattern = rf'tensor "a\.tensor", its shape at byte {44 + 8 * zero}: found a dimension of 0; expected at l'
            yield Case(f"dimension_{zero}_of_{rank}_zero", lone(Tensor("a.tensor", shape)), pattern)


def wrapping_shapes():
    """Shapes whose size, counted in 64 bits without care, comes out small enough to fit."""
    pattern = r'tensor "a\.tensor", its type at byte \d+: found a shape of more than 2\^64 bytes'
    shapes = {
        "square_to_zero": (1 << 32, 1 << 32),
        "cube_to_zero": (1 << 22, 1 << 22, 1 << 22),
        "rank_4_to_zero": (1 << 16, 1 << 16, 1 << 16, 1 << 16),
        "halves_to_zero": (1 << 63, 2),
        "bytes_to_zero": (1 << 62,),
        "bytes_to_128": ((1 << 62) + 32,),
        "last_dimension_to_zero": (8, 1, 1, 1 << 61),
        "last_dimension_to_small": (8, 1, 1, (1 << 59) + 1),
        "all_ones": ((1 << 64) - 1,),
        "all_ones_squared": ((1 << 64) - 1, (1 << 64) - 1),
        "minus_one_twice": (8, (1 << 64) - 1),
        "zero_then_small": (1 << 32, 1 << 32, 8),
        "small_via_odd_factors": (3, 0xAAAAAAAAAAAAAAAB),
    }
    for name, shape in shapes.items():
        yield Case(f"shape_{name}", lone(Tensor("a.tensor", shape)), pattern)
    for kind, (_, block, block_bytes) in TENSOR_TYPES.items():
        odd_part = block_bytes & -block_bytes
        for name, rows in {"zero": (1 << 64) // odd_part, "one_row": (1 << 64) // odd_part + 1}.items():
            assert rows * block_bytes % (1 << 64) in (0, block_bytes)
            yield Case(f"shape_{kind}_wraps_to_{name}", lone(Tensor("a.tensor", (block, rows), kind)), pattern)

    negative = r'tensor "a\.tensor": found \d+ bytes of data at offset 0; expected an end within the \d+ bytes'
    for name, shape in {
        "2_pow_63_bytes": (1 << 61,),
        "2_pow_63_bytes_in_rows": (8, 1 << 58),
        "minus_32_bytes": ((1 << 62) - 8,),
        "2_pow_32_bytes": (1 << 30,),
        "2_pow_32_plus_32_bytes": ((1 << 30) + 8,),
        "2_pow_31_rows": (1, 1 << 31),
    }.items():
        yield Case(f"shape_{name}", lone(Tensor("a.tensor", shape)), negative)


def types():
    for number, name in UNREAD_TYPES.items():
        pattern = rf'tensor "a\.tensor", its type at byte 52: found {name} \(type {number}\); expected one of F32, F16'
        yield Case(f"type_{number}_{name}", lone(Tensor("a.tensor", (256,), number)), pattern)
    for kind, (_, block, _) in TENSOR_TYPES.items():
        for row in (1, block - 1, block + 1, block // 2) if block > 1 else ():
            pattern = (
                rf"its type at byte 60: found {kind} with rows of {row}; expected rows that are .* block of {block}"
            )
            yield Case(f"rows_of_{row}_in_{kind}", lone(Tensor("a.tensor", (row, block), kind)), pattern)


def offsets():
    for alignment in (8, 32, 64, 4096):
        for offset in (1, alignment // 2, alignment - 1, alignment + 4):
            entries = [entry("general.alignment", U32, alignment)]
            data = gguf(entries, [Tensor("a.tensor", (8,), offset=offset, data=bytes(8192))], alignment=alignment)
            pattern = rf"its offset at byte \d+: found an offset of {offset}; expected a multiple .* {alignment}"
            yield Case(f"offset_{offset}_for_alignment_{alignment}", data, pattern)
    past = r'tensor "a\.tensor": found 32 bytes of data at offset \d+; expected an end within the \d+ bytes of data'
    for name, offset in {
        "at_end": 1024 + 992,
        "past_end": 4096,
        "2_pow_32": 1 << 32,
        "2_pow_63": 1 << 63,
        "start_wraps": (1 << 64) - 64,
        "end_wraps_to_zero": (1 << 64) - 32,
    }.items():
        yield Case(f"offset_{name}", lone(Tensor("a.tensor", (8,), offset=offset)), past)


def cut_data():
    two = [Tensor("a.tensor", (8,)), Tensor("b.tensor", (16,))]
    whole = gguf([], two)
    begin = len(whole) - 96
    for name, cut in {"by_one": 95, "to_one": 33, "whole": 32}.items():
        pattern = rf'tensor "b\.tensor": found 64 bytes of data at offset 32; expected an end within the {cut} bytes'
        yield Case(f"data_cut_{name}", whole[: begin + cut], pattern)
    pattern = r'tensor "a\.tensor": found 32 bytes of data at offset 0; expected an end within the 0 bytes'
    yield Case("data_missing", whole[:begin], pattern)
    yield Case("padding_cut", whole[: begin - 1], pattern)
    for kind, (_, block, block_bytes) in TENSOR_TYPES.items():
        data = gguf([], [Tensor("a.tensor", (block, 3), kind)])[:-1]
        pattern = rf"found {3 * block_bytes} bytes of data .* within the {3 * block_bytes - 1} bytes"
        yield Case(f"data_of_{kind}_cut_by_one", data, pattern)


def overlaps():
    def at(name, offset, values=16):
        return Tensor(name, (values,), offset=offset, data=b"")

    end = Tensor("end", (8,), offset=512, data=bytes(1024))
    overlapping = {
        "same_place": [at("a", 0), at("b", 0)],
        "last_part": [at("a", 0), at("b", 32)],
        "contained": [at("a", 0, 64), at("b", 64)],
        "containing": [at("a", 64), at("b", 0, 64)],
        "out_of_order": [at("a", 32), at("b", 0)],
        "third_on_first": [at("a", 0), at("b", 64), at("c", 0, 8)],
        "by_one_value": [at("a", 0, 9), at("b", 32)],
        "with_last": [at("a", 480)],
    }
    for name, tensors in overlapping.items():
        pattern = r'tensor ".+": found data at byte \d+ that overlaps tensor ".+"; expected data of its own'
        yield Case(f"overlap_{name}", gguf([], [*tensors, end]), pattern)


def cases():
    return [
        *names(),
        *cuts(),
        *shapes(),
        *wrapping_shapes(),
        *types(),
        *offsets(),
        *cut_data(),
        *overlaps(),
    ]

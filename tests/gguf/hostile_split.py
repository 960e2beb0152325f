"""Split models whose parts contradict themselves, each other or their names."""

from .build import ARRAY, F32, I32, STRING, U16, U32, U64, Tensor, entry, gguf, split
from .case import Case

FIRST, SECOND, THIRD = (Tensor(name, (8,)) for name in ("first", "second", "third"))
PARTS = [[FIRST], [SECOND], [THIRD]]
ONE, TWO, THREE = (f"model-0000{part}-of-00003.gguf" for part in (1, 2, 3))


def numbered(number=(U16, 0), count=(U16, 3), total=(I32, 3), tensors=(FIRST,)):
    """A part whose split keys are given as (type, value), or left out where None."""
    keys = {"split.no": number, "split.count": count, "split.tensors.count": total}
    return gguf([entry(key, *value) for key, value in keys.items() if value], tensors)


def with_first(**lies):
    return {**split(PARTS), ONE: numbered(**lies)}


def with_second(**lies):
    good = {"number": (U16, 1), "tensors": (SECOND,)}
    return {**split(PARTS), TWO: numbered(**{**good, **lies})}


def named(name, data):
    return {name: data, **{key: value for key, value in split(PARTS).items() if key not in (name, ONE)}}


def reopened(name):
    files = split(PARTS)
    return {name: files.pop(name), **files}


def first_parts():
    for name in (TWO, THREE):
        pattern = rf'"split\.no": found part {name[10]} of 3; expected part 1: open .*/{ONE}$'
        yield Case(f"split_opened_at_{name[10]}", reopened(name), pattern)
    place = r"file name: found part 1 of 3; expected a name that ends in -00001-of-00003\.gguf"
    for name in ("model.gguf", "model-1-of-3.gguf", "model-00001-of-00004.gguf", "model_00001-of-00003.gguf", TWO):
        yield Case(f"split_named_{name[:-5]}", named(name, numbered()), place)
    yield Case("split_named_as_first", named(ONE, numbered(number=(U16, 1))), r"file name: found part 2 of 3; expected")
    for number in (3, 4, 65535):
        pattern = rf'"split\.no": found {number}; expected less than 3'
        yield Case(f"split_number_{number}", with_first(number=(U16, number)), pattern)
    for name, count in {"65536": (U32, 65536), "most": (U64, (1 << 64) - 1)}.items():
        pattern = rf'"split\.count": found {count[1]}; expected at most 65535'
        yield Case(f"split_count_{name}", with_first(count=count), pattern)
    for field, key in {"number": "split.no", "count": "split.count", "total": "split.tensors.count"}.items():
        wrong = {
            "negative": ((I32, -1), "-1; expected an integer that is not negative"),
            "a_float": ((F32, 1.0), "f32; expected an integer"),
            "a_string": ((STRING, "3"), "string; expected an integer"),
            "an_array": ((ARRAY, (U16, [3])), "an array of u16; expected an integer"),
        }
        for name, (value, pattern) in wrong.items():
            yield Case(f"split_{field}_{name}", with_first(**{field: value}), rf'key "{key}": found {pattern}')
    for field, key in {"number": "split.no", "total": "split.tensors.count"}.items():
        yield Case(f"split_{field}_missing", with_first(**{field: None}), rf'key "{key}": found nothing; expected a')


def siblings():
    second = rf"/{TWO}: "
    for name, data, pattern in (
        ("empty", b"", "file: found nothing"),
        ("cut", split(PARTS)[TWO][:-1], 'tensor "second": found 32 bytes .* within the 31 bytes'),
        ("no_gguf", b"not a model at all", 'header, magic at byte 0: found "not "'),
        ("whole_model", gguf([], [SECOND]), 'key "split.no": found nothing'),
    ):
        yield Case(f"split_second_{name}", {**split(PARTS), TWO: data}, second + pattern)
    yield Case("split_second_is_first", with_second(number=(U16, 0)), second + r'key "split\.no": found 0; expected 1')
    yield Case("split_second_is_third", with_second(number=(U16, 2)), second + r'key "split\.no": found 2; expected 1')
    for count in (0, 1, 2, 4):
        pattern = second + rf'key "split\.count": found {count}; expected 3'
        yield Case(f"split_second_of_{count}", with_second(count=(U16, count)), pattern)
    pattern = second + r'key "split\.tensors\.count": found 4; expected 3'
    yield Case("split_second_other_total", with_second(total=(I32, 4)), pattern)
    for field, key in {"number": "split.no", "count": "split.count", "total": "split.tensors.count"}.items():
        pattern = second + rf'key "{key}": found nothing'
        yield Case(f"split_second_without_{field}", with_second(**{field: None}), pattern)
    pattern = second + r'tensor "first": found a tensor that an earlier part holds'
    yield Case("split_tensor_in_two_parts", with_second(tensors=(FIRST,)), pattern)
    for total in (0, 2, 4, 1 << 30):
        pattern = rf'/{ONE}: key "split\.tensors\.count": found {total}; expected 3'
        yield Case(f"split_total_{total}", split(PARTS, total=total), pattern)


def merged():
    """One file that carries the keys of a split."""
    for count in (None, 0, 1):
        value = None if count is None else (U16, count)
        data = numbered(number=(U16, 1), count=value, total=None)
        yield Case(f"merged_count_{count}_number_1", data, r'key "split\.no": found 1; expected 0')
        data = numbered(count=value)
        yield Case(f"merged_count_{count}_total_3", data, r'key "split\.tensors\.count": found 3; expected 1')


def views():
    """A part that is read from its bytes alone, where no name leads to the others."""
    return [Case("view_of_a_part", numbered(), r'key "split\.count": found a part of a split model', "view")]


def cases():
    return [*first_parts(), *siblings(), *merged()]

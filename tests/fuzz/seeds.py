"""Writes first inputs for fuzz_gguf into a folder: `python -m tests.fuzz.seeds FOLDER`."""

import sys
from pathlib import Path

from tests.gguf.build import ARRAY, BOOL, F32, I16, STRING, TENSOR_TYPES, U8, U32, Tensor, entry, gguf
from tests.gguf.hostile import CASES

LARGEST = 4096


def sound():
    entries = [
        entry("general.alignment", U32, 8),
        entry("string", STRING, "é"),
        entry("strings", ARRAY, (STRING, ["x", "ü"])),
        entry("bools", ARRAY, (BOOL, [1, 0])),
        entry("numbers", ARRAY, (U32, [1, 2])),
        entry("float", F32, 1.0),
        entry("negative", I16, -1),
        entry("byte", U8, 1),
    ]
    yield "metadata", gguf(entries)
    for kind, (_, block, _) in TENSOR_TYPES.items():
        yield kind, gguf(entries[:1], [Tensor("a", (block, 2), kind), Tensor("b", (3, 1, 2))], alignment=8)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    malformed = ((case.name, case.data) for case in CASES if isinstance(case.data, bytes))
    for name, data in (*sound(), *malformed):
        if len(data) <= LARGEST:
            (folder / name).write_bytes(data)

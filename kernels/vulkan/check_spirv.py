"""Checks that a compiled shader keeps the arithmetic exact, then writes it as the inside of a C array.

usage: check_spirv.py shader.spv shader.inc

Allowed of floats: add, subtract and multiply marked NoContraction, negation, comparison, integer to float, and what
only moves bits. Everything else that could round as a driver likes is refused by name.
"""

import struct
import sys
from pathlib import Path

MAGIC = 0x07230203
DECORATE, EXT_INST = 71, 12
NO_CONTRACTION = 42
EXACT = {129: "OpFAdd", 131: "OpFSub", 133: "OpFMul"}
REFUSED = {
    109: "OpConvertFToU",
    110: "OpConvertFToS",
    115: "OpFConvert",
    116: "OpQuantizeToF16",
    136: "OpFDiv",
    140: "OpFRem",
    141: "OpFMod",
    142: "OpVectorTimesScalar",
    143: "OpMatrixTimesScalar",
    144: "OpVectorTimesMatrix",
    145: "OpMatrixTimesVector",
    146: "OpMatrixTimesMatrix",
    147: "OpOuterProduct",
    148: "OpDot",
    350: "OpGroupNonUniformFAdd",
    352: "OpGroupNonUniformFMul",
    355: "OpGroupNonUniformFMin",
    358: "OpGroupNonUniformFMax",
    5614: "OpAtomicFMinEXT",
    5615: "OpAtomicFMaxEXT",
    6035: "OpAtomicFAddEXT",
}
# Of GLSL.std.450 only integer functions: SAbs, UMin, SMin, UMax, SMax, UClamp, SClamp, FindILsb, FindSMsb, FindUMsb.
INTEGER_FUNCTIONS = {5, 38, 39, 41, 42, 44, 45, 73, 74, 75}


def instructions(words):
    """(opcode, operands) of each instruction."""
    at = 5
    while at < len(words):
        size = words[at] >> 16
        if size == 0 or at + size > len(words):
            raise ValueError(f"a broken instruction at word {at}")
        yield words[at] & 0xFFFF, words[at + 1 : at + size]
        at += size


def faults(words):
    """What in a module could give other bits on another driver."""
    if len(words) < 5 or words[0] != MAGIC:
        raise ValueError("not SPIR-V")
    all_instructions = list(instructions(words))
    exact = {args[0] for op, args in all_instructions if op == DECORATE and args[1] == NO_CONTRACTION}
    found = []
    for op, args in all_instructions:
        if op in EXACT and args[1] not in exact:
            found.append(f"{EXACT[op]} %{args[1]} without NoContraction")
        elif op in REFUSED:
            found.append(f"{REFUSED[op]} %{args[1]}")
        elif op == EXT_INST and args[3] not in INTEGER_FUNCTIONS:
            found.append(f"OpExtInst {args[3]} of GLSL.std.450")
    return found


def load(path):
    data = Path(path).read_bytes()
    return struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])


def main(source, target):
    words = load(source)
    found = faults(words)
    if found:
        sys.exit(f"{source} is not exact: " + "; ".join(found[:10]))
    lines = (", ".join(f"0x{w:08x}" for w in words[i : i + 10]) for i in range(0, len(words), 10))
    Path(target).write_text(",\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

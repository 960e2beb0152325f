"""Checks the object files of one instruction set, as the build makes them.

usage: check_objects.py namespace nm objdump object...

Symbols of one name in two variants are linked as one, and the code of either could run where it must not: so every
symbol that others can see names the variant's namespace. And no instruction is one that the arithmetic leaves out:
fused ones, which round once where it rounds twice, division and roots.
"""

import re
import subprocess
import sys

LEFT_OUT = re.compile(
    r"^\s*[0-9a-f]+:\s+(v?fn?m(?:add|sub)\w*|fml[as]\w*|v?(?:div|sqrt|rcp|rcp14|rsqrt|rsqrt14)[sp][sd])\b", re.MULTILINE
)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def foreign_symbols(listing, namespace):
    """Symbols that others can see, from `nm -C -P --defined-only`, and that do not name the namespace."""
    found = []
    for line in listing.splitlines():
        match = re.match(r"(.+?) ([A-Za-z])( |$)", line)
        if match and match[2] in "TDBRGSWVuwvC" and f"{namespace}::" not in match[1]:
            found.append(match[1])
    return found


def main(namespace, nm, objdump, *objects):
    for path in objects:
        foreign = foreign_symbols(output(nm, "-C", "-P", "--defined-only", path), namespace)
        if foreign:
            sys.exit(f"{path} defines what another variant could too: " + "; ".join(foreign[:5]))
        found = set(LEFT_OUT.findall(output(objdump, "-d", "--no-show-raw-insn", path)))
        if found:
            sys.exit(f"{path} has instructions that the arithmetic leaves out: " + ", ".join(sorted(found)))


if __name__ == "__main__":
    main(*sys.argv[1:])

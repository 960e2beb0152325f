"""Takes one check of the reader out at a time, and sees which malformed files of the corpus then get through.

All checks stand in one program, each behind a switch, so that it is built once: `python -m tests.gguf.mutations`
prints a table of every check, how many cases need it, and the first of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.gguf import hostile_split
from tests.gguf.case import Case
from tests.gguf.hostile import CASES

ROOT = Path(__file__).parents[2]
CHECKED = ["gguf/cursor", "gguf/metadata", "gguf/tensors", "gguf/file", "gguf/split", "gguf/getters", "gguf/mapping",
           "gguf/utf8", "model/config", "model/weights"]  # fmt: skip
OTHERS = ["gguf/page_guard", "gguf/refusal", "gguf/types", "gguf/values"]
FLAGS = ["-std=c++20", "-O0", f"-I{ROOT / 'cpp'}", f"-I{ROOT / 'kernels'}"]
WORKERS = 2
MEMORY_KB, SECONDS = 4_000_000, 60  # of a program whose missing check makes it hungry, or endless

LEVELS = ("container", "model", "view")  # a file, the model in it, and a file's bytes alone
CORPUS = [*CASES, *hostile_split.views()]

# A condition and the refusal behind it; and calls that do nothing but refuse.
CONDITION = re.compile(
    r"^ *if \((?!const )(?P<code>[^;{]*?)\)\s+(?:\{[^{}]*?)?(?:[\w.>-]*(?:gguf::)?refuse\(|return false;)",
    re.MULTILINE | re.DOTALL,
)
CALL = re.compile(
    r"^ +(?:if \(has\(\w+\)\) )?(?P<code>(?:require|must_equal|check_rope|check_vocabulary|refuse_overlaps"
    r"|find\.refuse_leftovers|file->check_lone)\([^;]*\));",
    re.MULTILINE,
)

# What no malformed file can show, and the test that does.
ELSEWHERE = {
    "!S_ISREG(status.st_mode)": "tests/gguf/test_paths.py::test_fifo_and_devices_are_refused_at_once",
    "page_guard::torn(slot_)": "tests/gguf/test_truncated_mapping.py::test_a_torn_file_stays_torn",
    "size < size_": "tests/gguf/test_truncated_mapping.py::test_each_part_of_a_split_is_watched",
}


@dataclass(frozen=True)
class Check:
    """A condition, a part of one, or a call, and where it stands in its source."""

    file: str
    line: int
    begin: int
    end: int
    code: str
    kind: str  # "condition", "part", "bound" or "call"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {' '.join(self.code.split())}"

    def behind(self, switch: int, code: str) -> str:
        """The code such that the switch takes the check away."""
        if self.kind == "call":
            return f"KEPT({switch}) ? (void)({code}) : (void)0"
        if self.kind == "bound":  # of what must hold, where the others are what must not
            return f"(!KEPT({switch}) || ({code}))"
        return f"(KEPT({switch}) && ({code}))"


def source(file: str) -> str:
    return (ROOT / "cpp" / f"{file}.cpp").read_text()


def parts(code: str, operator: str = "||") -> list[tuple[int, int]]:
    """Where the operands of the outermost || (or &&) stand; none where there is no such."""
    depth, cuts = 0, []
    for i, c in enumerate(code):
        depth += (c in "([") - (c in ")]")
        if depth == 0 and code.startswith(operator, i):
            cuts.append(i)
    begins, ends = [0, *(cut + 2 for cut in cuts)], [*cuts, len(code)]
    return list(zip(begins, ends, strict=True)) if cuts else []


def spans(code: str) -> list[tuple[int, int, str]]:
    """A condition as a whole, and each part of it that refuses something on its own."""
    found = [(0, len(code), "condition"), *((a, b, "part") for a, b in parts(code))]
    if code.startswith("!(") and code.endswith(")"):
        found += [(a + 2, b + 2, "bound") for a, b in parts(code[2:-1], "&&")]
    return found


def checks(elsewhere: bool = False) -> list[Check]:
    """All of them, or but those that are noticed elsewhere."""
    found = []
    for file in CHECKED:
        text = source(file)
        for pattern, kind in ((CONDITION, "condition"), (CALL, "call")):
            for match in pattern.finditer(text):
                begin, code = match.start("code"), match["code"]
                for a, b, what in spans(code) if kind == "condition" else [(0, len(code), kind)]:
                    line = text.count("\n", 0, begin + a) + 1
                    found.append(Check(file, line, begin + a, begin + b, code[a:b], what))
    return [check for check in found if elsewhere or check.code not in ELSEWHERE]


CHECKS = checks()


def switched(file: str) -> str:
    """A source with every check behind its switch."""
    text = source(file)
    # From the end, and parts before the whole that they stand in, so that places stay right.
    mine = [(switch, check) for switch, check in enumerate(CHECKS) if check.file == file]
    grown: dict[tuple[int, int], int] = {}
    for switch, check in sorted(mine, key=lambda item: (-item[1].begin, item[1].end)):
        inside = sum(more for (a, b), more in grown.items() if check.begin <= a and b <= check.end)
        end = check.end + inside
        code = check.behind(switch, text[check.begin : end])
        grown[check.begin, check.end] = len(code) - (end - check.begin)
        text = text[: check.begin] + code + text[end:]
    return text


@dataclass(frozen=True)
class Outcome:
    """The cases that are no longer refused as they should be, and whether the program came to its end."""

    cases: list[str]
    died: bool


class Reader:
    """The reader as a program of which one check can be taken away, and malformed files for it."""

    def __init__(self, folder: Path, corpus: Iterable[Case], program: Path) -> None:
        self.folder, self.program = folder, program
        self.cases: dict[str, list[tuple[Case, Path]]] = {level: [] for level in LEVELS}
        for level in LEVELS:
            (folder / level).mkdir()
        for case in corpus:
            self.cases[case.level].append((case, case.write(folder / case.level)))

    def without(self, switch: int = -1) -> Outcome:
        """What gets through without one check; -1 takes none away."""
        cases, died = [], False
        for level in LEVELS:
            messages = self.messages(switch, level)
            died |= len(messages) < len(self.cases[level])
            for i, (case, _) in enumerate(self.cases[level]):
                if i >= len(messages) or not re.search(case.pattern, messages[i]):
                    cases.append(case.name)
        return Outcome(cases, died)

    def messages(self, switch: int, level: str) -> list[str]:
        """What the program says of each case of a level, as far as it comes."""
        limited = ["bash", "-c", f"ulimit -v {MEMORY_KB}; exec timeout {SECONDS} {self.program} {level}"]
        paths = "".join(f"{path}\n" for _, path in self.cases[level])
        environment = {**os.environ, "SWITCH": str(switch)}
        done = subprocess.run(limited, input=paths, capture_output=True, text=True, errors="replace", env=environment)
        return done.stdout.splitlines()


def build(folder: Path) -> Path:
    """The program, of which the environment variable SWITCH takes a check away."""
    header, definition = folder / "switch.h", folder / "switch.cpp"
    header.write_text("extern int switched_off;\n#define KEPT(n) (switched_off != (n))\n")
    definition.write_text('#include <cstdlib>\nint switched_off = std::atoi(std::getenv("SWITCH"));\n')
    sources = [definition, ROOT / "tests" / "gguf" / "refuse.cpp", *(ROOT / "cpp" / f"{name}.cpp" for name in OTHERS)]
    for name in CHECKED:
        path = folder / f"{name.replace('/', '-')}.cpp"
        path.write_text(switched(name))
        sources.append(path)

    def compiled(path: Path) -> Path:
        out = folder / f"{path.stem}.o"
        done = subprocess.run(
            ["g++", *FLAGS, "-include", header, "-c", path, "-o", out], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return out

    with ThreadPoolExecutor(WORKERS) as pool:
        objects = list(pool.map(compiled, sources))
    program = folder / "reader"
    subprocess.run(["g++", *objects, "-o", program], check=True)
    return program


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@cache
def program() -> Path:
    """The program, built once for all in this process that ask for it."""
    return build(Path(_folder().name))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(Path(folder), CORPUS, program())
        with ThreadPoolExecutor(WORKERS) as pool:
            outcomes = list(pool.map(reader.without, range(-1, len(CHECKS))))
    sound, *outcomes = outcomes
    for check, outcome in zip(CHECKS, outcomes, strict=True):
        count = "ends the process" if outcome.died else f"{len(outcome.cases)} cases"
        first = outcome.cases[0] if outcome.cases else "NOT NOTICED"
        print(f"{str(check)[:90]:90}  {count:16}  {first}")
    unnoticed = sum(not outcome.cases for outcome in outcomes)
    print(
        f"{len(CHECKS)} checks, {unnoticed} of them not noticed; with all of them {len(sound.cases)} cases get through"
    )
    return 1 if unnoticed or sound.cases else 0


if __name__ == "__main__":
    sys.exit(main())

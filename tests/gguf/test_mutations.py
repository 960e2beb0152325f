"""The corpus of malformed files notices the loss of any one check of the reader: each is taken out in turn."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from .hostile import CASES

ROOT = Path(__file__).parents[2]
CHECKED = ["gguf/cursor", "gguf/metadata", "gguf/tensors", "gguf/file", "gguf/split", "gguf/getters", "model/config",
           "model/weights"]  # fmt: skip
OTHERS = ["gguf/mapping", "gguf/page_guard", "gguf/refusal", "gguf/types", "gguf/utf8", "gguf/values"]
FLAGS = ["-std=c++20", "-O0", f"-I{ROOT / 'cpp'}", f"-I{ROOT / 'kernels'}"]
CHECK = re.compile(
    r"^( *)if \((?!const )(?P<condition>[^;{]*?)\)\s+(?:\{[^{}]*?)?[\w.>-]*(?:gguf::)?refuse\(",
    re.MULTILINE | re.DOTALL,
)

# What no file that is opened can show: of views, and of a getter that only its callers' own files reach. The fuzzer of
# the reader aborts without either.
ELSEWHERE = {"unsigned_of(kCount, 0) > 1", "array.element_type != element_type"}


@dataclass(frozen=True)
class Mutant:
    file: str
    begin: int  # of the condition, in the source
    end: int

    def source(self):
        text = (ROOT / "cpp" / f"{self.file}.cpp").read_text()
        return f"{text[: self.begin]}false && ({text[self.begin : self.end]}){text[self.end :]}"

    def __str__(self):
        text = (ROOT / "cpp" / f"{self.file}.cpp").read_text()
        return f"{self.file}:{text.count(chr(10), 0, self.begin) + 1}: {text[self.begin : self.end]}"


def mutants():
    for file in CHECKED:
        for found in CHECK.finditer((ROOT / "cpp" / f"{file}.cpp").read_text()):
            if found["condition"] in ELSEWHERE:
                continue
            yield Mutant(file, found.start("condition"), found.end("condition"))


MUTANTS = list(mutants())


def test_every_check_is_found():
    """As many as there are refusals behind an if, so that a check in another form does not go unnoticed."""
    assert len(MUTANTS) >= 45
    assert {mutant.file for mutant in MUTANTS} == set(CHECKED)


class Reader:
    """The reader as a program, of which one source can be replaced."""

    def __init__(self, folder):
        self.folder = folder
        sources = [f"cpp/{name}.cpp" for name in CHECKED + OTHERS] + ["tests/gguf/refuse.cpp"]
        with ThreadPoolExecutor(2) as pool:
            self.objects = dict(zip(sources, pool.map(self.compile, [ROOT / s for s in sources]), strict=True))
        self.cases = {}
        for level in ("container", "model"):
            cases = [case for case in CASES if case.level == level]
            (folder / level).mkdir()
            self.cases[level] = [(case, case.write(folder / level)) for case in cases]

    def compile(self, source):
        out = self.folder / f"{source.parent.name}-{source.stem}.o"
        subprocess.run(["g++", *FLAGS, "-c", source, "-o", out], check=True, capture_output=True)
        return out

    def missed(self, mutant=None):
        """The cases that are not refused as they should be."""
        objects = dict(self.objects)
        if mutant:
            changed = self.folder / "changed" / f"{Path(mutant.file).name}.cpp"
            changed.parent.mkdir(exist_ok=True)
            changed.write_text(mutant.source())
            objects[f"cpp/{mutant.file}.cpp"] = self.compile(changed)
        program = self.folder / "reader"
        subprocess.run(["g++", *objects.values(), "-o", program], check=True)
        return [case.name for level in self.cases for case in self.wrong(program, level)]

    def wrong(self, program, level):
        paths = "".join(f"{path}\n" for _, path in self.cases[level])
        # A mutant may crash, hang, or ask for more memory than there is: all of it is noticed.
        limited = ["bash", "-c", f"ulimit -v 4000000; exec timeout 60 {program} {level}"]
        done = subprocess.run(limited, input=paths, capture_output=True, text=True, errors="replace")
        messages = done.stdout.splitlines()
        for i, (case, _) in enumerate(self.cases[level]):
            if i >= len(messages) or not re.search(case.pattern, messages[i]):
                yield case


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return Reader(tmp_path_factory.mktemp("reader"))


pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")


@pytest.mark.slow
def test_the_reader_itself_misses_nothing(reader):
    assert reader.missed() == []


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_the_corpus_notices(reader, mutant):
    assert reader.missed(mutant), f"no malformed file needs {mutant}"

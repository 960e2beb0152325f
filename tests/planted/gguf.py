"""Faults of the reader: what it lets pass, and what it finds where it should not."""

import os
import stat
from types import SimpleNamespace

from qwen3moe import _core
from qwen3moe.errors import GGUFError
from tests.arithmetic import formats
from tests.faults import test_truncation
from tests.fuzz import seeds, test_seeds
from tests.gguf import mutations, test_hostile, test_mutations, test_paths, test_reader, test_truncated_mapping
from tests.planted.bench import needs, planted, shown_by_the_suite
from tests.proofs import smt
from tests.proofs import test_reader as proofs

(ALIGNED,) = (i for i, check in enumerate(mutations.CHECKS) if check.code == "offset % alignment != 0")


@planted("FALSIFY-GGUF-HOSTILE-001")
def a_reader_without_a_check(bench):
    """The reader does not look whether an offset is a multiple of the alignment."""
    needs("g++")
    case = next(case for case in test_hostile.CASES if case.name.startswith("offset_1_for_alignment"))
    reader = mutations.Reader(bench.folder, [case], mutations.program())

    def run(switch):
        (message,) = reader.messages(switch, case.level)
        kind = "opened" if message == "opened" else "GGUFError"
        test_hostile.test_is_refused(case, {case.name: (kind, message, 0.0)})

    yield lambda: run(-1)
    yield lambda: run(ALIGNED)


@planted("FALSIFY-GGUF-MUTATION-001")
def a_corpus_without_a_case(bench):
    """The corpus has lost the cases of one check."""
    needs("g++")
    program = mutations.program()
    (bench.folder / "whole").mkdir()
    (bench.folder / "less").mkdir()
    less = [case for case in mutations.CORPUS if "for_alignment" not in case.name]
    whole, less = (
        mutations.Reader(bench.folder / n, c, program) for n, c in (("whole", mutations.CORPUS), ("less", less))
    )
    yield lambda: test_mutations.test_the_corpus_notices(whole, ALIGNED)
    yield lambda: test_mutations.test_the_corpus_notices(less, ALIGNED)


@planted("FALSIFY-GGUF-CUTS-001")
def a_reader_that_fills_up(bench):
    """What is missing at a file's end is taken for zeros."""
    whole = test_reader.small_file()

    def opened(real, path):
        with open(path, "ab") as file:
            file.write(bytes(max(0, len(whole) - os.path.getsize(path))))
        return real(path)

    yield lambda: test_reader.test_every_cut_is_refused(bench.folder)
    bench.wrap(_core, "GGUFFile", opened)
    yield lambda: test_reader.test_every_cut_is_refused(bench.folder)


@planted("FALSIFY-GGUF-BYTES-001")
def a_reader_that_refuses_nothing(bench):
    """A file that should be refused is opened as if it were empty."""

    def opened(real, path):
        try:
            return real(path)
        except GGUFError:
            return SimpleNamespace(metadata={}, tensors=[])

    yield shown_by_the_suite
    bench.wrap(_core, "GGUFFile", opened)
    yield lambda: test_reader.test_every_changed_byte_is_read_or_refused(bench.folder)


@planted("FALSIFY-GGUF-PATHS-001")
def a_reader_of_devices(bench):
    """A device is opened like a file."""

    def opened(real, path):
        return None if stat.S_ISCHR(os.stat(path).st_mode) else real(path)

    (bench.folder / "sound").mkdir()
    yield lambda: test_paths.test_fifo_and_devices_are_refused_at_once(bench.folder / "sound")
    bench.wrap(_core, "GGUFFile", opened)
    yield lambda: test_paths.test_fifo_and_devices_are_refused_at_once(bench.folder)


@planted("FALSIFY-GGUF-BOUNDS-001")
def a_solver_that_believes_all(bench):
    """The solver says that every claim holds."""
    needs("z3")
    yield lambda: proofs.test_the_solver_finds_the_planted_wrap("extent.bytes > available")
    bench.patch(smt, "holds", lambda *claim: True)
    yield lambda: proofs.test_the_solver_finds_the_planted_wrap("extent.bytes > available")


@planted("FALSIFY-GGUF-SEEDS-001")
def seeds_of_zeros(bench):
    """The fuzzers start from models whose weights are all zero."""
    yield lambda: test_seeds.test_seeds_reach_the_forward_pass(bench.folder, "Q8_0")
    bench.wrap(formats, "random_rows", lambda real, *args: 0 * real(*args))
    bench.patch_item(test_seeds.FORWARD, "Q8_0", seeds.model("Q8_0"))
    yield lambda: test_seeds.test_seeds_reach_the_forward_pass(bench.folder, "Q8_0")


class Seen:
    """An open file of which some things are seen otherwise."""

    def __init__(self, file, **changed):
        self._file = file
        self.__dict__.update(changed)

    def __getattr__(self, name):
        return getattr(self._file, name)


def each(file, **changes):
    return [{**tensor, **{key: change(tensor[key]) for key, change in changes.items()}} for tensor in file.tensors]


def opener(folder):
    """As the tests' own: bytes, or several files of which the first is opened."""

    def open_them(data):
        files = data if isinstance(data, dict) else {"model.gguf": data}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return _core.GGUFFile(folder / next(iter(files)))

    return open_them


@planted("FALSIFY-GGUF-OTHERS-001")
def shapes_the_other_way_round(bench):
    """Shapes come slowest dimension first."""

    def opened(real, path):
        file = real(path)
        return Seen(file, tensors=each(file, shape=lambda shape: shape[::-1]))

    yield lambda: test_reader.test_agrees_with_the_gguf_package(bench.folder)
    bench.wrap(_core, "GGUFFile", opened)
    yield lambda: test_reader.test_agrees_with_the_gguf_package(bench.folder)


@planted("FALSIFY-GGUF-SPLIT-001")
def only_the_first_part(bench):
    """Tensors of later parts are not there."""

    def opened(real, path):
        file = real(path)
        return Seen(file, tensors=file.tensors[:1])

    yield lambda: test_reader.test_split_files(opener(bench.folder), 3)
    bench.wrap(_core, "GGUFFile", opened)
    yield lambda: test_reader.test_split_files(opener(bench.folder), 3)


@planted("FALSIFY-GGUF-TYPES-001")
def data_a_block_too_far(bench):
    """Data is taken to begin one alignment later."""

    def opened(real, path):
        file = real(path)
        return Seen(file, tensors=each(file, offset=lambda offset: offset + 32))

    yield lambda: test_reader.test_tensors_of_every_type(opener(bench.folder), 3, None)
    bench.wrap(_core, "GGUFFile", opened)
    yield lambda: test_reader.test_tensors_of_every_type(opener(bench.folder), 3, None)


@planted("FALSIFY-GGUF-TRUNCATED-001")
def a_torn_file_that_passes(bench):
    """A file that was cut under its mapping passes for whole."""
    script = test_truncated_mapping.TOUCH_AFTER_EVERY_LENGTH
    silent = "from qwen3moe import _core\n_core.GGUFFile.check_intact = lambda self: None\n"
    yield lambda: test_truncated_mapping.test_touching_what_was_cut_off(bench.folder)
    bench.patch(test_truncated_mapping, "TOUCH_AFTER_EVERY_LENGTH", silent + script)
    yield lambda: test_truncated_mapping.test_touching_what_was_cut_off(bench.folder)


SWALLOWED = """
import qwen3moe
real = qwen3moe.Session.eval
def evaluate(*args, **options):
    try:
        return real(*args, **options)
    except qwen3moe.GGUFError:
        return None
qwen3moe.Session.eval = evaluate
"""


@planted("FALSIFY-GGUF-TRUNCATED-002")
def a_cut_that_is_not_told(bench):
    """A call on a file that was cut ends as if nothing were."""
    script = test_truncation.ROUNDS.replace("range(rounds)", "range(0, rounds, 11)").replace("told += 1", "told += 10")
    bench.patch(test_truncation, "ROUNDS", script)
    yield lambda: test_truncation.test_a_hundred_of_a_hundred(bench.path, bench.folder)
    bench.patch(test_truncation, "ROUNDS", SWALLOWED + script)
    yield lambda: test_truncation.test_a_hundred_of_a_hundred(bench.path, bench.folder)

"""Faults of the package: errors of another kind, work that nobody can interrupt, memory that is kept."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import qwen3moe
from qwen3moe import cli
from qwen3moe.contracts import receipts, validate
from tests.claims import test_package
from tests.contracts import test_mutations, test_receipts
from tests.faults import test_allocations, test_fork, test_growth, test_interrupts
from tests.forward import test_bits, test_session
from tests.planted.bench import needs, planted, shown_by_the_suite
from tests.python import test_cli, test_import, test_model, test_stubs

Model, Session = qwen3moe.Model, qwen3moe.Session


@planted("FALSIFY-API-ERRORS-001")
def an_error_of_its_own_kind(bench):
    """A refusal of a file is no ValueError."""

    class GGUFError(qwen3moe.Qwen3MoeError):
        """One that a caller does not expect."""

    check = test_import.test_errors_are_also_the_builtin_that_a_caller_expects
    yield lambda: check(qwen3moe.GGUFError, ValueError)
    yield lambda: check(GGUFError, ValueError)


@planted("FALSIFY-API-KEYWORDS-001")
def an_option_that_is_ignored(bench):
    """Unknown options are ignored."""

    def forward(real, self, tokens, positions="last", **ignored):
        return real(self, tokens, positions)

    yield lambda: test_model.test_unknown_keywords_are_errors(bench.path, bench.model)
    bench.wrap_method(Model, "forward", forward)
    yield lambda: test_model.test_unknown_keywords_are_errors(bench.path, bench.model)


@planted("FALSIFY-API-KEYWORDS-002")
def an_option_by_its_place(bench):
    """An option may be given by its place."""

    def opened(real, path, device="auto", threads=None):
        return real(path, device, threads=threads)

    yield lambda: test_package.test_options_are_keyword_only(bench.path, bench.model)
    bench.wrap(Model, "from_gguf", opened)
    yield lambda: test_package.test_options_are_keyword_only(bench.path, bench.model)


@planted("FALSIFY-API-CLI-001")
def an_error_of_several_lines(bench):
    """An error is printed with where it came from."""

    def main(real, words):
        status = real(words)
        if status == cli.REFUSED:
            print("raised in main", file=sys.stderr)
        return status

    words, message = ["logits", "MODEL", "--tokens", "1", "--device", "tpu"], "tpu"
    (bench.folder / "empty").mkdir()

    def run():
        with pytest.MonkeyPatch.context() as patch:
            test_cli.test_errors_are_one_line_and_exit_2(
                bench.fixture("run"), bench.path, bench.folder / "empty", patch, words, message
            )

    yield run
    bench.wrap(test_cli, "main", main)
    yield run


@planted("FALSIFY-API-STUBS-001")
def a_stub_of_a_function_that_is_gone(bench):
    """A stub has a function that the module has not."""
    yield shown_by_the_suite
    stubs = bench.folder / "stubs"
    package = Path(qwen3moe.__file__).parent
    shutil.copytree(package, stubs / "qwen3moe", ignore=shutil.ignore_patterns("*.gguf", "*.so", "__pycache__"))
    with (stubs / "qwen3moe" / "_core" / "arithmetic.pyi").open("a") as file:
        file.write("\ndef cosine(x: float) -> float: ...\n")
    bench.environment("MYPYPATH", str(stubs))
    yield lambda: test_stubs.test_stubs_agree_with_the_compiled_module(bench.folder)


@planted("FALSIFY-API-IMPORT-001")
def a_package_that_needs_a_driver(bench):
    """Without a driver the package does not import."""
    yield test_import.test_import_without_any_driver
    bench.in_children("import os, sys\nif 'VK_DRIVER_FILES' in os.environ: sys.modules['qwen3moe'] = None\n")
    yield test_import.test_import_without_any_driver


@planted("FALSIFY-API-IMPORT-002")
def a_package_that_loads_another(bench):
    """The package loads a large one."""
    yield lambda: test_import.test_import_loads_nothing_heavy("yaml")
    bench.in_children("import yaml")
    yield lambda: test_import.test_import_loads_nothing_heavy("yaml")


@planted("FALSIFY-API-LOGGING-001")
def a_package_that_logs(bench):
    """The package configures logging."""
    yield test_import.test_logging_is_silent_by_default
    bench.in_children("import logging; logging.basicConfig()")
    yield test_import.test_logging_is_silent_by_default


OTHER_ERROR = """
import qwen3moe
real = qwen3moe.Model.from_gguf
def from_gguf(*args, **options):
    try:
        return real(*args, **options)
    except MemoryError as error:
        raise RuntimeError(str(error)) from None
qwen3moe.Model.from_gguf = from_gguf
"""


@planted("FALSIFY-API-ALLOCATIONS-001")
def an_allocation_that_ends_otherwise(bench):
    """A load that runs out of memory ends in a RuntimeError."""

    def every_fortieth(real, command, **options):
        return real([*command[:-1], "40"] if command[-1] == "1" else command, **options)

    needs("g++")
    preload = bench.fixture("preload")
    bench.wrap(subprocess, "run", every_fortieth)
    yield lambda: test_allocations.test_every_allocation_may_fail(preload, bench.folder)
    bench.in_children(OTHER_ERROR)
    yield lambda: test_allocations.test_every_allocation_may_fail(preload, bench.folder)


@planted("FALSIFY-API-GROWTH-001")
def sessions_that_stay(bench):
    """Closing a session keeps its cache."""
    kept = []

    def session(real, self, context):
        made = real(self, context)
        kept.append(made._core)
        made.close = lambda: None
        return made

    bench.patch(test_growth, "sized", lambda device, full, small: small)
    yield lambda: test_growth.test_a_thousand_sessions(bench.path, "cpu")
    bench.wrap_method(Model, "session", session)
    bench.wrap_method(Session, "close", lambda real, self: None)
    yield lambda: test_growth.test_a_thousand_sessions(bench.path, "cpu")


def work_without_a_look():
    """Half a second of one call of C, in which Python runs no handler."""
    sum(range(5 * 10**7))


@planted("FALSIFY-API-INTERRUPT-001")
def an_evaluation_without_a_look(bench):
    """For half a second of its work an evaluation does not look for signals."""

    def evaluate(real, self, tokens, *args, **options):
        if len(tokens) > 1:
            work_without_a_look()
        return real(self, tokens, *args, **options)

    yield lambda: test_interrupts.test_polls_are_never_far_apart(bench.path, "cpu")
    bench.wrap_method(Session, "eval", evaluate)
    yield lambda: test_interrupts.test_polls_are_never_far_apart(bench.path, "cpu")


@planted("FALSIFY-API-INTERRUPT-002")
def an_interrupt_that_is_lost(bench):
    """An interrupted call begins again."""

    def evaluate(real, self, *args, **options):
        try:
            return real(self, *args, **options)
        except KeyboardInterrupt:
            return real(self, *args, **options)

    yield lambda: test_interrupts.test_ctrl_c_ends_a_call(bench.path, "cpu", "prefill")
    bench.wrap_method(Session, "eval", evaluate)
    yield lambda: test_interrupts.test_ctrl_c_ends_a_call(bench.path, "cpu", "prefill")


@planted("FALSIFY-API-INTERRUPT-003")
def a_load_without_a_look(bench):
    """For half a second of its work a load does not look for signals."""

    def opened(real, *args, **options):
        work_without_a_look()
        return real(*args, **options)

    weights = bench.fixture("large_weights")
    yield lambda: test_interrupts.test_a_load_looks_for_signals(weights, "cpu")
    bench.wrap(Model, "from_gguf", opened)
    yield lambda: test_interrupts.test_a_load_looks_for_signals(weights, "cpu")


@planted("FALSIFY-API-ONE-CALLER-001")
def a_session_of_many_callers(bench):
    """Truncating a session that is in use is let pass."""

    def truncate(real, self, position):
        try:
            real(self, position)
        except qwen3moe.SessionError:
            return

    yield lambda: test_session.test_two_callers_at_once(bench.model)
    bench.wrap_method(Session, "truncate", truncate)
    yield lambda: test_session.test_two_callers_at_once(bench.model)


@planted("FALSIFY-API-GIL-001")
def a_call_that_keeps_the_gil(bench):
    """A call keeps the GIL."""

    def evaluate(real, self, *args, **options):
        ctypes.PyDLL(None).usleep(200_000)  # of C, called with the GIL held

    yield lambda: test_package.test_other_threads_run_meanwhile(bench.model)
    bench.wrap_method(Session, "eval", evaluate)
    yield lambda: test_package.test_other_threads_run_meanwhile(bench.model)


FORKED = """
import os, qwen3moe
real = qwen3moe.Model.forward
parent = os.getpid()
def forward(self, *args, **options):
    return real(self, *args, **options) * (1 if os.getpid() == parent else 2)
qwen3moe.Model.forward = forward
"""


@planted("FALSIFY-API-FORK-001", fails=(subprocess.CalledProcessError,))
def a_child_that_computes_otherwise(bench):
    """A forked child's logits are others."""
    yield lambda: test_bits.test_a_forked_process(bench.path, None)
    bench.in_children(FORKED)
    yield lambda: test_bits.test_a_forked_process(bench.path, None)


@planted("FALSIFY-API-FORK-002")
def a_child_of_a_device_that_computes_otherwise(bench):
    """After a device was opened a forked child's logits are others."""
    yield lambda: test_fork.test_a_child_after_a_device_was_opened(bench.path, "cpu")
    bench.in_children(FORKED)
    yield lambda: test_fork.test_a_child_after_a_device_was_opened(bench.path, "cpu")


@planted("FALSIFY-API-CONTRACTS-001")
def a_validator_without_a_check(bench):
    """The validator does not ask whether tests exist."""
    yield lambda: test_mutations.test_is_caught(test_mutations.remove_a_test)
    bench.patch(validate, "_tests", lambda catalogue: [])
    yield lambda: test_mutations.test_is_caught(test_mutations.remove_a_test)


@planted("FALSIFY-API-RECEIPTS-001")
def a_digest_of_less(bench):
    """The digest of a receipt leaves out what was shown."""

    def digest(real, receipt):
        return real({key: value for key, value in receipt.items() if key != "falsifiers"})

    def run():
        checkout = bench.fixture("checkout")
        test_receipts.test_a_line_by_hand_shows(
            checkout, bench.folder, lambda r: r["falsifiers"].update({"FALSIFY-MORE-001": "passed"})
        )

    yield run
    bench.wrap(receipts, "digest", digest)
    bench.patch(test_receipts, "digest", receipts.digest)
    yield run

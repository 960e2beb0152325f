"""What a receipt of a fuzzer says is what the fuzzer printed."""

import json
import sys

import pytest

from tests.fuzz import record

LOG = """#2 INITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 30Mb
#4096 pulse  cov: 812 ft: 2400 corp: 150/60Kb lim: 1024 exec/s: 900 rss: 40Mb
stat::number_of_executed_units: 25000000
stat::average_exec_per_sec:     900
"""
# Stands in for a fuzzer: prints its log, and leaves a finding where it is told to.
FUZZER = """#!{python}
import os, sys
prefix = next(word.partition("=")[2] for word in sys.argv if word.startswith("-artifact_prefix="))
print({log!r}, file=sys.stderr)
if {found}:
    open(os.path.join(prefix, "crash-1"), "w").close()
    sys.exit(77)
"""


def fuzzer(folder, found):
    path = folder / "fuzzer"
    path.write_text(FUZZER.format(python=sys.executable, log=LOG, found=found))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("found", [0, 1])
def test_a_receipt(tmp_path, monkeypatch, jobs, found):
    words = [
        "reader",
        "--program",
        fuzzer(tmp_path, found),
        "--seconds",
        1,
        "--jobs",
        jobs,
        "--out",
        tmp_path / "r.json",
    ]
    monkeypatch.setattr(sys, "argv", ["record", *map(str, words)])
    assert record.main() == found
    written = json.loads((tmp_path / "r.json").read_text())
    figures = written["figures"]["reader"]
    assert (figures["executions"], figures["findings"]) == (25_000_000 * jobs, found * jobs)
    assert (figures["edges"], figures["features"], figures["corpus_files"]) == (812, 2400, 150)
    assert written["falsifiers"] == {"FALSIFY-GGUF-FUZZ-001": "failed" if found else "passed"}
    assert "cpp/gguf/**" in written["covers"]["globs"]

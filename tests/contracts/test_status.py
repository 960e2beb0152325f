"""Status follows from evidence, and from nothing else."""

import pytest

from qwen3moe.contracts.report import report
from tests.contracts.catalogue import EVIDENCE, GPU, receipt, repository

THROUGHPUT = "FALSIFY-QW3-MOE-GPU-THROUGHPUT-001"


@pytest.fixture
def stage_one(tmp_path):
    """All that M-GPU-MOE-1 needs, on one back end."""
    needed = repository().contracts[GPU]["implementation_stages"][1]["falsified_by"]

    def evidence(backend="cuda", without=(), **changes):
        chosen = [name for name in needed if name not in without]
        return {EVIDENCE: receipt(tmp_path, backend=backend, falsifiers=chosen, **changes)}

    return evidence


def status(catalogue, stage="M-GPU-MOE-1"):
    return next(item.status for item in report(catalogue).stages if item.stage == stage)


def test_without_evidence():
    assert {item.status for item in report(repository()).stages} == {"DRAFT"}


def test_every_falsifier_on_the_back_end(stage_one):
    catalogue = repository(stage_one())
    assert status(catalogue) == "ACTIVE_RUNTIME"
    assert status(catalogue, "M-GPU-MOE-2") == "ACTIVE_ALGORITHM_LEVEL"  # the same falsifiers, on another back end
    assert status(catalogue, "M-GPU-MOE-3") == "DRAFT"


def test_one_falsifier_missing(stage_one):
    assert status(repository(stage_one(without=["FALSIFY-QW3-MOE-ARGMAX-001"]))) == "DRAFT"


def test_on_another_back_end(stage_one):
    assert status(repository(stage_one(backend="vulkan"))) == "ACTIVE_ALGORITHM_LEVEL"


def test_of_other_sources(stage_one):
    """A run that does not speak for the stage's own files does not raise it."""
    assert status(repository(stage_one(covers=["kernels/shared/**", "cpp/**"]))) == "ACTIVE_ALGORITHM_LEVEL"


def test_a_changed_source(stage_one):
    catalogue = repository(stage_one())
    catalogue.files["kernels/cuda/attention.cu"] = "0" * 64
    assert status(catalogue) == "DRAFT"
    assert {row.status for row in report(catalogue).rows if row.machine} == {"stale"}


def test_a_receipt_with_a_line_by_hand(stage_one):
    receipts = stage_one()
    receipts[EVIDENCE]["falsifiers"][THROUGHPUT] = "passed"
    assert status(repository(receipts)) == "DRAFT"


def test_a_failure(stage_one):
    receipts = stage_one()
    failed = receipts[EVIDENCE]["falsifiers"]
    failed["FALSIFY-QW3-MOE-ARGMAX-001"] = "failed"
    assert status(repository(receipts)) == "DRAFT"


def test_the_table(tmp_path):
    document = receipt(
        tmp_path, backend="cuda", falsifiers=[THROUGHPUT], figures={"decode @ 128": {"decode_tok_s": [900, 910, 920]}}
    )
    found = report(repository({EVIDENCE: document}))
    (row,) = (row for row in found.rows if row.falsifier == THROUGHPUT)
    assert (row.obligation, row.backend, row.status) == ("AC_GPU_MOE_006", "cuda", "passed")
    assert row.figure == "decode @ 128: 910"
    line = next(line for line in str(found).splitlines() if THROUGHPUT in line)
    assert document["device"]["name"] in line and document["recorded"][:10] in line
    assert len(found.rows) > 60
    assert found.to_dict()["stages"][0]["status"] == "DRAFT"

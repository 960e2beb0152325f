"""Contracts that drift are caught: each mutation gives a problem that names the file and the place."""

import re

import pytest

from qwen3moe.contracts.validate import content_digest, validate
from tests.contracts.catalogue import EVIDENCE, FORWARD, GPU, receipt, repository, resealed

PARITY = "FALSIFY-QW3-MOE-GPU-PARITY-001"
NOW = repository().contracts[GPU]["version"]


def entry(contract, kind, name):
    return next(item for item in contract[kind] if item["id"] == name)


def seal(contract):
    """So that it is not the digest that gives the mutation away."""
    contract["amendments"][-1]["digest"] = content_digest(contract)


# ---- contracts: what is done to the forward contract for GPUs, and the problem that it must give


def remove_a_test(catalogue, gpu):
    object.__setattr__(catalogue, "tests", catalogue.tests - {"tests/claims/test_forward_gpu.py::test_parity"})


def remove_a_planted_fault(catalogue, gpu):
    object.__setattr__(catalogue, "tests", catalogue.tests - {"tests/claims/test_planted.py::test_a_dropped_tail"})


def forget_a_fault(catalogue, gpu):
    del entry(gpu, "falsification_tests", PARITY)["fault"]


def rename_a_falsifier(catalogue, gpu):
    entry(gpu, "falsification_tests", PARITY)["id"] = "FALSIFY-QW3-MOE-GPU-PARITY-003"


def rename_a_test(catalogue, gpu):
    entry(gpu, "falsification_tests", PARITY)["test"] = "tests/claims/test_forward_gpu.py::test_near_parity"


def rename_an_obligation_to_anothers(catalogue, gpu):
    gpu["proof_obligations"][0]["id"] = "AC_GPU_MOE_002"


def repeat_an_id_of_another_contract(catalogue, gpu):
    gpu["proof_harnesses"][0]["id"] = "PROOF-FWD-TOPK"


def unbind_an_obligation(catalogue, gpu):
    entry(gpu, "proof_obligations", "AC_GPU_MOE_005")["falsified_by"] = []


def bind_to_nothing(catalogue, gpu):
    entry(gpu, "proof_obligations", "AC_GPU_MOE_005")["falsified_by"] = ["FALSIFY-NOTHING-001"]


def leave_a_falsifier_over(catalogue, gpu):
    entry(gpu, "proof_obligations", "AC_GPU_MOE_006")["falsified_by"] = [PARITY]


def lose_a_proof(catalogue, gpu):
    del gpu["proof_harnesses"][0]


def move_a_proof(catalogue, gpu):
    gpu["proof_harnesses"][0]["path"] = "tests/proofs/test_nothing.py"


def move_the_sources_of_a_stage(catalogue, gpu):
    gpu["implementation_stages"][1]["paths"] = ["kernels/opencl"]


def write_a_status(catalogue, gpu):
    gpu["implementation_stages"][1]["status"] = "ACTIVE_RUNTIME"


def write_a_status_of_the_whole(catalogue, gpu):
    gpu["status"] = "ACTIVE_RUNTIME"


def lose_a_back_end(catalogue, gpu):
    for item in gpu["falsification_tests"]:
        item["backends"] = ["cpu", "cuda"]


def repeat_a_stage(catalogue, gpu):
    gpu["implementation_stages"][1]["id"] = "M-GPU-MOE-0"


def need_what_is_not_there(catalogue, gpu):
    gpu["implementation_stages"][1]["falsified_by"] = ["FALSIFY-NOTHING-001", PARITY]


def require_no_contract(catalogue, gpu):
    gpu["requires"] = ["arithmetic-v9"]


def raise_the_version(catalogue, gpu):
    gpu["version"] = NOW + 1


def skip_a_version(catalogue, gpu):
    gpu["amendments"].append({**gpu["amendments"][0], "version": NOW + 2})
    gpu["version"] = NOW + 2


def turn_back_time(catalogue, gpu):
    gpu["amendments"].append({**gpu["amendments"][0], "version": NOW + 1, "date": "2020-01-01"})
    gpu["version"] = NOW + 1


def take_another_name(catalogue, gpu):
    gpu["id"] = "qwen3-moe-forward-tpu-v1"


SEALED = {
    remove_a_test: rf"{PARITY}: test tests/claims/.*::test_parity is not in the suite; restore the test",
    remove_a_planted_fault: rf"{PARITY}: shown_by tests/claims/.*::test_a_dropped_tail is not in the suite",
    forget_a_fault: rf"falsification_tests.{PARITY}: 'fault' is a required property",
    rename_a_falsifier: rf"AC_GPU_MOE_001: bound to {PARITY}, which is no falsifier here",
    rename_a_test: rf"{PARITY}: test .*::test_near_parity is not in the suite",
    rename_an_obligation_to_anothers: r"AC_GPU_MOE_002: is an id of .*gpu-v1.yaml already",
    repeat_an_id_of_another_contract: r"PROOF-FWD-TOPK: is an id of contracts/qwen3-moe-forward-gpu-v1.yaml already",
    unbind_an_obligation: r"proof_obligations.AC_GPU_MOE_005.falsified_by: \[\]",
    bind_to_nothing: r"AC_GPU_MOE_005: bound to FALSIFY-NOTHING-001, which is no falsifier here",
    leave_a_falsifier_over: r"FALSIFY-QW3-MOE-GPU-THROUGHPUT-001: falsifies no obligation",
    lose_a_proof: r"AC_GPU_MOE_002: proved by PROOF-QW3-MOE-GPU-ROUTER-SUM, which is no harness here",
    move_a_proof: r"PROOF-QW3-MOE-GPU-ROUTER-SUM: tests/proofs/test_nothing.py is not there",
    move_the_sources_of_a_stage: r"M-GPU-MOE-1: kernels/opencl is not there",
    write_a_status: r"implementation_stages.M-GPU-MOE-1: .*'status' was unexpected",
    write_a_status_of_the_whole: r"document: False schema does not allow 'ACTIVE_RUNTIME'",
    lose_a_back_end: r"M-GPU-MOE-2: no falsifier for vulkan",
    repeat_a_stage: r"M-GPU-MOE-0: two stages of this id",
    need_what_is_not_there: r"M-GPU-MOE-1: needs FALSIFY-NOTHING-001, which is no falsifier here",
    require_no_contract: r"requires: arithmetic-v9, which is no contract",
    raise_the_version: rf"version: {NOW + 1}, but the last amendment is {NOW}; make them agree",
    skip_a_version: rf"amendments: versions \[.*{NOW}, {NOW + 2}\]; count them",
    turn_back_time: r"amendments: dates that fall",
    take_another_name: r"id: 'qwen3-moe-forward-tpu-v1' in a file of another name",
}


@pytest.mark.parametrize("mutate", SEALED, ids=lambda mutate: mutate.__name__)
def test_is_caught(mutate):
    catalogue = repository()
    mutate(catalogue, catalogue.contracts[GPU])
    seal(catalogue.contracts[GPU])
    lines = [str(problem) for problem in validate(catalogue).problems]
    assert any(re.match(r"contracts/[\w./-]+: " + SEALED[mutate], line) for line in lines), lines
    assert all("\n" not in line and "; " in line for line in lines)


def test_what_nobody_changed_holds():
    assert validate(repository()).problems == []


def test_a_change_needs_an_amendment():
    catalogue = repository()
    contract = catalogue.contracts[GPU]
    contract["postconditions"][0] = "Logits are close to the CPU's."
    (problem,) = validate(catalogue).problems
    digest = content_digest(contract)
    assert str(problem).startswith(f"{GPU}: amendments: the text is not what version {NOW} was")
    assert problem.mend == f"add an amendment that says what changed, with digest {digest}"
    contract["amendments"].append({"version": NOW + 1, "date": "2030-01-01", "change": "Weaker.", "digest": digest})
    contract["version"] = NOW + 1
    assert validate(catalogue).ok


# ---- receipts


def problems_of(document, catalogue=None):
    catalogue = catalogue or repository()
    catalogue.receipts[EVIDENCE] = document
    return [str(problem) for problem in validate(catalogue).problems]


@pytest.fixture
def sound(tmp_path):
    return receipt(tmp_path, backend="cuda", falsifiers=[PARITY], figures={"decode": {"decode_tok_s": [900, 910]}})


def test_a_sound_receipt(sound):
    assert problems_of(sound) == []


def test_a_stale_receipt(sound):
    catalogue = repository()
    catalogue.files["kernels/shared/arithmetic.h"] = "0" * 64
    (line,) = problems_of(sound, catalogue)
    assert re.match(rf"{EVIDENCE}: covers: stale: kernels/.* changed since .*; run 'a run' anew, or remove", line)


def test_sources_that_came_later(sound):
    catalogue = repository()
    catalogue.files["kernels/cuda/more.cu"] = "0" * 64
    assert "stale" in problems_of(sound, catalogue)[0]


def test_a_receipt_with_a_line_by_hand(sound):
    sound["falsifiers"]["FALSIFY-QW3-MOE-GPU-THROUGHPUT-001"] = "passed"
    (line,) = problems_of(sound)
    assert line.startswith(f"{EVIDENCE}: digest: the receipt was changed by hand")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda r: r["falsifiers"].update({PARITY: "failed"}), f"{PARITY}: failed on "),
        (lambda r: r["falsifiers"].update({"FALSIFY-NOTHING-001": "passed"}), "FALSIFY-NOTHING-001: is no falsifier"),
        (lambda r: r["falsifiers"].update({"FALSIFY-FWD-HF-001": "passed"}), "FALSIFY-FWD-HF-001: is not for cuda"),
        (lambda r: r["figures"]["decode"]["decode_tok_s"].update(median=1000.0), "decode.decode_tok_s: the median"),
        (lambda r: r.pop("machine"), "document: 'machine' is a required property"),
        (lambda r: r["falsifiers"].update({PARITY: "hopeful"}), f"falsifiers.{PARITY}: 'hopeful' is not one of"),
    ],
)
def test_what_a_receipt_must_not_say(sound, spoil, expected):
    spoil(sound)
    (line,) = problems_of(resealed(sound))
    assert line.startswith(f"{EVIDENCE}: {expected}")


def test_the_forward_contract_is_checked_too():
    catalogue = repository()
    catalogue.contracts[FORWARD]["falsification_tests"][0]["test"] = "tests/forward/test_none.py::test_none"
    seal(catalogue.contracts[FORWARD])
    (problem,) = validate(catalogue).problems
    assert problem.file == FORWARD

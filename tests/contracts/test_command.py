"""`python -m qwen3moe contracts`: from a checkout, and from the package alone."""

import json
import shutil
from dataclasses import replace

import pytest

from qwen3moe.cli import main
from qwen3moe.contracts import load as loading
from qwen3moe.contracts import sources
from qwen3moe.contracts.load import load
from qwen3moe.contracts.readme import BEGIN, END, NOTHING, replace_measured
from qwen3moe.contracts.run import collect, covered_by, read_outcomes, with_imports
from qwen3moe.contracts.validate import validate
from qwen3moe.errors import ArgumentError
from tests.contracts.catalogue import EVIDENCE, ROOT, receipt, repository


def test_the_contracts_of_this_repository_hold():
    """With the tests that pytest collects, not those that are merely written."""
    catalogue = load(ROOT)
    collected = collect(catalogue)
    assert "tests/contracts/test_command.py::test_nowhere" not in collected
    assert validate(replace(catalogue, tests=collected)).problems == []


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package as installed, far from any checkout."""
    shutil.copytree(ROOT / "contracts", tmp_path / "data")
    sources.main(str(ROOT), str(tmp_path / "data" / "sources.json"))
    monkeypatch.setattr(loading, "_INSTALLED", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def test_from_the_package_alone(installed, capsys):
    assert main(["contracts", "validate"]) == 0, capsys.readouterr().out
    assert main(["contracts", "report"]) == 0
    assert "AC_GPU_MOE_001" in capsys.readouterr().out
    assert load().root is None
    assert load().files == load(ROOT).files and load().tests == load(ROOT).tests


def test_the_package_notices_what_its_build_did_not_have(installed, capsys):
    known = json.loads((installed / "sources.json").read_text())
    known["tests"].remove("tests/claims/test_forward_gpu.py::test_parity")
    (installed / "sources.json").write_text(json.dumps(known))
    assert main(["contracts", "validate"]) == 1
    assert "test_parity is not in the suite" in capsys.readouterr().out


@pytest.mark.parametrize(("action", "words"), [("run", ["FALSIFY-FWD-HF-001"]), ("verify", ["--out", "r.json"])])
def test_running_needs_the_tests(installed, capsys, action, words):
    assert main(["contracts", action, *words]) == 2
    assert "the tests are not installed with the package" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("id: [", "while parsing"),
        ("- a\n- b\n", "a list, not a mapping"),
        ("id: a\nid: b\n", "line 1: the key 'id' comes twice"),
    ],
)
def test_a_file_that_cannot_be_read(installed, capsys, text, what):
    (installed / "gguf-v1.yaml").write_text(text)
    assert main(["contracts", "validate"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("contracts/gguf-v1.yaml: file: ") and what in out


def test_no_contract_at_all(installed, capsys):
    for path in installed.glob("*.yaml"):
        path.unlink()
    assert main(["contracts", "validate"]) == 1
    assert "no contract" in capsys.readouterr().out


def test_json(installed, capsys):
    assert main(["contracts", "validate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert main(["contracts", "report", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) > 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "needs the id"),
        (["run", "FALSIFY-NOTHING-001"], "there is no falsifier 'FALSIFY-NOTHING-001'"),
        (["verify"], "needs --out"),
        (["validate", "--root", "/"], "/ is no checkout"),
        (["verify", "--out", "r.json", "--device", "cuda:99"], "'cuda:99'"),
        (["verify", "--out", "r.json", "--results", "/nowhere.xml"], "/nowhere.xml is no JUnit file"),
    ],
)
def test_refusals(capsys, monkeypatch, words, message):
    monkeypatch.chdir(ROOT)
    assert main(["contracts", *words]) == 2
    assert message in capsys.readouterr().err


# ---- what ran, from a JUnit file

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a.test_x" name="test_one[3]"/>
<testcase classname="tests.a.test_x" name="test_one[4]"/>
<testcase classname="tests.a.test_x" name="test_bad[3]"/>
<testcase classname="tests.a.test_x" name="test_bad[4]"><failure message="no"/></testcase>
<testcase classname="tests.a.test_x" name="test_skipped"><skipped message="not here"/></testcase>
<testcase classname="tests.a.test_x" name="test_device[cpu]"/>
<testcase classname="tests.a.test_x" name="test_device[cuda:0-mixed]"><error message="no"/></testcase>
<testcase classname="tests.a.test_x" name="test_device[vulkan:1-mixed]"/>
</testsuite></testsuites>"""


def falsifier(name):
    return {"id": f"FALSIFY-{name.upper()}-001", "test": f"tests/a/test_x.py::test_{name}"}


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("cpu", {"FALSIFY-ONE-001": True, "FALSIFY-BAD-001": False, "FALSIFY-DEVICE-001": True}),
        ("cuda", {"FALSIFY-DEVICE-001": False}),
        ("vulkan", {"FALSIFY-DEVICE-001": True}),
    ],
)
def test_outcomes_by_back_end(tmp_path, backend, expected):
    (tmp_path / "r.xml").write_text(JUNIT)
    falsifiers = [falsifier(name) for name in ("one", "bad", "skipped", "device", "absent")]
    assert read_outcomes(tmp_path / "r.xml", falsifiers, backend) == expected


def test_verify_writes_a_receipt_that_validates(tmp_path, capsys, monkeypatch):
    """From the results of a run that has been; the receipt is then the evidence of its falsifiers."""
    entry = load(ROOT).falsifiers()["FALSIFY-FWD-HF-001"]
    file, name = entry["test"].split("::")
    (tmp_path / "r.xml").write_text(
        f'<testsuite><testcase classname="{file[:-3].replace("/", ".")}" name="{name}"/></testsuite>'
    )
    monkeypatch.chdir(ROOT)
    assert main(["contracts", "verify", "--results", str(tmp_path / "r.xml"), "--out", str(tmp_path / "r.json")]) == 0
    assert "1 of 1 falsifiers on cpu" in capsys.readouterr().out
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["falsifiers"] == {"FALSIFY-FWD-HF-001": "passed"}
    assert "tests/forward/test_hf.py" in written["covers"]["globs"]


def test_verify_with_nothing_to_record(tmp_path, capsys, monkeypatch):
    (tmp_path / "r.xml").write_text("<testsuite/>")
    monkeypatch.chdir(ROOT)
    assert main(["contracts", "verify", "--results", str(tmp_path / "r.xml"), "--out", str(tmp_path / "r.json")]) == 2
    assert "no falsifier ran on cpu" in capsys.readouterr().err
    assert not (tmp_path / "r.json").exists()


def test_run_is_the_test_itself(capfd, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["contracts", "run", "FALSIFY-API-ERRORS-001"]) == 0
    assert "passed" in capfd.readouterr().out


def test_refuses_what_is_no_number(tmp_path):
    with pytest.raises(ArgumentError, match="is no JUnit file"):
        read_outcomes(ROOT / "README.md", [], "cpu")


# ---- the README


def test_the_readme_has_what_the_receipts_say():
    """Its figures are those of the receipts that are fresh, and it has no others."""
    text = (ROOT / "README.md").read_text()
    assert replace_measured(text, load(ROOT)) == text


def test_the_readme_follows_the_receipts(tmp_path):
    figures = {"decode 50 @ 128": {"decode_tok_s": [900, 910, 920]}, "memory": {"memory_share": [0.25]}}
    written = receipt(
        tmp_path, backend="cuda", falsifiers={"FALSIFY-A-001": True, "FALSIFY-B-001": False}, figures=figures
    )
    catalogue = repository({EVIDENCE: written})
    text = f"a\n{BEGIN}\nold\n{END}\nb\n"
    changed = replace_measured(text, catalogue)
    assert changed.startswith(f"a\n{BEGIN}\n| receipt ") and changed.endswith(f"{END}\nb\n")
    assert f"({EVIDENCE})" in changed and "| 1 of 2 |" in changed
    assert "decode 50 @ 128: 910.0 tok/s; memory: 25.0% of the device's" in changed
    assert replace_measured(changed, catalogue) == changed
    catalogue.files["kernels/cuda/attention.cu"] = "0" * 64
    assert replace_measured(changed, catalogue) == f"a\n{BEGIN}\n{NOTHING}\n{END}\nb\n"


def test_a_document_without_marks(tmp_path):
    with pytest.raises(ArgumentError, match="lacks the marks"):
        replace_measured("a\n", repository())


def test_report_writes_the_readme(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "R.md").write_text(f"{BEGIN}\nold\n{END}\n")
    assert main(["contracts", "report", "--readme", str(tmp_path / "R.md")]) == 0
    assert "old" not in (tmp_path / "R.md").read_text()


# ---- what a receipt speaks for


def test_covers_of_a_gpu():
    """What its results rest on: neither a text, nor another back end, nor a test of something else."""
    catalogue = load(ROOT)
    covers = covered_by(catalogue, "cuda", ["FALSIFY-QW3-MOE-GPU-PARITY-001", "FALSIFY-QW3-MOE-GPU-CASES-001"])
    covered = {path for glob in covers for path in sources.select(catalogue.files, glob)}
    wanted = [
        "kernels/cuda/attention.cu",
        "kernels/cuda/single/qkv.cu",
        "kernels/shared/arithmetic.h",
        "CMakeLists.txt",
    ]
    wanted += ["cpp/backend/cuda/executor.cpp", "cpp/backend/selftest.cpp", "cpp/model/plan.cpp", "cpp/gguf/file.cpp"]
    wanted += [
        "tests/claims/test_forward_gpu.py",
        "tests/claims/checks.py",
        "tests/claims/conftest.py",
        "tests/devices.py",
    ]
    assert set(wanted) <= covered
    other = [
        "kernels/vulkan/",
        "kernels/cpu/",
        "cpp/backend/vulkan/",
        "cpp/bindings/",
        "python/",
        "contracts/",
        "notebooks/",
    ]
    assert [path for path in covered if path.startswith(tuple(other)) or path.endswith(".md")] == []
    assert "tests/text/test_generate.py" not in covered


def test_imports_are_followed():
    found = with_imports(["tests/claims/test_sub_stages.py"], ROOT)
    assert {"tests/claims/altered.py", "tests/gguf/build.py", "tests/devices.py", "tests/conftest.py"} <= found
    found = with_imports(["tests/gguf/test_hostile.py"], ROOT)
    assert {"tests/gguf/hostile_split.py", "tests/gguf/case.py"} <= found  # by `from . import`
    assert all((ROOT / name).is_file() for name in found)

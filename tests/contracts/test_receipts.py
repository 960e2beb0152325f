"""Receipts: what they say, what they refuse to say, and that they notice changed sources and changed lines."""

import json
from pathlib import Path

import jsonschema
import pytest

from qwen3moe.contracts import sources
from qwen3moe.contracts.receipts import describe_device, digest, write_receipt
from qwen3moe.errors import ArgumentError, BackendUnavailableError

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "contracts" / "receipt.schema.json").read_text())
ID = "FALSIFY-QW3-MOE-GPU-PARITY-001"


@pytest.fixture
def checkout(tmp_path):
    """A small project: what makes it a checkout, and two sources."""
    for name, text in {
        "contracts/schema.json": "{}",
        "contracts/evidence/old.json": "{}",
        "tests/test_a.py": "def test_one():\n    pass\n\n\ndef helper():\n    def test_inner(): ...\n",
        "kernels/a.h": "a",
        "kernels/deep/er/b.h": "b",
        "kernels/deep/b.so": "built",
        "kernels/__pycache__/c.h": "built",
    }.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "project"


def write(checkout, tmp_path, **changes):
    given = {
        "command": "a command",
        "device": describe_device("cpu"),
        "figures": {"decode @ 0": {"decode_tok_s": [10, 12.5, 11], "depth": 0, "logits_sha256": "ab"}},
        "falsifiers": [ID],
        "covers": ["kernels/**"],
        "root": checkout,
    }
    write_receipt(tmp_path / "r.json", **{**given, **changes})
    return json.loads((tmp_path / "r.json").read_text())


def test_what_it_says(checkout, tmp_path):
    receipt = write(checkout, tmp_path)
    jsonschema.validate(receipt, SCHEMA, jsonschema.Draft202012Validator)
    assert receipt["device"]["backend"] == "cpu" and receipt["machine"]["memory_bytes"] > 0
    assert receipt["covers"]["files"] == 2
    assert receipt["falsifiers"] == {ID: "passed"}
    run = receipt["figures"]["decode @ 0"]
    assert run["decode_tok_s"] == {"median": 11, "spread": pytest.approx(2.5 / 11), "samples": [10, 12.5, 11]}
    assert (run["depth"], run["logits_sha256"]) == (0, "ab")
    assert receipt["digest"] == digest(receipt)


def test_the_first_of_all(checkout, tmp_path):
    """Its folder is not there yet; a run that took minutes must not end for that."""
    write_receipt(
        checkout / "contracts" / "later" / "r.json",
        command="a command",
        device=describe_device("cpu"),
        figures={},
        falsifiers=[ID],
        covers=["kernels/**"],
        root=checkout,
    )
    assert (checkout / "contracts" / "later" / "r.json").is_file()


def test_outcomes_that_are_not_all_good(checkout, tmp_path):
    receipt = write(checkout, tmp_path, falsifiers={ID: False, "F-QW3-MOE-GPU-001": True})
    assert receipt["falsifiers"] == {"F-QW3-MOE-GPU-001": "passed", ID: "failed"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r["falsifiers"].update({"FALSIFY-MORE-001": "passed"}),
        lambda r: r["figures"]["decode @ 0"]["decode_tok_s"].update(median=1e6),
        lambda r: r.update(recorded="2020-01-01T00:00:00Z"),
    ],
)
def test_a_line_by_hand_shows(checkout, tmp_path, spoil):
    receipt = write(checkout, tmp_path)
    spoil(receipt)
    assert receipt["digest"] != digest(receipt)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"falsifiers": ["parity"]}, "falsifiers has 'parity'"),
        ({"covers": []}, "covers is empty"),
        ({"covers": ["kernels/**", "kernel/**"]}, "'kernel/\\*\\*', which matches no file"),
        ({"figures": {"run": {"decode_tok_s": []}}}, "samples are \\[\\]"),
        ({"figures": {"run": {"decode_tok_s": ["fast"]}}}, "expected numbers"),
    ],
)
def test_refusals(checkout, tmp_path, changes, message):
    with pytest.raises(ArgumentError, match=message):
        write(checkout, tmp_path, **changes)
    assert not (tmp_path / "r.json").exists()


def test_outside_of_a_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="is in no checkout"):
        write(None, tmp_path)


def test_a_device_that_is_not_here():
    with pytest.raises(BackendUnavailableError, match="'cuda:99'"):
        describe_device("cuda:99")


# ---- the sources


def test_which_files_count(checkout):
    files = sources.hash_files(checkout)
    assert list(files) == ["contracts/schema.json", "kernels/a.h", "kernels/deep/er/b.h", "tests/test_a.py"]
    assert sources.find_tests(checkout) == ["tests/test_a.py::test_one"]
    assert sources.find_checkout(checkout / "kernels" / "deep") == checkout


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("kernels/**", ["kernels/a.h", "kernels/x/y/b.cu"]),
        ("kernels/*", ["kernels/a.h"]),
        ("**/*.cu", ["kernels/x/y/b.cu"]),
        ("kernels/**/b.cu", ["kernels/x/y/b.cu"]),
        ("kernels", []),
        ("kernels/a.h", ["kernels/a.h"]),
        ("kernels/a?h", []),
    ],
)
def test_globs(pattern, matches):
    assert sources.select(["kernels/a.h", "kernels/x/y/b.cu"], pattern) == matches


def test_the_hash_is_of_names_and_contents(checkout):
    before = sources.combined(sources.hash_files(checkout), ["kernels/**"])
    (checkout / "tests" / "test_a.py").write_text("")
    assert sources.combined(sources.hash_files(checkout), ["kernels/**"]) == before
    (checkout / "kernels" / "a.h").rename(checkout / "kernels" / "c.h")
    renamed = sources.combined(sources.hash_files(checkout), ["kernels/**"])
    assert renamed[0] == before[0] and renamed[1] != before[1]
    (checkout / "kernels" / "c.h").write_text("A")
    assert sources.combined(sources.hash_files(checkout), ["kernels/**"])[1] not in (before[1], renamed[1])

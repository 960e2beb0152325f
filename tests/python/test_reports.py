"""parity, bench and doctor: what they find, and that they can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qwen3moe
from qwen3moe import ArgumentError, Model, machine, sha256_logits
from qwen3moe.bench import Bench, Rate, bench, weight_bytes_per_token
from qwen3moe.doctor import doctor
from qwen3moe.parity import Parity, ParityRow, parity
from qwen3moe.prompts import plain_tokens
from qwen3moe.tables import table


def test_parity_on_what_is_here(small_model_path: Path, model: Model) -> None:
    found = parity(small_model_path, lengths=(2, 5))
    assert found.equal
    here = [entry["device"] for entry in qwen3moe.backends() if entry["available"]]
    assert {(row.device, row.tokens) for row in found.rows} == {(device, n) for device in here for n in (2, 5)}
    logits = model.forward(plain_tokens(5, model.config["vocab"]), "all")
    row = found.rows[-1]
    assert (row.sha256, row.argmax, row.cosine) == (sha256_logits(logits), int(logits[-1].argmax()), 1.0)
    assert row.sha256[:16] in str(found) and row.sha256 not in str(found)
    assert json.loads(json.dumps(found.to_dict()))["rows"][-1]["sha256"] == row.sha256


def row(device: str, tokens: int, sha256: str) -> ParityRow:
    return ParityRow(device, tokens, sha256 * 64, 1, 1.0, 0.1)


def test_parity_fails_when_one_hash_differs() -> None:
    same = [row("cpu", 1, "a"), row("cpu", 7, "b"), row("other", 1, "a"), row("other", 7, "b")]
    assert Parity("m", same, {}).equal and "equal" in str(Parity("m", same, {}))
    for broken in (3, 0):
        rows = [*same]
        rows[broken] = row(same[broken].device, same[broken].tokens, "c")
        assert not Parity("m", rows, {}).equal
        assert "DIFFER" in str(Parity("m", rows, {}))
    swapped = [row("cpu", 1, "a"), row("cpu", 7, "b"), row("other", 1, "b"), row("other", 7, "a")]
    assert not Parity("m", swapped, {}).equal


def test_parity_says_who_is_absent() -> None:
    assert "vulkan took no part: no loader" in str(Parity("m", [row("cpu", 1, "a")], {"vulkan": "no loader"}))


@pytest.mark.parametrize("device", [entry["device"] for entry in qwen3moe.backends() if entry["available"]])
def test_bench_on_every_device(small_model_path: Path, device: str) -> None:
    with Model.from_gguf(small_model_path, device) as model:
        found = bench(model, prompt=6, generated=3, repetitions=1)
    assert found.prefill_tok_s and found.decode_tok_s
    assert (found.read_bytes_s is None) == (device != "cpu") == ("not measured" in str(found))


def test_bench(small_model_path: Path) -> None:
    with Model.from_gguf(small_model_path, threads=1) as model:
        found = bench(model, prompt=6, generated=3, depth=4, repetitions=2)
        tokens = plain_tokens(10, model.config["vocab"])
        assert found.logits_sha256 == sha256_logits(model.forward(tokens))
    assert found.prefill_tok_s and found.decode_tok_s
    assert len(found.prefill_tok_s.samples) == len(found.decode_tok_s.samples) == 2
    assert found.read_bytes_s and found.read_bytes_s > 1e8
    assert 1e6 < found.peak_rss_bytes < 1e11
    document = found.to_dict()
    assert document["decode_tok_s"]["median"] == found.decode_tok_s.median
    share = found.decode_tok_s.median * found.weight_bytes_per_token / found.read_bytes_s
    assert document["bandwidth_share"] == pytest.approx(share)
    assert "prefill 6 @ 4" in str(found) and "decode 3 @ 4" in str(found)


@pytest.mark.parametrize(("prompt", "generated"), [(4, 0), (0, 4)])
def test_bench_of_one_kind(model: Model, prompt: int, generated: int) -> None:
    found: Bench = bench(model, prompt=prompt, generated=generated, repetitions=1)
    assert bool(found.prefill_tok_s) == bool(prompt) and bool(found.decode_tok_s) == bool(generated)
    assert ("decode" in str(found).split("\n\n")[0]) == bool(generated)


@pytest.mark.parametrize(
    "options", [{"prompt": 0, "generated": 0}, {"prompt": -1}, {"depth": -1}, {"repetitions": 0}, {"generated": 1.5}]
)
def test_bench_refusals(model: Model, options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        bench(model, **options)


def test_rate() -> None:
    rate = Rate([10.0, 30.0, 20.0])
    assert (rate.median, rate.spread) == (20.0, 1.0)


def test_a_token_reads_its_experts_only(model: Model) -> None:
    config = model.config
    sizes = {tensor["name"]: tensor["bytes"] for tensor in model.tensors()}
    experts = sum(size for name, size in sizes.items() if "_exps" in name)
    others = sum(sizes.values()) - experts - sizes["token_embd.weight"]
    head = 0 if "output.weight" in sizes else sizes["token_embd.weight"]
    expected = others + head + experts * config["experts_used"] // config["experts"]
    assert weight_bytes_per_token(model) == expected + sizes["token_embd.weight"] // config["vocab"]


def test_doctor() -> None:
    found = doctor()
    assert found.ok
    assert str(found).endswith("all is well")
    assert [check.name for check in found.checks] == [
        *("versions", "processor", "threads", "memory", "back ends", "arithmetic", "logits"),
    ]


def test_doctor_tells_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = iter("abc")
    monkeypatch.setattr("qwen3moe.doctor.sha256_logits", lambda logits: next(hashes) * 64)
    found = doctor()
    assert not found.ok
    assert [check.name for check in found.checks if not check.ok] == ["logits"]
    assert "depend on the number of threads" in str(found) and str(found).endswith("not well: logits")


def test_machine() -> None:
    total, available = machine.memory()
    assert 0 < available <= total
    assert machine.usable_threads() >= 1
    assert machine.processor()[0]


def test_plain_tokens_stay_what_they_are() -> None:
    assert plain_tokens(5, 1000) == [563, 577, 494, 947, 749]
    assert plain_tokens(1000, 7) == plain_tokens(2000, 7)[:1000]
    assert set(plain_tokens(1000, 7)) == set(range(7))
    assert plain_tokens(8, 1000, seed=1) != plain_tokens(8, 1000)


def test_table() -> None:
    assert table(["name", "n"], [["a", 1], ["bcdef", 10]]).splitlines() == [
        "| name  |  n |",
        "| ----- | -: |",
        "| a     |  1 |",
        "| bcdef | 10 |",
    ]
    assert len(table(["a", "b"], []).splitlines()) == 2


def test_reports_are_json(model: Model) -> None:
    from qwen3moe.cli.common import plain

    value = {"a": np.float32(1.5), "b": np.arange(2), 3: (float("nan"), float("inf")), "c": [np.bool_(True), None]}
    assert plain(value) == {"a": 1.5, "b": [0, 1], "3": [None, None], "c": [True, None]}
    json.dumps(plain(model.metadata()), allow_nan=False)

"""parity, bench and doctor: what they find, and that they can fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qwen3moe
from qwen3moe import ArgumentError, BackendUnavailableError, Model, machine, rivals, sha256_logits
from qwen3moe.bench import Bench, Rate, bench, cache_bytes, weight_bytes_per_token
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
    assert [run.kind for run in found.runs] == ["prefill", "decode"]
    assert (found.read_bytes_s is None) == (device != "cpu") == ("not measured" in str(found))


def test_bench(small_model_path: Path) -> None:
    with Model.from_gguf(small_model_path, "cpu", threads=1) as model:
        found = bench(model, prompt=6, generated=3, depth=4, repetitions=2)
        tokens = plain_tokens(10, model.config["vocab"])
        assert found.logits_sha256 == sha256_logits(model.forward(tokens))
    prefill, decode = found.runs
    assert (prefill.name, decode.name) == ("prefill 6 @ 4", "decode 3 @ 4")
    assert len(prefill.tok_s.samples) == len(decode.tok_s.samples) == 2
    assert found.read_bytes_s and found.read_bytes_s > 1e8
    assert 1e6 < found.anonymous_bytes <= found.peak_rss_bytes < 1e11
    document = found.to_dict()
    assert document["decode_tok_s"]["median"] == decode.tok_s.median
    assert document["prefill_tok_s"]["median"] == prefill.tok_s.median
    share = decode.tok_s.median * decode.read_bytes_per_token / found.read_bytes_s
    assert document["bandwidth_share"] == pytest.approx(share)
    assert "prefill 6 @ 4" in str(found) and "decode 3 @ 4" in str(found) and f"{share:.0%}" in str(found)


def test_bench_of_several(model: Model) -> None:
    found = bench(model, prompt=[4, 0, 6], generated=2, depth=(0, 3), repetitions=1)
    expected = [f"{test} @ {depth}" for depth in (0, 3) for test in ("prefill 4", "prefill 6", "decode 2")]
    assert [run.name for run in found.runs] == expected
    assert all(name in str(found) for name in expected)
    assert found.to_dict()["runs"][-1]["tokens"] == 2
    assert found.runs[-1].read_bytes_per_token - found.runs[2].read_bytes_per_token == cache_bytes(model, 3)


def test_cache_bytes(model: Model) -> None:
    config = model.config
    assert cache_bytes(model, 5) == 5 * config["layers"] * config["kv_heads"] * 2 * (config["head_dim"] * 2 + 4)


@pytest.mark.parametrize(("prompt", "generated"), [(4, 0), (0, 4)])
def test_bench_of_one_kind(model: Model, prompt: int, generated: int) -> None:
    found: Bench = bench(model, prompt=prompt, generated=generated, repetitions=1)
    assert bool(found.first("prefill")) == bool(prompt) and bool(found.first("decode")) == bool(generated)
    assert ("decode" in str(found).split("\n\n")[0]) == bool(generated)


class OtherEngine:
    """Remembers what it is asked for."""

    def __init__(self, path: str, threads: int, context: int) -> None:
        self.position, self.work, self.closed = 0, [(path, threads, context)], False
        type(self).made = self

    def eval(self, tokens: Sequence[int]) -> None:
        self.work.append((self.position, len(tokens)))
        self.position += len(tokens)

    def truncate(self, position: int) -> None:
        self.position = position

    def close(self) -> None:
        self.closed = True


def test_bench_against_another(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rivals.RIVALS, "other", OtherEngine)
    found = bench(model, prompt=4, generated=2, depth=3, repetitions=2, rival="other")
    other = OtherEngine.made
    prefills, decodes = [(0, 3), (3, 4), (3, 4)], [(0, 3), (3, 1), (4, 1), (3, 1), (4, 1)]
    assert other.work == [(model.path, model.threads, 7), (0, 7), *prefills, *decodes]
    assert other.closed
    for run in found.runs:
        assert run.rival_tok_s and run.ratio == run.tok_s.median / run.rival_tok_s.median
        assert f"{run.ratio:.2f}" in str(found)
    assert found.to_dict()["runs"][1]["ratio"] == found.runs[1].ratio


def test_a_rival_that_is_not_here(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(BackendUnavailableError, match="pip install"):
        bench(model, prompt=1, generated=0, rival="llama.cpp")
    with pytest.raises(ArgumentError, match="no engine 'x' to compare with"):
        bench(model, prompt=1, generated=0, rival="x")


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": 0, "generated": 0},
        {"prompt": -1},
        {"depth": -1},
        {"repetitions": 0},
        {"generated": 1.5},
        {"prompt": [1, -1]},
    ],
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

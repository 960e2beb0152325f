"""The command line: output, JSON, exit status, and one line for each error."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qwen3moe
from qwen3moe import Model, load_trace, sha256_logits
from qwen3moe.cli import COMMANDS, main
from qwen3moe.cli.common import parse_ranges, parse_tokens
from qwen3moe.cli.parity import Written
from qwen3moe.devices import available_devices
from qwen3moe.generation import Completion
from qwen3moe.tiny import TINY_PATH

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls the command line in this process: exit status, stdout, stderr."""

    def call(*argv: object) -> tuple[int, str, str]:
        status = main([str(word) for word in argv])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


def python(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qwen3moe", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_the_commands_that_are_promised() -> None:
    names = [command.__name__.rpartition(".")[2] for command in COMMANDS]
    expected = "info run score logits trace diff parity bench synth quantize contracts doctor"
    assert names == expected.split()


def test_help_says_what_each_command_does() -> None:
    done = python("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert (command.__doc__ or "").splitlines()[0].split(":")[0][:30] in done.stdout


def test_version() -> None:
    assert python("--version").stdout == f"qwen3moe {qwen3moe.__version__}\n"


@pytest.mark.parametrize("words", [[], ["nothing"], ["logits"], ["info", "m", "--nothing"]])
def test_bad_usage_exits_2(words: list[str]) -> None:
    done = python(*words)
    assert done.returncode == 2 and "usage" in done.stderr and done.stdout == ""


def test_info(run: Run, small_model_path: Path, model: Model) -> None:
    status, out, err = run("info", small_model_path)
    assert (status, err) == (0, "")
    assert all(word in out for word in ("config", f"layers = {model.config['layers']}", "plan", "metadata"))
    document = json.loads(run("info", small_model_path, "--json")[1])
    assert document["config"] == model.config
    assert document["plan"] == model.plan()
    assert sum(entry["bytes"] for entry in document["types"]) == model.weight_bytes
    assert sum(entry["tensors"] for entry in document["types"]) == len(model.tensors())
    assert document["metadata"]["general.architecture"] == "qwen3moe"


def test_logits(run: Run, small_model_path: Path, model: Model) -> None:
    expected = model.forward([1, 2, 3])
    best = np.argsort(-expected, kind="stable")[:4].tolist()
    status, out, _ = run("logits", small_model_path, "--tokens", "1,2,3", "--top", 4)
    assert status == 0
    assert sha256_logits(expected) in out
    assert [int(line.split("|")[1]) for line in out.splitlines()[2:6]] == best
    document = json.loads(run("logits", small_model_path, "--tokens", "1,2,3", "--json", "--top", 4)[1])
    assert [token for token, _ in document["top"]] == best
    assert [value for _, value in document["top"]] == expected[best].tolist()
    assert (document["sha256"], document["argmax"]) == (sha256_logits(expected), [best[0]])


@pytest.mark.parametrize("positions", ["last", "all"])
def test_logits_to_a_file(run: Run, small_model_path: Path, model: Model, tmp_path: Path, positions: Any) -> None:
    out = tmp_path / "l.npy"
    (tmp_path / "prompt").write_text("1 2,\n3")
    words = ("--tokens", f"@{tmp_path / 'prompt'}", "--positions", positions, "-o", out, "--json")
    status, text, _ = run("logits", small_model_path, *words)
    expected = model.forward([1, 2, 3], positions)
    assert status == 0
    assert np.load(out).shape == expected.shape
    assert sha256_logits(np.load(out)) == sha256_logits(expected) == json.loads(text)["sha256"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.npy", "prompt"]


def test_trace_and_diff(run: Run, small_model_path: Path, model: Model, tmp_path: Path) -> None:
    a, b, c = (tmp_path / f"{name}.npz" for name in "abc")
    common = (small_model_path, "--stages", "q,router.*,logits", "--layers", "0-1,-1", "--positions=-1")
    assert run("trace", *common, "--tokens", "1,2,3", "-o", a)[0] == 0
    status, out, _ = run("trace", *common, "--tokens", "1,2,3", "-o", b, "--json")
    document = json.loads(out)
    expected = model.trace([1, 2, 3], "q,router.*,logits", [0, 1, -1], -1)
    assert status == 0 and document["logits_sha256"] == sha256_logits(model.forward([1, 2, 3]))
    assert document["shapes"] == {key: list(array.shape) for key, array in expected.items()}
    stored = load_trace(b)
    assert stored.positions.tolist() == [2] and stored.metadata["model"] == small_model_path.name
    assert run("diff", a, b)[0] == 0

    run("trace", *common, "--tokens", "1,2,4", "-o", c)
    status, out, _ = run("diff", a, c)
    assert status == 1
    assert "different tokens" in out and "first difference: q of layer 0, element [0, " in out and "(position 2)" in out
    status, out, _ = run("diff", a, c, "--json")
    assert status == 1 and json.loads(out)["first"]["key"] == "layers.0.q"


def test_parity(run: Run, small_model_path: Path) -> None:
    status, out, _ = run("parity", small_model_path, "--device", "cpu", "-t", 1)
    assert status == 0 and out.startswith("| device")
    assert json.loads(run("parity", small_model_path, "--json")[1])["equal"] is True


def test_parity_exits_1_when_bits_differ(run: Run, small_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = iter(range(100))
    monkeypatch.setattr("qwen3moe.parity.sha256_logits", lambda logits: f"{next(count):064}")
    status, out, _ = run("parity", small_model_path, "--device", "cpu", "--device", "cpu")
    assert status == 1 and "1.000000000" in out


def test_parity_has_a_model_of_its_own(run: Run) -> None:
    status, out, _ = run("parity", "--device", "cpu")
    assert status == 0 and "tiny.gguf" not in out
    table, completion = out.split("\ndef fibonacci(n):")
    assert table.startswith("| device") and "    " in completion
    document = json.loads(run("parity", "--device", "cpu", "--json")[1])
    assert document["completion"] == f"def fibonacci(n):{completion}".rstrip() and document["equal"]


def test_parity_writes_the_same_on_every_device(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = available_devices()
    status, out, _ = run("parity")
    assert status == 0 and (len(devices) == 1 or out.endswith(f"the same tokens on {' and '.join(devices)}\n"))
    one, other = Completion("a", [1]), Completion("b", [2])
    assert str(Written({"here": one, "there": one})).endswith("\n\nthe same tokens on here and there")
    assert str(Written({"here": one, "there": other})).endswith("\n\nTHE TOKENS DIFFER")
    monkeypatch.setattr("qwen3moe.cli.parity._write", lambda *_: Written({"here": one, "there": other}))
    status, out, _ = run("parity", "--device", "cpu", "--json")
    assert status == 1 and json.loads(out)["equal"] is False


def test_the_bundled_model_by_its_name(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(run("info", "tiny", "--device", "cpu", "--json")[1])["model"] == str(TINY_PATH)
    (tmp_path / "tiny").write_text("a file of that name comes first")
    assert run("info", "tiny", "--device", "cpu")[0] == 2


def test_bench(run: Run, small_model_path: Path) -> None:
    common = ("bench", small_model_path, "-p", 8, "-n", 2, "-r", 2, "-t", 1, "-d", 3)
    status, out, _ = run(*common)
    assert status == 0 and "decode 2 @ 3" in out and "read bandwidth" in out
    assert "prefill 4 @ 1" in run("bench", small_model_path, "-p", "4,5", "-n", "1", "-d", "0,1", "-r", 1)[1]
    documents = [json.loads(run(*common, *form)[1]) for form in (["--json"], ["-o", "json"])]
    for document in documents:
        assert len(document["prefill_tok_s"]["samples"]) == 2
        assert document["decode_tok_s"]["median"] > 0
    assert documents[0]["logits_sha256"] == documents[1]["logits_sha256"]


def test_synth(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    status, text, _ = run("synth", out, "--preset", "small", "--layers", 2, "--seed", 3, "--json")
    assert status == 0 and json.loads(text)["bytes"] == out.stat().st_size
    with Model.from_gguf(out) as model:
        assert model.config["layers"] == 2


def test_quantize(run: Run, small_model_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    status, text, err = run("quantize", small_model_path, out, "--type", "Q8_0", "-t", 1)
    assert (status, err) == (0, "") and text.startswith(f"wrote {out}: Q8_0, 0.0")
    document = json.loads(run("quantize", small_model_path, out, "--json")[1])
    assert (document["type"], document["bytes"]) == ("Q4_K_M", out.stat().st_size)
    with Model.from_gguf(out) as model:
        assert {tensor["type"] for tensor in model.tensors()} == {"Q4_K", "Q6_K", "F32"}


def test_doctor(run: Run) -> None:
    status, out, _ = run("doctor")
    assert status == 0 and "all is well" in out
    assert json.loads(run("doctor", "--json")[1])["ok"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "nothing.gguf"], "nothing.gguf"),
        (["logits", "MODEL", "--tokens", "1,x"], r"tokens[1] is 'x'"),
        (["logits", "MODEL", "--tokens", ""], "tokens is empty"),
        (["logits", "MODEL", "--tokens", "1,99999999"], "99999999"),
        (["logits", "MODEL", "--tokens", "4294967296"], "32 bits"),
        (["logits", "MODEL", "--tokens", "@nothing"], "cannot read nothing"),
        (["logits", "MODEL", "--tokens", "1", "--device", "tpu"], "tpu"),
        (["logits", "MODEL", "--tokens", "1", "--threads", "0"], "threads is 0"),
        (["logits", "MODEL", "--tokens", "1", "--top", "-1"], "--top is -1"),
        (["logits", "MODEL", "--tokens", "1", "-o", "nowhere/l.npy"], "cannot write nowhere/l.npy"),
        (["trace", "MODEL", "--tokens", "1", "-o", "t.npz", "--stages", "x"], "no stage matches 'x'"),
        (["trace", "MODEL", "--tokens", "1", "-o", "t.npz", "--layers", "99"], "layer 99"),
        (["trace", "MODEL", "--tokens", "1", "-o", "t.npz", "--layers", "1-"], "--layers has '1-'"),
        (["diff", "nothing.npz", "nothing.npz"], "cannot read nothing.npz"),
        (["bench", "MODEL", "-p", "0", "-n", "0"], "nothing to time"),
        (["bench", "MODEL", "-p", "8,x"], "--prompt has 'x'"),
        (["quantize", "nothing", "m.gguf"], "nothing"),
        (["quantize", "MODEL", "m.gguf", "--type", "Q1"], "type is 'Q1'; expected one of F16, Q8_0"),
        (["quantize", ".", "m.gguf"], "cannot read config.json"),
        (["synth", "m.gguf", "--preset", "nothing"], "nothing"),
        (["synth", "m.gguf", "--types", "nothing"], "nothing"),
        (["synth", "m.gguf", "--seed", "-1"], "seed is -1"),
        (["synth", "m.gguf", "--layers", "0"], "layers is 0"),
    ],
)
def test_errors_are_one_line_and_exit_2(
    run: Run, small_model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*(str(small_model_path) if word == "MODEL" else word for word in words))
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_model(run: Run, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"not a model, but long enough to look into")
    status, _, err = run("info", tmp_path / "m.gguf")
    assert status == 2 and "m.gguf" in err and err.count("\n") == 1


def test_interrupt_exits_130(run: Run, small_model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "forward", interrupted)
    assert run("logits", small_model_path, "--tokens", "1")[0] == 130


def test_ctrl_c_ends_a_long_command(small_model_path: Path) -> None:
    words = ["bench", str(small_model_path), "-p", "4000", "-n", "1", "-r", "1000"]
    process = subprocess.Popen([sys.executable, "-m", "qwen3moe", *words], stderr=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


def test_a_closed_pipe_is_no_error(small_model_path: Path) -> None:
    """As in `qwen3moe info model.gguf | head -0`."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "qwen3moe", "info", str(small_model_path)]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_any_name_can_be_printed(small_model_path: Path, tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), "é".encode() + b"\xff.gguf")
    os.symlink(small_model_path, name)
    for form in ([], ["--json"]):
        command = [sys.executable, "-m", "qwen3moe", "info", name, *form]
        environment = os.environ | {"PYTHONIOENCODING": "ascii"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert (done.returncode, done.stderr) == (0, "") and ".gguf" in done.stdout


def test_no_bar_without_a_terminal(small_model_path: Path) -> None:
    done = python("logits", small_model_path, "--tokens", "1,2")
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize(
    ("text", "tokens"), [("1,2,3", [1, 2, 3]), (" 1, 2\n3 ", [1, 2, 3]), ("", []), ("-1", [-1]), ("007", [7])]
)
def test_parse_tokens(text: str, tokens: list[int]) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "values"), [(None, None), ("0-3,7", [0, 1, 2, 3, 7]), ("-1", [-1]), ("5", [5]), ("2-2", [2]), ("3-2", [])]
)
def test_parse_ranges(text: str | None, values: list[int] | None) -> None:
    assert parse_ranges(text, "--layers") == values

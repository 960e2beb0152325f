"""`Model` and `Session` as a caller meets them; the bits themselves are tested elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qwen3moe
from qwen3moe import ArgumentError, BackendUnavailableError, FileError, Model, sha256_logits
from qwen3moe.progress import reporting
from qwen3moe.prompts import plain_tokens

TOKENS = [3, 1, 4, 1, 5]


def test_opening(small_model_path: Path) -> None:
    for path in (small_model_path, str(small_model_path)):
        with Model.from_gguf(path, threads=2, batch=np.int64(7)) as model:
            assert model.device == "cpu", "auto"
            assert (model.threads, model.batch) == (2, 7)
            assert model.path == str(small_model_path)
            assert 0 < model.weight_bytes < small_model_path.stat().st_size
            assert repr(model) == f"<qwen3moe.Model {str(small_model_path)!r} on cpu>"


@pytest.mark.parametrize("option", ["threads", "batch"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, 2**32])
def test_options_are_counts(small_model_path: Path, option: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=rf"{option} is .*{value}.*from 1 to"):
        Model.from_gguf(small_model_path, **{option: value})


def test_unknown_keywords_are_errors(small_model_path: Path, model: Model) -> None:
    with pytest.raises(TypeError, match="thread"):
        Model.from_gguf(small_model_path, thread=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="position"):
        model.forward(TOKENS, position="all")  # type: ignore[call-arg]


def test_a_device_that_is_not_here(small_model_path: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="tpu:0"):
        Model.from_gguf(small_model_path, device="tpu:0")


@pytest.mark.skipif(sys.platform != "linux", reason="a file name that is not UTF-8")
def test_names_are_bytes(small_model_path: Path, tmp_path: Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"\xff.gguf")
    os.symlink(small_model_path, name)
    for path in (name, os.fsdecode(name), Path(os.fsdecode(name))):
        with Model.from_gguf(path) as model:
            assert os.fsencode(model.path) == name


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="nothing") as refusal:
        Model.from_gguf(tmp_path / "nothing")
    assert isinstance(refusal.value, FileNotFoundError) or refusal.value.errno == 2


def test_what_a_model_says_of_itself(model: Model) -> None:
    config = model.config
    assert config["experts_used"] <= config["experts"]
    tensors = {tensor["name"]: tensor for tensor in model.tensors()}
    assert tuple(tensors["token_embd.weight"]["shape"]) == (config["width"], config["vocab"])
    assert sum(tensor["bytes"] for tensor in tensors.values()) == model.weight_bytes
    assert model.metadata()["general.architecture"] == "qwen3moe"
    assert any("rope_append" in line for line in model.plan())


def test_shapes(model: Model) -> None:
    vocab = model.config["vocab"]
    last, every = model.forward(TOKENS), model.forward(TOKENS, "all")
    assert (last.shape, last.dtype) == ((vocab,), np.float32)
    assert (every.shape, every.dtype) == ((len(TOKENS), vocab), np.float32)
    assert sha256_logits(every[-1]) == sha256_logits(last)


@pytest.mark.parametrize("positions", ["none", "first", None, 3])
def test_positions_of_forward(model: Model, positions: Any) -> None:
    with pytest.raises(ArgumentError, match="'last' or 'all'"):
        model.forward(TOKENS, positions)


def test_sessions(model: Model) -> None:
    expected = model.forward(TOKENS, "all")
    with model.session(context=8) as session:
        assert (session.context, session.position, session.tokens.tolist()) == (8, 0, [])
        assert session.eval(TOKENS[:2], "none") is None
        np.testing.assert_array_equal(session.eval(TOKENS[2:3]), expected[2])
        fork = session.fork()
        np.testing.assert_array_equal(session.eval(TOKENS[3:], "all"), expected[3:])
        assert repr(session) == "<qwen3moe.Session at 5 of 8>"
        assert (fork.position, session.tokens.tolist()) == (3, TOKENS)
        session.truncate(1)
        np.testing.assert_array_equal(session.eval(TOKENS[1:2]), expected[1])
        fork.close()
    with pytest.raises(qwen3moe.SessionError):
        session.eval(TOKENS)


@pytest.mark.parametrize("value", [0, -1, 1.5, "8", True, 2**32])
def test_context_is_a_count(model: Model, value: Any) -> None:
    with pytest.raises(ArgumentError, match="context is"):
        model.session(value)


def test_truncate_wants_a_position(model: Model) -> None:
    with model.session(8) as session, pytest.raises(ArgumentError, match="position is -1"):
        session.truncate(-1)


def test_forward_batch(model: Model) -> None:
    prompts = [[1, 2, 3], [4], np.arange(20)]
    together = model.forward_batch(prompts)
    for prompt, logits in zip(prompts, together, strict=True):
        np.testing.assert_array_equal(logits, model.forward(prompt))
    with pytest.raises(ArgumentError):
        model.forward_batch([[1], []])


def test_trace_is_in_forward_order(model: Model) -> None:
    trace = model.trace(TOKENS, "q,router.ids,embed,logits", layers=[2, 0], positions=-1)
    assert list(trace) == [
        *("embed", "layers.0.q", "layers.0.moe_router.ids", "layers.2.q", "layers.2.moe_router.ids", "logits"),
    ]
    assert all(len(array) == 1 for array in trace.values())
    np.testing.assert_array_equal(trace["logits"][0], model.forward(TOKENS))


def test_trace_has_every_stage_by_default(model: Model) -> None:
    stages = {key.split(".", 2)[-1] if key.startswith("layers.") else key for key in model.trace([1])}
    assert stages == set(qwen3moe.stages())


def test_progress_is_told(model: Model) -> None:
    told: list[tuple[int, int]] = []
    tokens = plain_tokens(600, model.config["vocab"])
    model.forward(tokens, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (600, 600)
    assert told == sorted(told) and len(told) > 1


def test_a_progress_that_raises_ends_the_call(model: Model) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Enough

    with model.session(600) as session:
        with pytest.raises(Enough):
            session.eval([1] * 600, progress=stop)
        assert session.position == 0


def test_a_bar_goes_to_stderr(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    model.forward(TOKENS, progress=True)
    shown = capsys.readouterr()
    assert "eval" in shown.err and shown.out == ""
    model.forward(TOKENS)
    assert capsys.readouterr().err == ""


def test_a_model_opened_with_progress_shows_it(small_model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Model.from_gguf(small_model_path, progress=True) as model:
        model.forward(TOKENS)
        assert "eval" in capsys.readouterr().err
        model.forward(TOKENS, progress=False)
        assert capsys.readouterr().err == ""


def test_a_bar_knows_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(True, "work", "B") as report:
        assert report
        report(3, 9)
        report(9, 9)
    assert "9.00/9.00" in capsys.readouterr().err

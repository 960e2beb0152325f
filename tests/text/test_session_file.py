"""Stored sessions: they go on with the same bits, on any device; what is damaged or of another model is refused."""

import hashlib
import json
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qwen3moe
from tests.devices import CASES, make, others

DEVICES = [pytest.param(d, marks=[pytest.mark.cuda] if d.startswith("cuda") else []) for d in others()]
RNG = np.random.default_rng(8)
TOKENS = RNG.integers(0, 256, 300).astype(np.int32)
START = 24  # of the header


@pytest.fixture(scope="module")
def stored(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("sessions") / "s"
    with model.session(400) as session:
        session.eval(TOKENS[:270], "none")
        session.save(path)
    return path


def same(a, b):
    return a.tobytes() == b.tobytes()


def test_a_loaded_session_goes_on_with_the_same_bits(model, stored):
    expected = model.forward(TOKENS, "all")
    with model.load_session(stored) as session:
        assert (session.context, session.tokens.tolist()) == (400, TOKENS[:270].tolist())
        assert same(session.eval(TOKENS[270:], "all"), expected[270:])
        session.truncate(100)
        assert same(session.eval(TOKENS[100:], "all"), expected[100:])


@pytest.mark.parametrize("context", [270, 301, 1000])
def test_another_context(model, stored, context):
    with model.load_session(stored, context=context) as session:
        assert session.context == context
        if context > 300:
            assert same(session.eval(TOKENS[270:]), model.forward(TOKENS))


@pytest.mark.parametrize("count", [0, 1, 256])
def test_any_number_of_tokens(model, tmp_path, count):
    with model.session(300) as session:
        if count:
            session.eval(TOKENS[:count], "none")
        session.save(tmp_path / "s")
    with model.load_session(tmp_path / "s") as session:
        assert same(session.eval(TOKENS[count:]), model.forward(TOKENS))


def test_only_the_used_tokens_are_stored(model, tmp_path):
    sizes = []
    for context in (300, 2000):
        with model.session(context) as session:
            session.eval(TOKENS, "none")
            session.truncate(10)
            session.save(tmp_path / "s")
        sizes.append((tmp_path / "s").stat().st_size)
    config = model.config
    cache = 10 * 2 * config["layers"] * config["kv_heads"] * (2 * config["head_dim"] + 4)
    assert max(sizes) < cache + 40 + 600


def test_the_bytes_do_not_depend_on_threads_or_chunks(small_model_path, stored, tmp_path):
    with qwen3moe.Model.from_gguf(small_model_path, "cpu", threads=2, batch=7) as other, other.session(400) as session:
        session.eval(TOKENS[:100], "none")
        session.eval(TOKENS[100:270])
        session.save(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == stored.read_bytes()


@pytest.mark.parametrize("case", ["mixed", "head_dim 128"])
@pytest.mark.parametrize("device", DEVICES)
def test_devices(tmp_path, device, case):
    """The same file from either, and each goes on with what the other stored."""
    path = make(case, tmp_path)
    assert case in CASES
    files = []
    with qwen3moe.Model.from_gguf(path, "cpu") as cpu, qwen3moe.Model.from_gguf(path, device) as other:
        for name, model in (("a", cpu), ("b", other)):
            with model.session(400) as session:
                session.eval(TOKENS[:270], "none")
                session.save(tmp_path / name)
            files.append((tmp_path / name).read_bytes())
        assert files[0] == files[1]
        for name, model in (("b", cpu), ("a", other)):
            with model.load_session(tmp_path / name, context=350) as session:
                assert same(session.eval(TOKENS[270:], "all"), cpu.forward(TOKENS, "all")[270:])


def test_a_context_that_is_too_small(model, stored):
    with pytest.raises(qwen3moe.ContextFullError, match="270 tokens do not fit"):
        model.load_session(stored, context=269)


def test_a_fork_of_a_loaded_session(model, stored):
    with model.load_session(stored) as session, session.fork() as fork:
        session.close()
        assert same(fork.eval(TOKENS[270:]), model.forward(TOKENS))
        fork.save(stored.with_name("fork"))
    with model.load_session(stored.with_name("fork")) as again:
        assert again.tokens.tolist() == TOKENS.tolist()


def test_progress(model, stored, tmp_path):
    for call in (
        lambda report: model.load_session(stored, progress=report).save(tmp_path / "s"),
        lambda report: model.load_session(stored).save(tmp_path / "s", progress=report),
    ):
        seen = []
        call(lambda done, total: seen.append((done, total)))  # noqa: B023
        assert seen == sorted(seen) and seen[-1][0] == seen[-1][1]


# ---- refusals


def refused(model, content, path, words=None):
    path.write_bytes(content)
    with pytest.raises(qwen3moe.SessionFileError, match=words) as refusal:
        model.load_session(path)
    assert isinstance(refusal.value, ValueError) and isinstance(refusal.value, qwen3moe.SessionError)


def test_another_model(small_model_path, tmp_path, stored):
    path = qwen3moe.synth(tmp_path / "m.gguf", "small", seed=1)
    with qwen3moe.Model.from_gguf(path) as other, pytest.raises(qwen3moe.SessionFileError, match="another model"):
        other.load_session(stored)


def test_the_fingerprint(small_model_path, tmp_path, model):
    """The same for the same model on another path; another for any other."""
    copy = tmp_path / "copy.gguf"
    content = bytearray(small_model_path.read_bytes())
    copy.write_bytes(content)
    with qwen3moe.Model.from_gguf(copy, threads=2) as other:
        assert other.fingerprint == model.fingerprint
    content[-4000:-2000] = bytes(2000)  # of the last tensor
    copy.write_bytes(content)
    with qwen3moe.Model.from_gguf(copy) as other:
        assert other.fingerprint != model.fingerprint


def parts(content):
    length = struct.unpack("<I", content[20:24])[0]
    return content[:START], json.loads(content[START : START + length]), content[START + length : -32]


def sealed(header, payload, version=1):
    """A file as it should be, but for what it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = b"qwen3moe session" + struct.pack("<II", version, len(text)) + text + payload
    return content + hashlib.sha256(content).digest()


def test_truncated_files(model, stored, tmp_path):
    content = stored.read_bytes()
    for length in {0, 1, 15, 16, 23, 24, 30, 200, len(content) // 2, len(content) - 33, len(content) - 1}:
        refused(model, content[:length], tmp_path / "s")
    refused(model, content + b"x", tmp_path / "s", "bytes")


@settings(max_examples=50, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_altered_bit(model, stored, at, bit):
    content = bytearray(stored.read_bytes())
    content[int(at * len(content))] ^= 1 << bit
    altered = stored.with_name("altered")
    refused(model, content, altered)


def test_every_byte_of_the_beginning_and_the_end(model, stored, tmp_path):
    content = stored.read_bytes()
    for at in [*range(0, 400, 7), *range(len(content) - 33, len(content))]:
        altered = bytearray(content)
        altered[at] ^= 0x10
        refused(model, altered, tmp_path / "s")


HEADERS = {
    "version": (lambda h, p: sealed(h, p, version=2), "version 2"),
    "no JSON": (lambda h, p: sealed(b"{", p), "cannot be read"),
    "no object": (lambda h, p: sealed([1], p), "cannot be read"),
    "deep": (lambda h, p: sealed(b"[" * 60000, p), "cannot be read"),
    "no model": (lambda h, p: sealed({k: v for k, v in h.items() if k != "model"}, p), "cannot be read"),
    "another model": (lambda h, p: sealed(h | {"model": "0" * 64}, p), "another model: model"),
    "another arithmetic": (lambda h, p: sealed(h | {"arithmetic": "0"}, p), "another model: arithmetic"),
    "layers": (lambda h, p: sealed(h | {"layers": h["layers"] + 1}, p), "another model: layers"),
    "more tokens": (lambda h, p: sealed(h | {"tokens": 271}, p), "layer_bytes"),
    "tokens past counting": (lambda h, p: sealed(h | {"tokens": 10**30}, p), "cannot be right"),
    "fewer than none": (lambda h, p: sealed(h | {"tokens": -1}, p), "cannot be right"),
    "half a token": (lambda h, p: sealed(h | {"tokens": 1.5}, p), "cannot be right"),
    "a small context": (lambda h, p: sealed(h | {"context": 3}, p), "do not fit"),
    "no context": (lambda h, p: sealed(h | {"context": 0}, p), "do not fit"),
    "a context past the model's": (lambda h, p: sealed(h | {"context": 2**31}, p), "do not fit"),
    "a token that is none": (lambda h, p: sealed(h, struct.pack("<i", -1) + p[4:]), "token 0 is -1"),
    "values out of bounds": (lambda h, p: sealed(h, p[:1080] + b"\xff\x7f" + p[1082:]), "no evaluation"),
    "scales out of bounds": (lambda h, p: sealed(h, p[:-4] + b"\0\0\xc0\x7f"), "no evaluation"),
    "scales below bounds": (lambda h, p: sealed(h, p[:-4] + b"\1\0\0\0"), "no evaluation"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_files_made_to_deceive(model, stored, tmp_path, case):
    spoil, words = HEADERS[case]
    _, header, payload = parts(stored.read_bytes())
    refused(model, spoil(header, payload), tmp_path / "s", words)


def test_the_order_of_the_cache(model, stored):
    """K as int16 [kv_heads][positions][head_dim], its scales, then V: what the trace of the same tokens has."""
    _, header, payload = parts(stored.read_bytes())
    heads, dim, count = model.config["kv_heads"], model.config["head_dim"], header["tokens"]
    trace = model.trace(TOKENS[:count], "k_rope,v")
    values, scales = heads * count * dim * 2, heads * count * 4
    at = 4 * count
    for layer in range(model.config["layers"]):
        for name in ("k_rope", "v"):
            whole = np.frombuffer(payload, "<i2", heads * count * dim, at).reshape(heads, count, dim)
            scale = np.frombuffer(payload, "<f4", heads * count, at + values).reshape(heads, count, 1)
            expected = trace[f"layers.{layer}.{name}"].reshape(count, heads, dim).transpose(1, 0, 2)
            assert (np.abs(whole * scale.astype(float) - expected) <= 0.51 * scale).all(), (layer, name)
            at += values + scales
    assert at == len(payload)


def test_a_sealed_file_is_what_is_stored(stored):
    _, header, payload = parts(stored.read_bytes())
    assert sealed(header, payload) == stored.read_bytes()


# ---- files


def test_files_that_cannot_be(model, tmp_path):
    with pytest.raises(qwen3moe.FileError, match="cannot read"):
        model.load_session(tmp_path / "nothing")
    with model.session(4) as session:
        session.eval([1])
        with pytest.raises(qwen3moe.FileError, match="cannot write"):
            session.save(tmp_path / "nowhere" / "s")


def test_nothing_is_left_when_writing_fails(model, tmp_path):
    def stop(done, total):
        if done > 1000:
            raise KeyboardInterrupt

    (tmp_path / "s").write_text("before")
    with model.session(300) as session:
        session.eval(TOKENS, "none")
        with pytest.raises(KeyboardInterrupt):
            session.save(tmp_path / "s", progress=stop)
        assert os.listdir(tmp_path) == ["s"] and (tmp_path / "s").read_text() == "before"
        session.save(tmp_path / "s")
    model.load_session(tmp_path / "s").close()


def test_a_closed_session(model, tmp_path):
    session = model.session(4)
    session.close()
    with pytest.raises(qwen3moe.SessionError, match="closed"):
        session.save(tmp_path / "s")
    assert os.listdir(tmp_path) == []

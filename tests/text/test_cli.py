"""`run` and `score` on the command line."""

import io
import json
import os
import subprocess
import sys

import pytest

from qwen3moe.cli import main

PROMPT = "def f(x):"


@pytest.fixture
def run(capsys, monkeypatch):
    def call(*argv, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = main([str(word) for word in argv])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


def test_run(run, model, small_model_path, tmp_path):
    (expected,) = model.generate(PROMPT, max_tokens=8).finish()
    common = ("run", small_model_path, "-n", 8)
    (tmp_path / "p").write_text(PROMPT)
    for words, stdin in ((("-p", PROMPT), ""), (("-p", f"@{tmp_path / 'p'}"), ""), ((), PROMPT)):
        assert run(*common, *words, stdin=stdin) == (0, expected.text + "\n", "")
    (decorated,) = model.generate(f"@{PROMPT}", max_tokens=8).finish()
    assert run(*common, "-p", f"@@{PROMPT}") == (0, decorated.text + "\n", "")
    tokens = ",".join(map(str, model.tokenize(PROMPT)))
    assert run(*common, "--tokens", tokens) == (0, expected.text + "\n", "")

    status, out, _ = run(*common, "-p", PROMPT, "--json")
    document = json.loads(out)
    (answer,) = document["answers"]
    assert (status, document["device"]) == (0, model.device)
    assert (answer["text"], answer["tokens"], answer["logprobs"]) == (expected.text, expected.tokens, expected.logprobs)
    assert answer["finish"] == "length" and answer["tokens_per_second"] > 0


def test_every_option_reaches_the_sampler(run, model, small_model_path):
    options = dict(temperature=1.4, top_k=300, top_p=0.98, min_p=0.002, repetition_penalty=1.2, seed=77, max_tokens=9)
    (expected,) = model.generate(PROMPT, **options).finish()
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    stop = next(c for c in reversed(expected.text) if c.isascii())
    out = run("run", small_model_path, "-p", PROMPT, *words, "--stop", stop, "--stop", "unlikely to come", "--json")[1]
    (found,) = model.generate(PROMPT, stop=stop, **options).finish()
    (answer,) = json.loads(out)["answers"]
    assert (answer["text"], answer["tokens"], answer["finish"]) == (found.text, found.tokens, "stop")


def test_text_streams(small_model_path):
    """The first piece is there before the last is made."""
    command = [sys.executable, "-m", "qwen3moe", "run", str(small_model_path), "-p", PROMPT, "-n", "3000"]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout.read(1)
        assert process.poll() is None
        process.kill()


def test_chat(run, model, small_model_path):
    options = dict(max_tokens=6)
    messages = [{"role": "system", "content": "Be brief."}]
    texts = []
    for content in ("Hello", "More, please"):
        messages.append({"role": "user", "content": content})
        texts.append(model.chat(messages, **options).finish()[0].text)
        messages.append({"role": "assistant", "content": texts[-1]})
    words = ("run", small_model_path, "--chat", "--system", "Be brief.", "-n", 6)
    assert run(*words, stdin="Hello\n\nMore, please\n") == (0, "".join(f"{text}\n" for text in texts), "")
    assert run(*words, "-p", "Hello") == (0, f"{texts[0]}\n", "")
    answers = json.loads(run(*words, "--json", stdin="Hello\nMore, please")[1])["answers"]
    assert [answer["text"] for answer in answers] == texts


def test_score(run, model, small_model_path, tmp_path):
    (tmp_path / "t").write_text("a list\nof é")
    texts = [PROMPT, "a list\nof é"]
    status, out, err = run("score", small_model_path, PROMPT, f"@{tmp_path / 't'}")
    scores = model.score(texts)
    assert (status, err) == (0, "")
    assert all(f"{score.total:.4f}" in out and f"{score.perplexity:.4f}" in out for score in scores)
    found = json.loads(run("score", small_model_path, *texts, "--json")[1])["texts"]
    assert [one["logprobs"] for one in found] == [score.logprobs.tolist() for score in scores]
    assert [(one["text"], one["logprob"]) for one in found] == [
        (text, score.total) for text, score in zip(texts, scores, strict=True)
    ]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["hf"], {}),
        (["hf", "--window", "16", "--stride", "5"], dict(window=16, stride=5)),
        (["llama.cpp", "--window", "16"], dict(window=16, convention="llama.cpp")),
    ],
)
def test_perplexity(run, model, small_model_path, words, options):
    text = "def f(x):\n    return x + 1\n" * 8
    expected = model.perplexity(text, **options)
    assert run("score", small_model_path, text, "--perplexity", *words)[1] == f"{expected}\n"
    (found,) = json.loads(run("score", small_model_path, text, "--perplexity", *words, "--json")[1])["texts"]
    assert found == expected.to_dict()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "MODEL", "-p", ""], "prompt is empty"),
        (["run", "MODEL", "-p", "@nothing"], "for the text '@nothing' write @@nothing"),
        (["run", "MODEL", "-p", "@bytes"], "bytes is no text in UTF-8: byte 1"),
        (["run", "MODEL", "--tokens", "1,x"], "tokens[1] is 'x'"),
        (["run", "MODEL", "-p", "x", "-n", "0"], "max_tokens is 0"),
        (["run", "MODEL", "-p", "x", "--temperature", "-1"], "temperature is -1"),
        (["run", "MODEL", "-p", "x", "--chat", "-c", "3"], "of 3 has 3 left"),
        (["run", "MODEL", "-p", "x", "--chat", "-c", "0"], "context is 0"),
        (["run", "MODEL", "-p", "x", "--stop", ""], "stop has ''"),
        (["run", "MODEL", "-p", "x", "--system", "y"], "add --chat"),
        (["run", "MODEL", "--tokens", "1", "--chat"], "--tokens are ids"),
        (["score", "MODEL", "x", "--window", "9"], "are for --perplexity"),
        (["score", "MODEL", "x", "--perplexity", "llama.cpp", "--stride", "9"], "leave it out"),
        (["score", "nothing.gguf", "x"], "nothing.gguf"),
    ],
)
def test_errors_are_one_line(run, small_model_path, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bytes").write_bytes(b"a\xff")
    status, out, err = run(*(str(small_model_path) if word == "MODEL" else word for word in words))
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_any_character_can_be_printed(small_model_path):
    """On a terminal that knows ASCII only."""
    command = [sys.executable, "-m", "qwen3moe", "run", small_model_path, "-p", "x", "-n", "60", "--temperature", "9"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (0, "") and "\\" in done.stdout

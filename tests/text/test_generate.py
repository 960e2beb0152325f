"""Generation: the same text however the work is cut, where it ends, and what is left when it fails."""

import copy
import dataclasses
import itertools
import pickle
import signal
import threading

import numpy as np
import pytest

import qwen3moe
from qwen3moe import _core
from qwen3moe.generation import Generation
from tests.devices import others
from tests.text.models import spoilt_vocabulary, without_vocabulary

PROMPT = "def f(x):\n    return"
PROMPTS = [PROMPT, "x", "import the number of the first value in a list and print it", [5, 6, 7], PROMPT]
SAMPLED = dict(temperature=1.3, top_k=200, top_p=0.97, min_p=0.001, repetition_penalty=1.1, seed=12345)
MANNERS = pytest.mark.parametrize("options", [{}, SAMPLED], ids=["greedy", "sampled"])
DEVICES = [pytest.param(d, marks=[pytest.mark.cuda] if d.startswith("cuda") else []) for d in others()]


def facts(generation):
    """All that must be equal, in bits."""
    return [(c.text, c.tokens, np.array(c.logprobs, np.float32).tobytes(), c.finish) for c in generation.finish()]


@pytest.fixture(scope="module")
def expected(small_model_path):
    with qwen3moe.Model.from_gguf(small_model_path, "cpu", threads=1, batch=1) as model:
        return {
            name: [facts(model.generate(p, max_tokens=12, **options))[0] for p in PROMPTS]
            for name, options in (("greedy", {}), ("sampled", SAMPLED))
        }


def named(options):
    return "sampled" if options else "greedy"


# ---- the same text


@MANNERS
@pytest.mark.parametrize(("threads", "batch"), [(1, 256), (2, 7), (3, 64), (8, 1)])
def test_threads_and_batches(small_model_path, expected, options, threads, batch):
    with qwen3moe.Model.from_gguf(small_model_path, "cpu", threads=threads, batch=batch) as model:
        assert facts(model.generate(PROMPT, max_tokens=12, **options)) == expected[named(options)][:1]


@MANNERS
def test_prompts_together_equal_each_alone(model, expected, options):
    assert facts(model.generate(PROMPTS, max_tokens=12, **options)) == expected[named(options)]


@MANNERS
@pytest.mark.parametrize("device", DEVICES)
def test_devices(small_model_path, expected, options, device):
    with qwen3moe.Model.from_gguf(small_model_path, device) as model:
        assert facts(model.generate(PROMPTS, max_tokens=12, **options)) == expected[named(options)]


@MANNERS
def test_a_session_that_holds_the_beginning(model, expected, options):
    tokens = model.tokenize(PROMPT)
    for cut in (1, len(tokens) - 1):
        with model.session(100) as session:
            session.eval(tokens[:cut])
            assert (
                facts(model.generate(tokens[cut:], session=session, max_tokens=12, **options))
                == expected[named(options)][:1]
            )
            assert session.tokens.tolist() == tokens + expected[named(options)][0][1][:-1]


def test_greedy_is_the_argmax_of_each_step(model):
    """The definition, by plain forward passes; log-probabilities are those of the model's own logits."""
    tokens = model.tokenize(PROMPT)
    generation = model.generate(PROMPT, max_tokens=6, top_k=1, top_p=0.1)
    for piece in generation:
        logits = model.forward(tokens)
        assert piece.id == int(np.argmax(logits))
        own = _core.sampling.log_probabilities(logits[None], np.array([piece.id], np.int32))[0][0]
        assert piece.logprob == own
        tokens.append(piece.id)


def test_sampling_is_the_sampler_of_each_step(model):
    tokens = model.tokenize(PROMPT)
    for piece in model.generate(tokens, max_tokens=6, **SAMPLED):
        assert piece.id == _core.sampling.choose(
            model.forward(tokens), np.array(tokens, np.int32), position=len(tokens), **SAMPLED
        )
        tokens.append(piece.id)


def test_seeds(model):
    hot = dict(temperature=1.5, max_tokens=8)
    alone = [facts(model.generate(PROMPT, seed=s, **hot))[0] for s in range(4)]
    assert len({str(fact) for fact in alone}) == 4
    assert facts(model.generate([PROMPT] * 4, seed=[0, 1, 2, 3], **hot)) == alone
    assert facts(model.generate([PROMPT] * 2, seed=3, **hot)) == [alone[3]] * 2


# ---- pieces


def test_pieces_are_text(model):
    generation = model.generate(PROMPT, max_tokens=10, **SAMPLED)
    pieces = list(generation)
    assert all(isinstance(piece, str) and type(str(piece)) is str for piece in pieces)
    (completion,) = generation.completions
    assert [piece.id for piece in pieces] == completion.tokens
    assert [piece.logprob for piece in pieces] == completion.logprobs
    assert "".join(pieces) == completion.text == model.detokenize(completion.tokens, special=False)
    assert (len(pieces), completion.finish, {piece.prompt for piece in pieces}) == (10, "length", {0})


def test_pieces_can_be_copied_and_sent(model):
    (piece,) = model.generate(PROMPT, max_tokens=1)
    for other in (copy.deepcopy(piece), pickle.loads(pickle.dumps(piece))):
        assert (type(other), other, vars(other)) == (type(piece), piece, vars(piece))


def test_pieces_of_several_prompts(model):
    generation = model.generate(["a", [1, 2], "def"], max_tokens=4)
    pieces = list(generation)
    assert [piece.prompt for piece in pieces] == [0, 1, 2] * 4
    for number, completion in enumerate(generation.completions):
        assert "".join(piece for piece in pieces if piece.prompt == number) == completion.text


def test_prompts_as_arrays(model):
    one = facts(model.generate([1, 2, 3], max_tokens=3))
    assert facts(model.generate(np.array([1, 2, 3]), max_tokens=3)) == one
    assert facts(model.generate(np.array([[1, 2, 3], [1, 2, 3]]), max_tokens=3)) == one * 2
    assert facts(model.generate(([1, 2, 3], (1, 2, 3)), max_tokens=3)) == one * 2


def test_characters_are_whole(model):
    """A token of half a character gives nothing until the other half is there, or the end."""
    halves = [model.tokenizer.vocabulary.ids[c] for c in ("Ã", "©")]  # the bytes of é
    generation = model.generate("x", max_tokens=2, logits_processor=saying(halves))
    assert list(generation) == ["", "é"]
    generation = model.generate("x", max_tokens=1, logits_processor=saying(halves))
    assert list(generation) == ["\ufffd"]


def saying(tokens):
    """A processor that lets these tokens come, one after another, and then the last again and again."""
    start = []

    def process(before, logits):
        start.append(len(before))
        allowed = np.full_like(logits, -np.inf)
        allowed[tokens[min(len(before) - start[0], len(tokens) - 1)]] = 0
        return allowed

    return process


# ---- ends


def say(model, text, **options):
    generation = model.generate("x", logits_processor=saying(model.tokenize(text)), **options)
    pieces = list(generation)
    return pieces, generation.completions[0]


@pytest.mark.parametrize("end", ["<|im_end|>", "<|endoftext|>"])
def test_end_tokens(model, end):
    pieces, completion = say(model, f"hello world{end}", max_tokens=50)
    assert completion.text == "".join(pieces) == "hello world"
    assert (completion.finish, pieces[-1], [pieces[-1].id]) == ("end", "", model.tokenize(end))


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("world", "hello "),
        (["nowhere", "lo wor"], "hel"),
        ("hello world, hello world!", ""),
        (["!", "d, h"], "hello worl"),
        ("o", "hell"),
    ],
)
def test_stop_strings(model, stop, text):
    """Across tokens' borders; nothing after the stop string, nor of it, is given out."""
    pieces, completion = say(model, "hello world, hello world! and more", stop=stop, max_tokens=40)
    assert (completion.text, "".join(pieces), completion.finish) == (text, text, "stop")


def test_what_looked_like_a_stop_string_comes_late(model):
    pieces, completion = say(model, "hello worlx", stop="world", max_tokens=len(model.tokenize("hello worlx")))
    assert (completion.text, completion.finish) == ("hello worlx", "length")
    assert completion.text == "".join(pieces)
    pieces, completion = say(model, "hello worl<|im_end|>", stop="world", max_tokens=40)
    assert (completion.text, completion.finish, pieces[-1]) == ("hello worl", "end", "worl")


@pytest.mark.parametrize("stop", ["<|im_start|>", ["world", "<|im_start|>"]])
def test_a_control_token_as_a_stop_string(model, stop):
    """It shows no text, so it is the token that ends it; what was held back comes first."""
    pieces, completion = say(model, "hello wor<|im_start|>user", stop=stop, max_tokens=50)
    assert (completion.text, "".join(pieces), completion.finish) == ("hello wor", "hello wor", "stop")
    assert completion.tokens[-1:] == model.tokenize("<|im_start|>")


def test_most_tokens(model):
    assert [len(c.tokens) for c in model.generate(["a", "b c d"], max_tokens=1).finish()] == [1, 1]
    with model.session(10) as session:
        (completion,) = model.generate([1] * 7, session=session, max_tokens=50).finish()
        assert (len(completion.tokens), completion.finish, session.position) == (4, "length", 10)


def test_a_prompt_as_long_as_the_context(tmp_path):
    path = qwen3moe.synth(tmp_path / "m.gguf", "small", layers=1, context=16)
    with qwen3moe.Model.from_gguf(path) as model:
        (completion,) = model.generate([1] * 16, max_tokens=5).finish()
        assert (len(completion.tokens), completion.finish) == (1, "length")
        with pytest.raises(qwen3moe.ArgumentError, match="context is 17"):
            model.generate([1] * 17).finish()


# ---- the hook


def test_a_processor_sees_tokens_and_logits(model):
    seen = []

    def process(tokens, logits):
        seen.append((tokens.tolist(), logits.copy()))
        logits[:] = 0  # its own copy
        tokens[:] = 0
        logits[len(seen)] = 1.0
        return logits.astype(np.float64)

    (completion,) = model.generate([7, 8], max_tokens=3, logits_processor=process).finish()
    assert completion.tokens == [1, 2, 3]
    assert [tokens for tokens, _ in seen] == [[7, 8], [7, 8, 1], [7, 8, 1, 2]]
    for tokens, logits in seen:
        np.testing.assert_array_equal(logits, model.forward(tokens))


@pytest.mark.parametrize(
    ("process", "error"),
    [
        (lambda t, x: x[:-1], qwen3moe.ArgumentError),
        (lambda t, x: x * np.nan, qwen3moe.ArgumentError),
        (lambda t, x: np.full_like(x, -np.inf), qwen3moe.ArgumentError),
        (lambda t, x: 1 / 0, ZeroDivisionError),
    ],
)
def test_a_processor_that_fails(model, process, error):
    with model.session(20) as session:
        session.eval([1, 2, 3])
        with pytest.raises(error):
            model.generate([4, 5], session=session, logits_processor=process).finish()
        assert session.tokens.tolist() == [1, 2, 3]
        np.testing.assert_array_equal(session.eval([4]), model.forward([1, 2, 3, 4]))


# ---- failures


def test_an_interrupt_rolls_back(model):
    with model.session(3000) as session:
        session.eval([1, 2, 3])
        timer = threading.Timer(0.3, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            model.generate([4], session=session, max_tokens=2900, logits_processor=saying([5])).finish()
        timer.join()
        assert session.tokens.tolist() == [1, 2, 3]


def test_an_end_before_the_end(model):
    with model.session(50) as session:
        generation = model.generate([4, 5], session=session, max_tokens=20, logits_processor=saying([9]))
        assert next(generation).id == 9
        generation.close()
        assert list(generation) == []
        assert session.tokens.tolist() == [4, 5]
        session.eval([6])


def test_what_has_ended_holds_no_memory(model, monkeypatch):
    """Of several prompts, each lets go of its cache as soon as its text ends."""
    (end,) = model.tokenize("<|im_end|>")
    opened = []

    def open_session(context):
        opened.append(model._core.session(context))
        return opened[-1]

    def end_the_first(tokens, logits):
        logits[end] = 1e9 if tokens[0] == 1 else -np.inf
        return logits

    monkeypatch.setattr("qwen3moe.generate.Generation", lambda request: request)
    request = model.generate([[1], [2]], max_tokens=5, logits_processor=end_the_first)
    generation = Generation(dataclasses.replace(request, open_session=open_session))
    assert [piece.prompt for piece in itertools.islice(generation, 3)] == [0, 1, 1]
    assert opened[1].position == 2
    with pytest.raises(qwen3moe.SessionError, match="closed"):
        opened[0].truncate(0)
    assert [completion.finish for completion in generation.finish()] == ["end", "length"]


def test_a_session_in_use(model):
    with model.session(100) as session:

        def intrude(tokens, logits):
            session.close()
            return logits

        with pytest.raises(qwen3moe.SessionError, match="closed"):
            model.generate([1], session=session, logits_processor=intrude).finish()


def test_nothing_runs_before_it_is_asked_for(model):
    called = []
    model.generate([1], logits_processor=lambda t, x: called.append(t))
    assert called == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(prompt=""), "prompt is empty"),
        (dict(prompt=[]), "prompt is empty"),
        (dict(prompt=["a", ""]), "prompt[1] is empty"),
        (dict(prompt=5), "expected a sequence"),
        (dict(prompt=[1.5]), "tokens[0] is 1.5"),
        (dict(max_tokens=0), "max_tokens is 0"),
        (dict(max_tokens=2.5), "max_tokens is 2.5"),
        (dict(seed=-1), "seed is -1"),
        (dict(seed=2**64), "seed is"),
        (dict(seed=[1, 2]), "2 seeds for 1 prompts"),
        (dict(stop=""), "stop has ''"),
        (dict(stop=["a", 3]), "stop has 3"),
        (dict(temperature=-1), "temperature is -1"),
        (dict(top_p=2), "top_p is 2"),
        (dict(logits_processor=3), "logits_processor is 3"),
    ],
    ids=str,
)
def test_arguments_are_refused_before_any_work(model, arguments, words):
    with pytest.raises(qwen3moe.ArgumentError) as refusal:
        model.generate(**{"prompt": "x", **arguments})
    assert words in str(refusal.value)


def test_unknown_keywords_are_errors(model):
    with pytest.raises(TypeError, match="temprature"):
        model.generate("x", temprature=1)


def test_a_session_continues_one_prompt(model):
    with model.session(10) as session, pytest.raises(qwen3moe.ArgumentError, match="2 were given"):
        model.generate(["a", "b"], session=session)


def test_a_session_of_another_model(model, small_model_path):
    with qwen3moe.Model.from_gguf(small_model_path, "cpu") as other:
        session = other.session(10)
        with pytest.raises(qwen3moe.ArgumentError, match="another model"):
            model.generate("a", session=session)


def test_progress_of_the_prompt(model):
    seen = []
    model.generate(list(range(200)) * 3, max_tokens=2, progress=lambda done, total: seen.append((done, total))).finish()
    assert seen[-1] == (600, 600)


# ---- files without a vocabulary


@pytest.mark.parametrize("make", [without_vocabulary, spoilt_vocabulary])
def test_token_ids_go_on_working(small_model_path, tmp_path, model, make):
    with qwen3moe.Model.from_gguf(make(small_model_path, tmp_path / "m.gguf")) as bare:
        generation = bare.generate([1, 2, 3], max_tokens=4)
        assert list(generation) == ["", "", "", ""]
        assert generation.completions[0].tokens == model.generate([1, 2, 3], max_tokens=4).finish()[0].tokens
        for use in (
            lambda: bare.tokenize("x"),
            lambda: bare.detokenize([1]),
            lambda: bare.generate("x"),
            lambda: bare.generate([1], stop="x"),
        ):
            with pytest.raises(qwen3moe.TokenizerError, match="tokenizer"):
                use()

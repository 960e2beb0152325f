"""Sixteen threads that share a model get what each would alone."""

import threading

import numpy as np
import pytest

import qwen3moe
from tests.devices import others, prompt, same, sized

THREADS = 16


@pytest.mark.parametrize("device", ["cpu", *others()])
def test_sixteen_threads_equal_one(small_model_path, device):
    """Sessions of their own, forks, traces and prompts together, all at once."""
    prompts = [prompt(sized(device, 10 + 7 * i, 4 + i % 3), seed=i) for i in range(THREADS)]
    with qwen3moe.Model.from_gguf(small_model_path, device) as model:
        expected = [model.forward(tokens, "all") for tokens in prompts]
        wrong = []
        start = threading.Barrier(THREADS)

        def work(i):
            try:
                start.wait()
                tokens = prompts[i]
                for _ in range(sized(device, 3, 1)):
                    assert same(model.forward(tokens, "all"), expected[i])
                    with model.session(context=200) as session:
                        session.eval(tokens[:-3], "none")
                        with session.fork() as fork:
                            assert same(fork.eval(tokens[-3:], "all"), expected[i][-3:])
                        for j, token in enumerate(tokens[-3:]):
                            assert same(session.eval([int(token)]), expected[i][len(tokens) - 3 + j])
                assert same(model.trace(tokens, "logits")["logits"], expected[i])
                other = prompts[(i + 1) % THREADS]
                pair = model.forward_batch([tokens, other])
                assert same(pair[0], expected[i][-1]) and same(pair[1], expected[(i + 1) % THREADS][-1])
            except BaseException as error:
                wrong.append((i, repr(error)))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_threads_that_open_the_same_file(small_model_path):
    expected = qwen3moe.Model.from_gguf(small_model_path, "cpu", threads=1).forward([1, 2, 3])
    wrong = []

    def work():
        with qwen3moe.Model.from_gguf(small_model_path, "cpu", threads=2) as model:
            if not np.array_equal(model.forward([1, 2, 3]), expected):
                wrong.append(True)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []

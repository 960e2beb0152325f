"""contracts/python-api-v1.yaml, as far as no other part of the suite has it."""

import threading
import time

import pytest

import qwen3moe
from tests.devices import prompt


def test_other_threads_run_meanwhile(model):
    """While a call is under way Python goes on elsewhere, as it could not if the call kept the GIL."""
    with model.session(context=3000) as session:
        call = threading.Thread(target=lambda: session.eval(prompt(2500), "none"))
        ticks = 0
        call.start()
        while call.is_alive():
            ticks += 1
            time.sleep(0.001)
    assert ticks > 10


def test_options_are_keyword_only(small_model_path, model):
    with pytest.raises(TypeError, match="positional"):
        qwen3moe.Model.from_gguf(small_model_path, "cpu", 2)
    with pytest.raises(TypeError, match="positional"):
        model.generate("x", 3)
    with model.session(context=8) as session, pytest.raises(TypeError, match="positional"):
        session.eval([1], "last", None)

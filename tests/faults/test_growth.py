"""What is made and closed is given back."""

import ctypes
import gc

import pytest

import qwen3moe
from tests.devices import others, prompt, sized


def resident():
    """Bytes of memory of this process that no file stands behind, without those that are kept for later allocations."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024


def handles():
    with open("/proc/self/maps") as maps:
        mapped = sum(1 for _ in maps)
    return mapped


@pytest.mark.parametrize("device", ["cpu", *others()])
def test_a_thousand_sessions(small_model_path, device):
    tokens = prompt(3)
    with qwen3moe.Model.from_gguf(small_model_path, device) as model:

        def use(count):
            for _ in range(count):
                with model.session(context=64) as session:
                    session.eval(tokens)
                    session.fork().close()

        use(50)
        before = resident()
        use(sized(device, 1000, 150))
        assert resident() - before < 4 << 20  # a session's cache alone is a tenth of a megabyte


def test_sessions_that_nobody_closes(small_model_path):
    with qwen3moe.Model.from_gguf(small_model_path, "cpu") as model:

        def use(count):
            for _ in range(count):
                model.session(context=64).eval([1, 2])

        use(50)
        before = resident()
        use(300)
        assert resident() - before < 4 << 20


def test_models_that_are_opened_and_closed(small_model_path):
    def use(count):
        for _ in range(count):
            with qwen3moe.Model.from_gguf(small_model_path, "cpu", threads=2, batch=16) as model:
                model.forward([1, 2])

    use(10)
    before, mapped = resident(), handles()
    use(100)
    assert resident() - before < 8 << 20
    assert handles() <= mapped + 4


def test_calls_that_fail(model):
    def use(count):
        for _ in range(count):
            with model.session(context=4) as session, pytest.raises(qwen3moe.ContextFullError):
                session.eval([1] * 5)
            with pytest.raises(qwen3moe.ArgumentError):
                model.forward([10**6])

    use(50)
    before = resident()
    use(500)
    assert resident() - before < 4 << 20

"""Run with allocator.cpp preloaded: fails each allocation of a load and a forward in turn. Prints what it found.

each_allocation.py MODEL STEP: every STEP-th allocation.
"""

import ctypes
import gc
import json
import sys

import qwen3moe

NEVER = 1 << 30
TOKENS = [1, 2, 3, 4, 5]
fault = ctypes.CDLL(None)


def load_and_run(path):
    with qwen3moe.Model.from_gguf(path, "cpu", threads=3, batch=4) as model, model.session(context=8) as session:
        logits = session.eval(TOKENS, "all")
        with session.fork() as fork:
            fork.truncate(2)
            choice = fork.choose([7])
    return logits.tobytes(), choice


def live():
    gc.collect()
    return fault.fault_live()


def attempt(path, number):
    """Fails one allocation; what was raised, or None where the work came to its end."""
    fault.fault_at(number)
    try:
        return None, load_and_run(path)
    except Exception as error:
        return type(error).__name__, str(error)
    finally:
        fault.fault_at(-1)


def main(path, step):
    expected = load_and_run(path)
    _, whole = attempt(path, NEVER)
    fault.fault_at(NEVER)
    load_and_run(path)
    count = fault.fault_seen()
    fault.fault_at(-1)
    raised, wrong, leaks = {}, [], []
    for number in range(0, count, step):
        before = live()
        kind, result = attempt(path, number)
        if kind is None and result != expected:
            wrong.append(number)
        raised[str(kind)] = raised.get(str(kind), 0) + 1
        kept = live() - before
        if kept:
            leaks.append([number, kept])
        if load_and_run(path) != expected:
            wrong.append(number)
    found = {"count": count, "raised": raised, "wrong": wrong, "leaks": leaks, "same": whole == expected}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

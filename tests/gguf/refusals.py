"""Opens each file named on standard input under a cap on memory; prints how each was refused, as JSON lines.

As a container, or with `model` as a model. A process of its own, so that a crash, a hang or a
hunger for memory is seen and named.
"""

import json
import resource
import sys
import time

from qwen3moe import _core

EXTRA_BYTES = 64 << 20


def capped_open(opener, path):
    with open("/proc/self/statm") as status:
        pages = int(status.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + EXTRA_BYTES, resource.RLIM_INFINITY))
    try:
        opener(path)
    except Exception as error:
        return type(error).__name__, str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return "opened", ""


if __name__ == "__main__":
    chosen = {"container": _core.GGUFFile, "model": _core.Model}[sys.argv[1]]
    for line in sys.stdin:
        start = time.perf_counter()
        kind, message = capped_open(chosen, line.rstrip("\n"))
        print(json.dumps([kind, message, time.perf_counter() - start]), flush=True)

"""On a machine with a GPU: is its arithmetic the CPU's? Every unary function over all 2^32 inputs, and the self-test.

python tests/gpu/arithmetic.py cuda:0
"""

import sys
import time

from qwen3moe import _core


def main(device: str) -> int:
    arithmetic = _core.arithmetic
    print(arithmetic.selftest(device))
    differing = 0
    cpu = f"cpu:{arithmetic.simd()[-1]}"
    for name, arguments in arithmetic.functions():
        if arguments != 1:
            continue
        started = time.perf_counter()
        theirs = arithmetic.unary_hash(name, device=device)
        between = time.perf_counter()
        ours = arithmetic.unary_hash(name, device=cpu)
        done = time.perf_counter()
        differing += ours != theirs
        times = f"{between - started:.2f} s on {device}, {done - between:.2f} s on {cpu}"
        print(f"{name:12} {'equal' if ours == theirs else 'DIFFERS'} {ours} {theirs} {times}", flush=True)
    print(f"{differing} functions differ")
    return differing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

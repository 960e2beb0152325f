"""What this machine is and can do: processor, memory, and how fast it reads."""

from __future__ import annotations

import os
import platform
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

# What the CPU kernels can make use of.
_FEATURES = ("avx2", "bmi2", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_vnni", "asimddp")
_BUFFER_BYTES = 1 << 29  # beyond any cache
_RUNS = 5


def usable_threads() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> tuple[str, list[str]]:
    """The processor's name, and those of its instruction sets that matter here."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine(), []
    fields = dict(line.split(":", 1) for line in reversed(text.splitlines()) if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    flags = named.get("flags", named.get("Features", "")).split()
    return named.get("model name", platform.machine()), [name for name in _FEATURES if name in flags]


def memory() -> tuple[int, int]:
    """Bytes of memory: all, and those available."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return total, total
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024


def peak_rss() -> int:
    """The most bytes that this process has had in memory, pages of mapped files among them."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def anonymous_memory() -> int:
    """The bytes that this process has in memory now and that belong to no file; all of them where that is not told."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return peak_rss()
    kib = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("RssAnon:", "RssShmem:"))}
    return sum(map(int, kib.values())) * 1024 if kib else peak_rss()


def read_bandwidth(threads: int) -> float:
    """Bytes a second that so many threads read from memory; the best of a few runs."""
    parts = np.array_split(np.ones(_BUFFER_BYTES // 8, dtype=np.uint64), threads)
    with ThreadPoolExecutor(threads) as pool:
        times = []
        for _ in range(_RUNS):
            start = time.perf_counter()
            list(pool.map(np.bitwise_or.reduce, parts))
            times.append(time.perf_counter() - start)
    return _BUFFER_BYTES / min(times)

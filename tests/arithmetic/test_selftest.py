"""The self-test: its golden hash follows from the reference alone, and every device here reproduces it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from qwen3moe import _core
from qwen3moe.errors import BackendUnavailableError
from tests.arithmetic import reference
from tests.arithmetic.test_functions import EVERY, UNARY

arithmetic = _core.arithmetic
SIMD = arithmetic.simd()


def gpus():
    """Names of the GPUs here that open; a back end that is not here has said why."""
    for backend in ("cuda", "vulkan"):
        for number in range(8):
            try:
                arithmetic.unary_hash("exp", 0, 0, f"{backend}:{number}")
            except BackendUnavailableError as error:
                assert len(str(error)) > len(f"{backend}:{number}: ")
                break
            yield f"{backend}:{number}"


GPUS = list(gpus())


def test_the_golden_hash_follows_from_the_reference():
    parts = []
    for number, (name, _) in enumerate(arithmetic.functions()):
        results = reference.call(name, arithmetic.selftest_arguments(name))
        parts.append(reference.fold(number * 1024 + np.arange(1024), results))
    assert reference.join(parts) == arithmetic.selftest("cpu")["expected"]


@pytest.mark.parametrize("device", ["cpu", *(f"cpu:{simd}" for simd in SIMD), *GPUS])
def test_every_device_passes(device):
    result = arithmetic.selftest(device)
    assert result["ok"], result
    assert result["device"] == device and result["hash"] == result["expected"] and result["reason"] == ""


@pytest.mark.parametrize("device", GPUS)
@pytest.mark.parametrize("name", UNARY)
def test_gpus_agree_with_the_cpu(name, device):
    for first in (0, 0x3F000000, 0x7F700000, 0xBF000000):  # of both signs, about one and up to NaN
        assert arithmetic.unary_hash(name, first, 1 << 20, device) == arithmetic.unary_hash(name, first, 1 << 20)


@pytest.mark.slow
@pytest.mark.parametrize("device", GPUS)
@pytest.mark.parametrize("name", UNARY)
def test_gpus_agree_with_the_cpu_on_every_input(name, device):
    every = EVERY[name]
    assert arithmetic.unary_hash(name, 0, every, device) == arithmetic.unary_hash(name, 0, every, f"cpu:{SIMD[-1]}")


@pytest.mark.skipif("vulkan:0" not in GPUS, reason="no Vulkan device")
@pytest.mark.parametrize("width", [128, 256, 512])
def test_subgroup_size_does_not_matter(width):
    """A software device takes its subgroup size from the environment; others ignore it."""
    code = "from qwen3moe import _core; print(_core.arithmetic.selftest('vulkan:0')['ok'])"
    env = {**os.environ, "LP_NATIVE_VECTOR_WIDTH": str(width)}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "True"


@pytest.mark.parametrize("device", ["cuda:99", "vulkan:99", "cpu:sse9"])
def test_a_device_that_is_not_here_says_so(device):
    with pytest.raises(BackendUnavailableError):
        arithmetic.selftest(device)

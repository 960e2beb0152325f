"""The self-test: its golden hash follows from the reference alone, and every device here reproduces it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qwen3moe import _core
from qwen3moe.errors import BackendUnavailableError
from tests.arithmetic import reference
from tests.arithmetic.contract import CONTRACT
from tests.arithmetic.test_functions import UNARY

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
VALIDATION_LAYER = Path("/usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json")


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
def test_gpus_give_the_golden_hash_of_every_input(name, device):
    golden = CONTRACT["exhaustive"][name]
    assert arithmetic.unary_hash(name, 0, golden["inputs"], device) == golden["hash"]


def run_selftest(device, **environment):
    """In a process of its own: what the self-test returned, and all that was printed besides."""
    code = f"from qwen3moe import _core; print(_core.arithmetic.selftest({device!r})['reason'] or 'passed')"
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return run.stdout + run.stderr


@pytest.mark.skipif("vulkan:0" not in GPUS, reason="no Vulkan device")
@pytest.mark.parametrize("width", ["128", "256", "512"])
def test_subgroup_size_does_not_matter(width):
    """A software device takes its subgroup size from the environment; others ignore it."""
    assert run_selftest("vulkan:0", LP_NATIVE_VECTOR_WIDTH=width) == "passed\n"


@pytest.mark.skipif("vulkan:0" not in GPUS, reason="no Vulkan device")
@pytest.mark.skipif(not VALIDATION_LAYER.exists(), reason="no Vulkan validation layer")
def test_vulkan_is_used_as_its_specification_says():
    assert run_selftest("vulkan:0", VK_INSTANCE_LAYERS="VK_LAYER_KHRONOS_validation") == "passed\n"


@pytest.mark.skipif("vulkan:0" not in GPUS, reason="no Vulkan device")
def test_no_vulkan_driver_is_an_error_that_says_so():
    output = run_selftest("vulkan:0", VK_ICD_FILENAMES="/nonexistent", VK_DRIVER_FILES="/nonexistent")
    assert output.endswith("BackendUnavailableError: vulkan:0: the Vulkan loader finds no driver\n")


@pytest.mark.parametrize("device", ["cuda:99", "vulkan:99", "cpu:sse9"])
def test_a_device_that_is_not_here_says_so(device):
    with pytest.raises(BackendUnavailableError):
        arithmetic.selftest(device)

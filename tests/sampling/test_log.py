"""log and Philox: their bits, their accuracy, and that a GPU's compilers take their headers."""

import importlib.util
import shutil
import subprocess

import numpy as np
import pytest

from qwen3moe import _core
from tests.sampling import reference
from tests.sampling.contract import LOG, ROOT

sampling = _core.sampling
FIRST, LAST = LOG["accuracy"]["first"], LOG["accuracy"]["last"]


def spread(step):
    """Floats of the whole domain, and all those about 1."""
    everywhere = np.arange(FIRST, LAST + 1, step, np.uint32)
    return np.concatenate([everywhere, np.arange(0x3F7F0000, 0x3F810000, dtype=np.uint32)])


def test_log_equals_the_reference():
    bits = spread(4999)
    np.testing.assert_array_equal(sampling.log(bits), reference.log(bits.view(np.float32)).view(np.uint32))


def error(bits):
    """In units of 2^-24 of the true value."""
    true = np.log(bits.view(np.float32).astype(np.float64))
    found = sampling.log(bits).view(np.float32).astype(np.float64)
    assert (found[true == 0] == 0).all()
    return (np.abs(found - true)[true != 0] / np.abs(true[true != 0])).max() * 2**24


def test_accuracy():
    assert error(spread(2503)) <= LOG["accuracy"]["bound"]


@pytest.mark.slow
def test_accuracy_of_every_float():
    step = 1 << 24
    runs = (np.arange(s, min(s + step, LAST + 1), dtype=np.uint32) for s in range(FIRST, LAST + 1, step))
    assert max(map(error, runs)) <= LOG["accuracy"]["bound"]


def test_log_never_falls_about_its_seams():
    """Where the exponent changes, and about 1."""
    for seam in (0x3F3504F3, 0x3FB504F3, 0x403504F3, 0x3F800000, 0x47000000):
        y = sampling.log(np.arange(seam - 50000, seam + 50000, dtype=np.uint32)).view(np.float32)
        assert (np.diff(y) >= 0).all()


SHADER = """#version 450
#extension GL_GOOGLE_include_directive : require
#include "shared/log.h"
#include "shared/philox.h"
layout(local_size_x = 1) in;
layout(binding = 0) readonly buffer In { float x[]; };
layout(binding = 1) buffer Out { float y; QmWords words; };
void main() { y = qm_log(x[0]); words = qm_philox(QmWords(0u, 0u, 0u, 0u), 1u, 2u); }
"""


@pytest.mark.skipif(not shutil.which("glslc"), reason="glslc is not installed")
def test_the_headers_in_glsl(tmp_path):
    path = ROOT / "kernels" / "vulkan" / "check_spirv.py"
    spec = importlib.util.spec_from_file_location("check_spirv", path)
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    shader, out = tmp_path / "shader.comp", tmp_path / "shader.spv"
    shader.write_text(SHADER)
    command = ["glslc", "--target-env=vulkan1.3", "-Werror", "-I", ROOT / "kernels", shader, "-o", out]
    subprocess.run(command, check=True)
    assert check.faults(check.load(out)) == []


@pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc is not installed")
def test_the_headers_in_cuda(tmp_path):
    source = tmp_path / "kernel.cu"
    source.write_text(
        '#include "shared/log.h"\n#include "shared/philox.h"\nusing namespace qwen3moe;\n'
        "__global__ void f(float* x, QmWords* w) { *x = qm_log(*x); *w = qm_philox(*w, 1, 2); }\n"
    )
    flags = ["-std=c++20", "--fmad=false", "-arch=compute_90", "-ptx", f"-I{ROOT / 'kernels'}"]
    subprocess.run(["nvcc", *flags, source, "-o", tmp_path / "kernel.ptx"], check=True)
    assert "fma" not in (tmp_path / "kernel.ptx").read_text()

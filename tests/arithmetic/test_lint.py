"""What keeps float arithmetic in one header: checks of the sources, of object files, of SPIR-V and of PTX."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from qwen3moe import _core

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels"
SOURCES = sorted(p for p in KERNELS.rglob("*") if p.suffix in (".h", ".cpp", ".cu", ".cuh", ".comp", ".glsl"))
HEADER = KERNELS / "shared" / "arithmetic.h"

FLOAT_LITERAL = re.compile(r"(?<![\w.])(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?[fFlL]*|(?<![\w.])\d+[eE][-+]?\d+[fFlL]*")
LEFT_OUT = re.compile(
    r"\b(?:std::)?(?:__)?(?:fma|exp|exp2|expm1|log|log2|pow|sqrt|rsqrt|inversesqrt|sin|cos|tanh|rint|nearbyint|round"
    r"|floor|ceil|trunc|fmod|lrint|fdividef|ldexp|mix|mad|__fmul_rn|__fadd_rn|__fdiv_rn|__fsqrt_rn|__frcp_rn)f?\s*\("
)
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def code_of(path):
    return COMMENT_OR_STRING.sub(" ", path.read_text())


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(KERNELS)))
def test_no_library_function_computes(path):
    assert not LEFT_OUT.findall(code_of(path))


@pytest.mark.parametrize("path", [p for p in SOURCES if p != HEADER], ids=lambda p: str(p.relative_to(KERNELS)))
def test_no_float_constant_outside_the_header(path):
    assert set(FLOAT_LITERAL.findall(code_of(path))) <= {"0.0f"}


def test_the_patterns_find_what_they_should():
    for code in ("x * 0.5f", "1e-6f", "2.", ".5", "1.0"):
        assert FLOAT_LITERAL.search(code), code
    for code in ("0x1e5u", "a.b", "x14", "v1e5", "256u"):
        assert not FLOAT_LITERAL.search(code), code
    for code in ("expf(x)", "std::exp(x)", "fma(a, b, c)", "__fmaf(a, b, c)", "sqrt (x)", "__expf(x)"):
        assert LEFT_OUT.search(code), code
    for code in ("qm_exp(x)", "qm_round(x)", "export_it(x)"):
        assert not LEFT_OUT.search(code), code


# ---- object files


@pytest.mark.skipif(not shutil.which("objdump"), reason="objdump is not installed")
def test_the_library_has_no_fused_operation():
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", _core.__file__], capture_output=True, text=True, check=True
    ).stdout
    assert "ret" in listing
    assert not re.findall(r"\bvfn?m(?:add|sub)\w*", listing)


def test_the_object_check_finds_shared_symbols():
    check = load(KERNELS / "cpu" / "check_objects.py")
    own, ours = "qwen3moe::cpu::avx2", "qwen3moe::cpu::avx2::norm(float const*) T 0 10"
    assert check.foreign_symbols(f"{ours}\n.LC0 r 0\nvoid {own}::apply<3u>(int) W 0 9", own) == []
    assert check.foreign_symbols(f"{ours}\nqwen3moe::cpu::Rows::blocks_per_row() const W 0 9", own)
    assert check.foreign_symbols("std::vector<int>::push_back(int const&) W 0 9", own)
    assert check.foreign_symbols("qwen3moe::cpu::avx512::norm(float const*) T 0 10", own)


@pytest.mark.parametrize(
    "instruction",
    ["vfmadd231ps %zmm0,%zmm1,%zmm2", "vfnmsub132ss (%rax),%xmm0,%xmm1", "divss %xmm1,%xmm0", "vsqrtps %ymm0,%ymm1"],
)
def test_the_object_check_finds_instructions(instruction):
    check = load(KERNELS / "cpu" / "check_objects.py")
    assert check.LEFT_OUT.findall(f"  4f10:\tvmulps %zmm0,%zmm1,%zmm2\n  4f13:\t{instruction}\n")
    assert not check.LEFT_OUT.findall("  4f10:\tvmulps %zmm0,%zmm1,%zmm2\n  4f13:\tdiv %ecx\n")


# ---- SPIR-V

SHADER = """#version 450
layout(local_size_x = 1) in;
layout(binding = 0) readonly buffer In { float x[]; };
layout(binding = 1) buffer Out { float result; };
void main() { precise float y = x[0] * x[1]; result = %s; }
"""


@pytest.mark.skipif(not shutil.which("glslc"), reason="glslc is not installed")
@pytest.mark.parametrize(
    "expression, fault",
    [
        ("y", None),
        ("y > x[3] ? -y : float(int(7))", None),
        ("y + x[3]", "OpFAdd"),
        ("x[3] * x[4]", "OpFMul"),
        ("y / x[3]", "OpFDiv"),
        ("sqrt(y)", "OpExtInst"),
        ("fma(x[3], x[4], y)", "OpExtInst"),
        ("float(int(y))", "OpConvertFToS"),
        ("unpackHalf2x16(floatBitsToUint(y)).x", "OpExtInst"),
    ],
)
def test_the_spirv_check(expression, fault, tmp_path):
    check = load(KERNELS / "vulkan" / "check_spirv.py")
    shader = tmp_path / "shader.comp"
    shader.write_text(SHADER % expression)
    subprocess.run(["glslc", "--target-env=vulkan1.3", shader, "-o", tmp_path / "shader.spv"], check=True)
    found = check.faults(check.load(tmp_path / "shader.spv"))
    assert (not found) if fault is None else any(fault in text for text in found)


# ---- PTX


@pytest.mark.skipif(not shutil.which("nvcc"), reason="nvcc is not installed")
@pytest.mark.parametrize("path", sorted((KERNELS / "cuda").glob("*.cu")), ids=lambda p: p.name)
def test_ptx_rounds_every_operation(path, tmp_path):
    ptx = tmp_path / "kernel.ptx"
    flags = ["-std=c++20", "--fmad=false", "-O3", "-arch=compute_90", "-ptx", f"-I{KERNELS}", f"-I{ROOT / 'cpp'}"]
    subprocess.run(["nvcc", *flags, path, "-o", ptx], check=True)
    operations = set(re.findall(r"\b(?:add|sub|mul|fma|mad|div|rcp|sqrt|rsqrt|ex2|lg2)\S*\.f\d+", ptx.read_text()))
    assert operations <= {"add.rn.f32", "sub.rn.f32", "mul.rn.f32"}

"""Faults of the arithmetic: operations in another order, rounded otherwise, or left out."""

from types import SimpleNamespace

import numpy as np

from qwen3moe import _core
from tests.arithmetic import (
    formats,
    reference,
    test_contract,
    test_functions,
    test_lint,
    test_selftest,
    test_weights,
    test_x16,
)
from tests.planted.bench import needs, planted

arithmetic = _core.arithmetic
SIMD = arithmetic.simd()[-1]


def columns_of(arguments):
    return [np.ascontiguousarray(column).view(np.float32) for column in arguments.T]


@planted("FALSIFY-ARITH-VECTORS-001")
def a_sum_from_the_left(bench):
    """Four numbers are added from the left."""

    def call(real, name, arguments, simd):
        if name != "sum4":
            return real(name, arguments, simd)
        a, b, c, d = columns_of(arguments)
        with np.errstate(all="ignore"):
            return reference.canonical(a + b + c + d)

    yield lambda: test_contract.test_vectors("sum4", SIMD)
    bench.wrap(arithmetic, "call", call)
    yield lambda: test_contract.test_vectors("sum4", SIMD)


@planted("FALSIFY-ARITH-REFERENCE-001")
def a_fused_product(bench):
    """A product and a sum are rounded once."""

    def call(real, name, arguments, simd):
        if name != "mul_add":
            return real(name, arguments, simd)
        a, b, c = (column.astype(np.float64) for column in columns_of(arguments))
        with np.errstate(all="ignore"):
            return reference.canonical((a * b + c).astype(np.float32))

    yield lambda: test_functions.test_equals_the_reference("mul_add", SIMD)
    bench.wrap(arithmetic, "call", call)
    yield lambda: test_functions.test_equals_the_reference("mul_add", SIMD)


def without_subnormals(real, name, first, count, device):
    """Of halves: those of the smallest exponent are left out."""
    return real(name, first + 1024, count - 1024, device)


@planted("FALSIFY-ARITH-VARIANTS-001")
def a_variant_that_leaves_halves_out(bench):
    """One instruction set takes no subnormal halves."""

    def chosen(real, name, first, count, device):
        if device == f"cpu:{SIMD}":
            return without_subnormals(real, name, first, count, device)
        return real(name, first, count, device)

    yield lambda: test_functions.test_variants_give_the_golden_hash_of_every_input("half")
    bench.wrap(arithmetic, "unary_hash", chosen)
    yield lambda: test_functions.test_variants_give_the_golden_hash_of_every_input("half")


@planted("FALSIFY-ARITH-DEVICES-001")
def a_selftest_of_another_hash(bench):
    """A device's results hash to another number."""

    def selftest(real, device):
        return {**real(device), "hash": 0, "ok": False}

    yield lambda: test_selftest.test_every_device_passes("cpu")
    bench.wrap(arithmetic, "selftest", selftest)
    yield lambda: test_selftest.test_every_device_passes("cpu")


@planted("FALSIFY-ARITH-DEVICES-002")
def a_device_that_leaves_halves_out(bench):
    """A device takes no subnormal halves."""
    yield lambda: test_selftest.test_gpus_give_the_golden_hash_of_every_input("half", "cpu")
    bench.wrap(arithmetic, "unary_hash", without_subnormals)
    yield lambda: test_selftest.test_gpus_give_the_golden_hash_of_every_input("half", "cpu")


@planted("FALSIFY-ARITH-ACCURACY-001")
def a_newton_step_fewer(bench):
    """The reciprocal takes two Newton steps."""

    def unary(real, name, x, simd):
        a = x.view(np.float32)
        r = reference.floats(np.uint32(0x7EF311C7) - reference.bits(a))
        for _ in range(2):
            r = r * (np.float32(2) - a * r)
        return reference.bits(r)

    bench.patch(test_functions, "all_of", test_functions.some_of)
    yield lambda: test_functions.test_accuracy_of_every_float("recip")
    bench.wrap(arithmetic, "unary", unary)
    yield lambda: test_functions.test_accuracy_of_every_float("recip")


@planted("FALSIFY-ARITH-MONOTONIC-001")
def an_exponential_that_wavers(bench):
    """The last bit of exp follows that of its argument."""
    bench.patch(test_functions, "all_of", test_functions.some_of)
    yield test_functions.test_exp_rises_between_any_two_floats
    bench.wrap(arithmetic, "unary", lambda real, name, x, simd: real(name, x, simd) ^ (x & np.uint32(1)))
    yield test_functions.test_exp_rises_between_any_two_floats


@planted("FALSIFY-ARITH-HALF-001")
def halves_that_are_flushed(bench):
    """Subnormal halves become zero."""

    def unary(real, name, x, simd):
        return np.where(x & 0x7C00, real(name, x, simd), (x & 0x8000) << 16)

    yield lambda: test_functions.test_every_half_is_exact(SIMD)
    bench.wrap(arithmetic, "unary", unary)
    yield lambda: test_functions.test_every_half_is_exact(SIMD)


@planted("FALSIFY-ARITH-X16-001")
def values_rounded_towards_zero(bench):
    """X16 takes the whole part."""

    def quantise(real, x, simd):
        _, scales, sums = real(x, simd)
        values = np.trunc(x.astype(np.float64) * 32512 / np.abs(x).max()).astype(np.int16)
        return values, scales, sums

    block = np.random.default_rng(1).standard_normal(256).astype(np.float32)
    yield lambda: test_x16.test_any_block.hypothesis.inner_test(block)
    bench.wrap(arithmetic, "quantise", quantise)
    yield lambda: test_x16.test_any_block.hypothesis.inner_test(block)


@planted("FALSIFY-ARITH-X16-002")
def digits_of_which_one_has_no_sign(bench):
    """The low digit goes from 0 to 255."""

    def unary(real, name, x, simd):
        q = x.view(np.int32)
        return ((q >> 8) if name == "x16_high" else (q & 255)).view(np.uint32)

    yield test_x16.test_every_value_splits_into_two_digits
    bench.wrap(arithmetic, "unary", unary)
    yield test_x16.test_every_value_splits_into_two_digits


@planted("FALSIFY-ARITH-DOT-001")
def a_tail_that_is_dropped(bench):
    """A row's last 32 columns are left out."""

    def dot(real, name, data, rows, columns, x, simd):
        return real(name, data, rows, columns, np.where(np.arange(columns) < columns - 32, x, np.float32(0)), simd)

    yield lambda: test_weights.test_dot_has_the_bits_of_the_reference("Q4_K", "normal")
    bench.wrap(arithmetic, "dot", dot)
    yield lambda: test_weights.test_dot_has_the_bits_of_the_reference("Q4_K", "normal")


@planted("FALSIFY-ARITH-DOT-002")
def activations_of_eight_bits(bench):
    """Activations have one digit in place of two."""

    def dot(real, name, data, rows, columns, x):
        blocks = x.reshape(-1, 256)
        step = np.abs(blocks).max(axis=1, keepdims=True) / 127
        return real(name, data, rows, columns, (np.rint(blocks / step) * step).astype(np.float32).reshape(x.shape))

    yield lambda: test_weights.test_dot_is_the_real_value("Q4_K")
    bench.wrap(arithmetic, "dot", dot)
    yield lambda: test_weights.test_dot_is_the_real_value("Q4_K")


@planted("FALSIFY-ARITH-FORMATS-001")
def nibbles_in_the_other_order(bench):
    """The high nibbles of Q4_0 come first."""

    def dequantise(real, name, data, columns, simd):
        blocks = data.reshape(-1, formats.FORMATS[name].bytes).copy()
        blocks[:, 2:] = blocks[:, 2:] >> 4 | blocks[:, 2:] << 4
        return real(name, blocks.reshape(data.shape), columns, simd)

    yield lambda: test_weights.test_dequantise_as_gguf("Q4_0", "finite")
    bench.wrap(arithmetic, "dequantise", dequantise)
    yield lambda: test_weights.test_dequantise_as_gguf("Q4_0", "finite")


@planted("FALSIFY-ARITH-INT32-001")
def a_sum_that_wraps(bench):
    """The sums of both digits are put together as int32."""

    def dot(real, *arguments):
        whole = real(*arguments).astype(np.float64)
        return ((whole + 2**31) % 2**32 - 2**31).astype(np.float32)

    yield lambda: test_weights.test_extreme_blocks_do_not_overflow("Q6_K", 1)
    bench.wrap(arithmetic, "dot", dot)
    yield lambda: test_weights.test_extreme_blocks_do_not_overflow("Q6_K", 1)


@planted("FALSIFY-ARITH-CODE-001")
def a_library_with_a_fused_operation(bench):
    """The library was compiled with a fused multiply-add in it."""
    needs("objdump")
    yield test_lint.test_the_library_has_no_fused_operation
    bench.patch(test_lint, "_core", SimpleNamespace(__file__=str(bench.library("a * b + c", "-mfma", "-O2"))))
    yield test_lint.test_the_library_has_no_fused_operation


@planted("FALSIFY-ARITH-CODE-002")
def a_check_that_finds_nothing(bench):
    """The check of SPIR-V lets everything pass."""
    needs("glslc")

    def load(real, path):
        module = real(path)
        module.faults = lambda words: []
        return module

    yield lambda: test_lint.test_the_spirv_check("x[3] * x[4]", "OpFMul", bench.folder)
    bench.wrap(test_lint, "load", load)
    yield lambda: test_lint.test_the_spirv_check("x[3] * x[4]", "OpFMul", bench.folder)


# Stands in for CUDA's compiler, which need not be here: writes what follows -o.
COMPILER = '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho "{operation} %f1, %f2, %f3;" >"$2"\n'


@planted("FALSIFY-ARITH-CODE-003")
def a_compiler_that_fuses(bench):
    """The compiler makes fused operations."""
    kernel = test_lint.KERNELS / "cuda" / "norm.cu"
    bench.tool("nvcc", COMPILER.format(operation="mul.rn.f32"))
    yield lambda: test_lint.test_ptx_rounds_every_operation(kernel, bench.folder)
    bench.tool("nvcc", COMPILER.format(operation="fma.rn.f32"))
    yield lambda: test_lint.test_ptx_rounds_every_operation(kernel, bench.folder)


@planted("FALSIFY-ARITH-CODE-004")
def a_constant_of_a_kernels_own(bench):
    """A kernel multiplies by a float of its own."""
    kernel = bench.folder / "norm.cpp"
    kernel.write_text((test_lint.KERNELS / "cpu" / "norm.cpp").read_text())
    yield lambda: test_lint.test_no_float_constant_outside_the_header(kernel)
    kernel.write_text(kernel.read_text() + "float half(float x) { return 0.5f * x; }\n")
    yield lambda: test_lint.test_no_float_constant_outside_the_header(kernel)

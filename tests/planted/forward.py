"""Faults of the forward pass: in the weights that it reads, and in results that depend on how the work is cut."""

import threading
from contextlib import suppress

import numpy as np
import pytest

import qwen3moe
from qwen3moe import _core
from tests.claims import altered, test_forward_gpu
from tests.faults import test_threads
from tests.forward import test_bits, test_devices, test_float64, test_hf, test_nonfinite, test_session, test_trace
from tests.planted.bench import off_by_one, planted

Model, Session = qwen3moe.Model, qwen3moe.Session
CONFIG = dict(types="Q8_0", layers=2, hidden=64, heads=2, kv_heads=1, head_dim=64, experts=4, experts_used=2, ff=64,
              vocab=300, tied=False)  # fmt: skip


def expected(bench):
    return bench.model.forward(test_bits.PROMPT, "all")


# ---- weights


def swap_two_experts(path):
    altered.swap_experts(path, "blk.0.ffn_down_exps.weight", 0, 1)


def drop_the_last_block(path):
    altered.rows(path, "blk.1.attn_output.weight")[:, -144:] = 0


def rotate_by_another_base(path):
    altered.set_key(path, "qwen3moe.rope.freq_base", "f", 1e4)


def scale_a_norm(path):
    weights = altered.rows(path, "blk.0.attn_q_norm.weight").view(np.float32)
    weights[:] = 1.1 * weights


@planted("FALSIFY-FWD-FLOAT64-001")
def swapped_experts(bench):
    """Two experts of a layer have changed places."""

    class Drawn:
        def draw(self, strategy):
            return list(range(0, 300, 10))

    factory = bench.fixture("tmp_path_factory")
    check = test_float64.test_drawn_configs.hypothesis.inner_test
    yield lambda: check(factory, CONFIG, Drawn())
    bench.opening(swap_two_experts)
    yield lambda: check(factory, CONFIG, Drawn())


@planted("FALSIFY-FWD-FLOAT64-002")
def a_dropped_block(bench):
    """The last block of every row of a matrix is dropped."""
    yield lambda: test_float64.test_every_type(bench.folder, "Q4_K")
    bench.opening(drop_the_last_block)
    yield lambda: test_float64.test_every_type(bench.folder, "Q4_K")


@planted("FALSIFY-FWD-HF-001")
def a_rotation_of_another_base(bench):
    """Positions are rotated with a base of 10,000."""
    tokens = [int(token) for token in np.random.default_rng(7).integers(0, 256, 48)]

    def run():
        with Model.from_gguf(bench.path, "cpu") as model:
            ours = model.trace(tokens, stages="router.*,logits"), model.config
        test_hf.test_float32(bench.path, tokens, ours)

    yield run
    bench.opening(rotate_by_another_base)
    yield run


@planted("FALSIFY-FWD-HF-002")
def a_norm_that_is_off(bench):
    """The norm of every query is a tenth too large."""
    tokens = [int(token) for token in np.random.default_rng(7).integers(0, 256, 48)]
    yield lambda: test_hf.test_its_own_gguf_reader(bench.folder, tokens)
    bench.opening(scale_a_norm)
    yield lambda: test_hf.test_its_own_gguf_reader(bench.folder, tokens)


# ---- how the work is cut


@planted("FALSIFY-FWD-THREADS-001")
def threads_that_show(bench):
    """With more than one thread a logit is a unit in the last place off."""

    def forward(real, self, tokens, *args, **options):
        logits = real(self, tokens, *args, **options)
        return off_by_one(logits) if self.threads > 1 else logits

    right, check = expected(bench), test_bits.test_threads_and_batches
    yield lambda: check(bench.path, right, 2, 64)
    bench.wrap_method(Model, "forward", forward)
    yield lambda: check(bench.path, right, 2, 64)


def off_where(condition):
    """Evaluations of some kind give a logit that is a unit in the last place off."""

    def evaluate(real, self, tokens, *args, **options):
        wrong = condition(self.position, len(tokens))
        logits = real(self, tokens, *args, **options)
        return off_by_one(logits) if wrong else logits

    return evaluate


@planted("FALSIFY-FWD-CHUNKS-001")
def cuts_that_show(bench):
    """A piece that begins within a block of keys is a unit in the last place off."""
    right, check = expected(bench), test_bits.test_chunkings
    yield lambda: check(bench.model, right, [100, 101, 299])
    bench.wrap_method(Session, "eval", off_where(lambda position, count: position % 256 != 0))
    yield lambda: check(bench.model, right, [100, 101, 299])


@planted("FALSIFY-FWD-DECODE-001")
def decoding_that_shows(bench):
    """Single tokens are a unit in the last place off."""
    right, check = expected(bench), test_bits.test_decode_equals_prefill
    yield lambda: check(bench.model, right)
    bench.wrap_method(Session, "eval", off_where(lambda position, count: count == 1))
    yield lambda: check(bench.model, right)


@planted("FALSIFY-FWD-FORKS-001")
def a_token_too_many(bench):
    """Truncation keeps a token too many."""
    right, check = expected(bench), test_bits.test_forks_and_truncation
    yield lambda: check(bench.model, right)
    bench.wrap_method(Session, "truncate", lambda real, self, position: real(self, min(position + 1, self.position)))
    yield lambda: check(bench.model, right)


@planted("FALSIFY-FWD-TOGETHER-001")
def rows_of_another_sequence(bench):
    """Sequences evaluated together get each other's logits."""
    yield lambda: test_bits.test_a_batch_of_sequences_equals_each_alone(bench.model)
    bench.wrap_method(Model, "forward_batch", lambda real, self, batch: real(self, batch)[::-1])
    yield lambda: test_bits.test_a_batch_of_sequences_equals_each_alone(bench.model)


OFF_WITH_SIMD = """
import os, sys
if os.environ.get("QWEN3MOE_SIMD", "portable") != "portable":
    import qwen3moe, numpy as np
    real = qwen3moe.Model.forward
    def forward(*args, **options):
        logits = real(*args, **options)
        logits.flat[-1] = np.nextafter(logits.flat[-1], np.float32(np.inf))
        return logits
    qwen3moe.Model.forward = forward
"""


@planted("FALSIFY-FWD-VARIANTS-001")
def an_instruction_set_that_shows(bench):
    """With SIMD a logit is a unit in the last place off."""
    right, check = expected(bench), test_bits.test_instruction_sets
    yield lambda: check(bench.path, right, bench.folder)
    bench.in_children(OFF_WITH_SIMD)
    yield lambda: check(bench.path, right, bench.folder)


@planted("FALSIFY-FWD-SHARED-001", "FALSIFY-API-THREADS-001")
def threads_that_disturb_each_other(bench):
    """A thread that is not the first gets a logit that is a unit in the last place off."""

    def forward(real, self, tokens, *args, **options):
        logits = real(self, tokens, *args, **options)
        return logits if threading.current_thread() is threading.main_thread() else off_by_one(logits)

    bench.patch(test_threads, "sized", lambda device, full, small: small)
    yield lambda: test_threads.test_sixteen_threads_equal_one(bench.path, "cpu")
    bench.wrap_method(Model, "forward", forward)
    yield lambda: test_threads.test_sixteen_threads_equal_one(bench.path, "cpu")


# ---- stages, values, sessions


def combine_by_index(real, self, *args, **options):
    """The experts' outputs added by rising index."""
    found = real(self, *args, **options)
    for key in [key for key in found if key.endswith("moe_ffn_out")]:
        at = key.removesuffix("moe_ffn_out")
        weights, outputs = found[f"{at}moe_router.weights"], found[f"{at}expert.out"]
        order = np.argsort(found[f"{at}moe_router.ids"], axis=1)
        products = np.take_along_axis(weights[:, :, None] * outputs, order[:, :, None], axis=1)
        total = products[:, 0]
        for rank in range(1, products.shape[1]):
            total = total + products[:, rank]
        found[key] = total
    return found


@planted("FALSIFY-FWD-STEPS-001")
def experts_added_by_index(bench):
    """Experts are added in the order of their index."""
    yield lambda: test_trace.test_what_steps_make_of_each_other(bench.model)
    bench.wrap_method(Model, "trace", combine_by_index)
    yield lambda: test_trace.test_what_steps_make_of_each_other(bench.model)


def spoilt_copy(bench):
    copy = altered.copy(bench.path, bench.folder)
    return copy.rename(bench.folder / "spoilt.gguf")


@planted("FALSIFY-FWD-NONFINITE-001")
def a_layer_that_is_not_named(bench):
    """The error names the layer before."""

    def evaluate(real, *args, **options):
        try:
            return real(*args, **options)
        except qwen3moe.NumericalError as error:
            raise qwen3moe.NumericalError(str(error).replace("layer 2", "layer 1")) from None

    yield lambda: test_nonfinite.test_a_layer(spoilt_copy(bench), "cpu", "attn_k")
    bench.wrap_method(Session, "eval", evaluate)
    yield lambda: test_nonfinite.test_a_layer(spoilt_copy(bench), "cpu", "attn_k")


@planted("FALSIFY-FWD-NONFINITE-002")
def an_infinity_that_passes(bench):
    """Logits that are not finite are returned."""

    def forward(real, self, *args, **options):
        with suppress(qwen3moe.NumericalError):
            return real(self, *args, **options)
        return np.full(self.config["vocab"], np.nan, np.float32)

    yield lambda: test_nonfinite.test_outside_the_layers(spoilt_copy(bench), "cpu", "output", "logits")
    bench.wrap_method(Model, "forward", forward)
    yield lambda: test_nonfinite.test_outside_the_layers(spoilt_copy(bench), "cpu", "output", "logits")


@planted("FALSIFY-FWD-CONTEXT-001")
def tokens_that_are_cut(bench):
    """Tokens that do not fit are dropped without a word."""

    def evaluate(real, self, tokens, *args, **options):
        return real(self, tokens[: self.context - self.position], *args, **options)

    yield lambda: test_session.test_a_full_context(bench.model)
    bench.wrap_method(Session, "eval", evaluate)
    yield lambda: test_session.test_a_full_context(bench.model)


@planted("FALSIFY-FWD-INTERRUPT-001")
def an_interrupt_that_leaves_a_part(bench):
    """An interrupted call keeps the tokens that it came to."""

    def evaluate(real, self, tokens, *args, **options):
        try:
            return real(self, tokens, *args, **options)
        except KeyboardInterrupt:
            real(self, tokens[:7], "none")
            raise

    yield lambda: test_session.test_interrupt_rolls_back(bench.model)
    bench.wrap_method(Session, "eval", evaluate)
    yield lambda: test_session.test_interrupt_rolls_back(bench.model)


@planted("FALSIFY-QW3-MOE-GPU-CASES-001")
def a_device_with_swapped_experts(bench):
    """A device takes two experts of a layer for each other."""
    path = bench.path
    with Model.from_gguf(path, "cpu") as cpu, Model.from_gguf(path, "cpu", threads=1) as other:
        yield lambda: test_devices.test_every_stage(lambda case, device: (cpu, other), "cpu", "mixed", 5)
    bench.opening(swap_two_experts)
    with Model.from_gguf(path, "cpu") as other:
        yield lambda: test_devices.test_every_stage(lambda case, device: (bench.model, other), "cpu", "mixed", 5)


@planted("FALSIFY-QW3-MOE-GPU-CASES-002")
def a_device_that_decodes_otherwise(bench):
    """A device is a unit in the last place off at single tokens."""

    def pair(case, device):
        return bench.model, bench.model

    yield lambda: test_devices.test_decode(pair, "cpu", "mixed")
    bench.wrap_method(Session, "eval", off_where(lambda position, count: count == 1))
    yield lambda: test_devices.test_decode(pair, "cpu", "mixed")


@planted("FALSIFY-QW3-MOE-GPU-EAGER-001")
def a_device_that_takes_what_does_not_fit(bench):
    """A device takes weights that do not fit."""

    def refused(path, device):
        needed = sum(tensor["bytes"] for tensor in _core.GGUFFile(path).tensors)
        raise qwen3moe.OutOfMemoryError(f"the model needs {needed} bytes; {device} has 1000 free")

    check = test_forward_gpu.test_eager_float32_is_refused_for_memory
    with pytest.MonkeyPatch.context() as patch:  # in place of a device, which need not be here
        patch.setattr(Model, "from_gguf", refused)
        yield lambda: check("gpu:0", bench.folder)
    bench.wrap(Model, "from_gguf", lambda real, path, device: real(path, "cpu", batch=1))
    yield lambda: check("gpu:0", bench.folder)

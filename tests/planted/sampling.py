"""Faults of the choice of tokens: other random numbers, other sums, other probabilities."""

import numpy as np

import qwen3moe
from qwen3moe import _core
from tests.arithmetic import reference
from tests.forward import test_choices
from tests.planted.bench import planted
from tests.sampling import test_contract, test_log, test_sampler
from tests.text import test_generate

sampling = _core.sampling
HIGH = 1 << 40


@planted("FALSIFY-SAMPLING-REFERENCE-001")
def seeds_of_32_bits(bench):
    """The upper half of a seed is dropped."""
    check = test_sampler.test_choices_equal_the_reference.hypothesis.inner_test

    class Drawn:
        def draw(self, strategy):
            return []

    def run():
        for position in range(8):
            check((700, 1, 1.0, False), {"temperature": 1.0}, HIGH + 5, position, Drawn())

    def choose(real, logits, before, *, seed, **options):
        return real(logits, before, seed=seed % 2**32, **options)

    yield run
    bench.wrap(sampling, "choose", choose)
    yield run


@planted("FALSIFY-SAMPLING-REFERENCE-002")
def sums_in_another_order(bench):
    """Exponentials are added in another order, as threads that share a row would."""
    check = test_sampler.test_log_probabilities_equal_the_reference.hypothesis.inner_test

    class Drawn:
        def draw(self, strategy):
            return [1, 2, 3]

    def run():
        for seed in range(8):
            check((700, seed, 4.0, False), Drawn())

    def log_probabilities(real, rows, targets):
        n = rows.shape[1]
        return real(np.roll(rows, 100, axis=1), ((targets + 100) % n).astype(np.int32))

    yield run
    bench.wrap(sampling, "log_probabilities", log_probabilities)
    yield run


@planted("FALSIFY-SAMPLING-VECTORS-001")
def a_key_the_wrong_way_round(bench):
    """The words of the key change places."""
    yield test_contract.test_vectors
    bench.wrap(sampling, "philox", lambda real, counter, key: real(counter, key[::-1]))
    yield test_contract.test_vectors


@planted("FALSIFY-SAMPLING-LOG-001")
def the_logarithm_of_a_library(bench):
    """The logarithm is NumPy's, rounded to nearest."""
    yield test_log.test_log_equals_the_reference
    bench.patch(sampling, "log", lambda bits: reference.bits(np.log(bits.view(np.float32).astype(np.float64))))
    yield test_log.test_log_equals_the_reference


@planted("FALSIFY-SAMPLING-LOG-002")
def a_logarithm_that_is_off(bench):
    """The logarithm is two units in the last place off."""
    bench.patch(test_log, "FIRST", 0x3F7F0000)
    bench.patch(test_log, "LAST", 0x3F810000)
    yield test_log.test_accuracy_of_every_float
    bench.wrap(sampling, "log", lambda real, bits: real(bits) + np.uint32(2) * (real(bits) != 0))
    yield test_log.test_accuracy_of_every_float


@planted("FALSIFY-SAMPLING-DISTRIBUTION-001")
def a_text_that_is_too_warm(bench):
    """The temperature is a tenth too high."""

    def run():
        test_sampler.test_tokens_come_as_often_as_the_softmax_says({"temperature": 1.0})

    def choose(real, *args, temperature, **options):
        return real(*args, temperature=1.1 * temperature, **options)

    yield run
    bench.wrap(sampling, "choose", choose)
    yield run


def expected(model):
    """What `test_generate` compares with, for sampled text."""
    generated = (model.generate(p, max_tokens=12, **test_generate.SAMPLED) for p in test_generate.PROMPTS)
    return {"sampled": [test_generate.facts(generation)[0] for generation in generated]}


@planted("FALSIFY-SAMPLING-SAME-001")
def draws_of_each_thread(bench):
    """Random numbers are keyed by the number of threads."""

    def generate(real, self, prompt, *, seed, **options):
        return real(self, prompt, seed=seed + self.threads - 1, **options)

    with qwen3moe.Model.from_gguf(bench.path, "cpu", threads=1) as model:
        right = expected(model)
    check = test_generate.test_threads_and_batches
    yield lambda: check(bench.path, right, test_generate.SAMPLED, 2, 7)
    bench.wrap_method(qwen3moe.Model, "generate", generate)
    yield lambda: check(bench.path, right, test_generate.SAMPLED, 2, 7)


@planted("FALSIFY-SAMPLING-SAME-002")
def draws_of_each_row(bench):
    """Random numbers are keyed by the row of a batch."""

    def generate(real, self, prompt, *, seed, **options):
        seeds = [seed + i for i in range(len(prompt))] if prompt is test_generate.PROMPTS else seed
        return real(self, prompt, seed=seeds, **options)

    right, check = expected(bench.model), test_generate.test_prompts_together_equal_each_alone
    yield lambda: check(bench.model, right, test_generate.SAMPLED)
    bench.wrap_method(qwen3moe.Model, "generate", generate)
    yield lambda: check(bench.model, right, test_generate.SAMPLED)


@planted("FALSIFY-SAMPLING-SAME-003")
def draws_of_each_device(bench):
    """Random numbers are keyed by the device."""

    def generate(real, self, prompt, *, seed, **options):
        return real(self, prompt, seed=seed + 1, **options)

    right, check = expected(bench.model), test_generate.test_devices
    yield lambda: check(bench.path, right, test_generate.SAMPLED, "cpu")
    bench.wrap_method(qwen3moe.Model, "generate", generate)
    yield lambda: check(bench.path, right, test_generate.SAMPLED, "cpu")


def choosing(bench, choose):
    """From here on devices choose by `choose`, which is given a row of logits."""

    def choose_batch(real, sessions, tokens, *, progress=None):
        return [choose(row) for row in _core.eval_batch(sessions, tokens, progress=progress)]

    bench.wrap(_core, "choose_batch", choose_batch)


def with_logprob(row, token):
    return token, float(sampling.log_probabilities(row[None], np.array([token], np.int32))[0][0])


@planted("FALSIFY-SAMPLING-CHOICE-001")
def choices_summed_in_another_order(bench):
    """A device adds exponentials in another order."""

    def choose(row):
        token = int(np.argmax(row))
        rolled = np.roll(row, 100)
        return token, with_logprob(rolled, (token + 100) % len(row))[1]

    yield lambda: test_choices.test_any_vocabulary(bench.folder, "cpu", 20000)
    choosing(bench, choose)
    yield lambda: test_choices.test_any_vocabulary(bench.folder, "cpu", 20000)


@planted("FALSIFY-SAMPLING-CHOICE-002")
def the_last_of_equals(bench):
    """Of equal logits a device takes the last."""

    def choose(row):
        return with_logprob(row, len(row) - 1 - int(np.argmax(row[::-1])))

    yield lambda: test_choices.test_the_lowest_of_equals(bench.folder, bench.folder, "cpu", 0)
    choosing(bench, choose)
    yield lambda: test_choices.test_the_lowest_of_equals(bench.folder, bench.folder, "cpu", 0)


@planted("FALSIFY-SAMPLING-CHOICE-003")
def choices_that_change_places(bench):
    """The choices of a batch change places."""
    yield lambda: test_choices.test_greedy_text(bench.folder, "cpu", "mixed")
    bench.wrap(_core, "choose_batch", lambda real, *args, **options: real(*args, **options)[::-1])
    yield lambda: test_choices.test_greedy_text(bench.folder, "cpu", "mixed")

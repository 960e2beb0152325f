"""The weights of the chosen experts sum to 1 within 1e-6, for any probabilities: by Gappa, from the CPU's statements.

Other back ends do the same operations in the same order, which the tests of bits see to.
"""

import re
from fractions import Fraction

import pytest

from tests.proofs import gappa, header
from tests.proofs.test_functions import newton

pytestmark = [pytest.mark.proofs, pytest.mark.skipif(not gappa.HERE, reason="gappa is not installed")]
BOUND = Fraction("1e-6")


def statements(code=None):
    """The kernel's: how a probability joins the sum, how the sum is inverted, how a weight is made of one."""
    code = code or (header.ROOT / "kernels" / "cpu" / "topk.cpp").read_text()
    pattern = (
        r"float sum = 0\.0f;.*weight\[rank\] = prob\[best\];\s*sum = (?P<add>[^;]*prob\[best\]\));.*"
        r"const float inverse = (?P<invert>[^;]*);.*weight\[rank\] = (?P<weigh>[^;]*);"
    )
    found = re.search(pattern, code, re.DOTALL)
    assert found, "kernels/cpu/topk.cpp makes its weights in another way: prove that"
    return {name: re.sub(r"\[\w+\]", "", text) for name, text in found.groupdict().items()}


def after_adding(error, add):
    """The relative error of a sum of positive numbers after one more, for one of at most `error` before."""
    trace = header.Trace.of()
    result = trace.statement({"sum": "s", "prob": "p"}, "sum", add)
    e = gappa.decimal(error)
    return gappa.bound(f"""
s = rnd(s_); p = rnd(p_); E = (s - T) / T; F = (s + p - (T + p)) / (T + p);
{trace.gappa()}
{{ T in [1b-100,1000] /\\ s in [1b-100,1000] /\\ p in [1b-100,1] /\\ E in [-{e},{e}]
  -> ({result} - (T + p)) / (T + p) in ? }}
F -> E * (1 / (1 + p / T)) {{ T <> 0, T + p <> 0 }};
({result} - (T + p)) / (T + p) -> (({result} - (s + p)) / (s + p)) * (1 + F) + F {{ T + p <> 0, s + p <> 0 }};
""")


def of_a_weight(weigh):
    """The relative error of one weight against probability times inverse."""
    trace = header.Trace.of()
    result = trace.statement({"weight": "p", "inverse": "v"}, "w", weigh)
    goal = f"({result} - p * v) / (p * v) in ?"
    ranges = "p in [1b-100,1] /\\ v in [1b-5,1b18]"
    return gappa.bound(f"p = rnd(p_); v = rnd(v_);\n{trace.gappa()}\n{{ {ranges} -> {goal} }}")


def error_of_the_sum(used, made):
    """The largest |sum of weights - 1|, the sum taken exactly. A probability of 0 adds nothing: it is one less."""
    sum_error = Fraction(0)  # the first is added to 0
    for _ in range(used - 1):
        sum_error = after_adding(sum_error, made["add"])
    assert made["invert"] == "qm_recip(sum)"
    up = (1 + of_a_weight(made["weigh"])) * (1 + newton("qm_recip"))
    return max(up / (1 - sum_error) - 1, 1 - (2 - up) / (1 + sum_error))


@pytest.mark.parametrize("used", [1, 2, 4, 8, 10])
def test_the_sum_is_one(used):
    assert error_of_the_sum(used, statements()) <= BOUND


def test_twenty_would_not_be_proved():
    """The bound is near: it is not so wide that anything passes."""
    assert error_of_the_sum(20, statements()) > BOUND


def test_without_renormalising_it_is_not_one():
    made = {**statements(), "weigh": "qm_add(weight, 0.0f)"}
    with pytest.raises(AssertionError):
        assert error_of_the_sum(4, made) <= BOUND


def test_another_kernel_is_noticed():
    code = (header.ROOT / "kernels" / "cpu" / "topk.cpp").read_text()
    with pytest.raises(AssertionError, match="in another way"):
        statements(code.replace("sum = qm_add(sum, prob[best]);", ""))

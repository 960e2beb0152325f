"""The errors of recip, rsqrt and exp for every input, by Gappa, from the operations of the header itself.

What relates an operation to the true function stands here, and is checked by Gappa; the operations do not.
"""

import re
from fractions import Fraction
from math import factorial

import numpy as np
import pytest

from tests.proofs import gappa, header

pytestmark = [pytest.mark.proofs, pytest.mark.skipif(not gappa.HERE, reason="gappa is not installed")]

# The constants of the guesses in recip and rsqrt, and the relative errors that they have.
GUESSES = {
    "qm_recip": (r"qm_from_bits\((0x[0-9a-f]+)u - qm_bits\(a\)\)", Fraction("0.0506")),
    "qm_rsqrt": (r"qm_from_bits\((0x[0-9a-f]+)u - \(qm_bits\(a\) >> 1\)\)", Fraction("0.0344")),
}


def guess_constant(name, source=None):
    (constant,) = re.findall(GUESSES[name][0], source or header.source())
    return np.uint32(int(constant, 16))


def test_the_guess_of_recip():
    a = (np.arange(1 << 23, dtype=np.uint32) | np.uint32(0x3F800000)).view(np.float32)
    r = (guess_constant("qm_recip") - a.view(np.uint32)).view(np.float32)
    assert np.abs(r.astype(np.float64) * a - 1).max() < GUESSES["qm_recip"][1]


def test_the_guess_of_rsqrt():
    for binade in (0x3F800000, 0x40000000):  # of either parity
        a = (np.arange(1 << 23, dtype=np.uint32) + np.uint32(binade)).view(np.float32)
        r = (guess_constant("qm_rsqrt") - (a.view(np.uint32) >> np.uint32(1))).view(np.float32)
        assert np.abs(r.astype(np.float64) * np.sqrt(a.astype(np.float64)) - 1).max() < GUESSES["qm_rsqrt"][1]


# ---- Newton's steps: from an error E of r to that of the next r

NEWTON = {
    # The true value, what multiplies r into 1 or 1/2, and what an exact step leaves of E.
    "qm_recip": {"domain": "[1,2]", "R": "1 / a", "X": "a * r", "of E": "1 + E", "left": "E * E", "when": "a <> 0"},
    "qm_rsqrt": {
        "domain": "[1,4]",
        "R": "1 / sqrt(a)",
        "X": "0.5 * a * r * r",
        "of E": "0.5 * (1 + E) * (1 + E)",
        "left": "(1.5 + 0.5 * E) * (E * E)",
        "when": "a > 0",
    },
}


def newton_step(name, expression, error, source=None):
    """The largest error after one statement `r = ...`, for an error of at most `error` before it."""
    about = NEWTON[name]
    trace = header.Trace.of(source)
    scope = {"a": "a", "r": "r"}
    if name == "qm_rsqrt":
        trace.statement(scope, "h", dict(trace.functions[name].statements)["h"])
    result = trace.statement(scope, "r", expression)
    made_of = {out: (left, operator, right) for out, left, operator, right in trace.operations}
    adds = made_of[result][1] == "+"
    last = made_of[result][0] if adds else result  # r times what is left of 1, rounded
    inner = made_of[last][2]
    one, _, product = made_of[inner]
    gap = f"({inner} - ({one} - {about['X']}))"
    more = " + r" if adds else ""
    goal = (
        f"(({result} - ({last} + r)) / ({last} + r)) * (1 + ({last} + r - R) / R) + (({last} + r - R) / R)"
        if adds
        else f"(({last} - r * {inner}) / (r * {inner})) * (1 + (r * {inner} - R) / R) + ((r * {inner} - R) / R)"
    )
    near = f"{last}{more}" if adds else f"r * {inner}"
    extra = f"({last} - r * {inner}) / R + " if adds else ""
    script = f"""
a = rnd(a_); r = rnd(r_); R = {about["R"]}; E = (r - R) / R;
{trace.gappa()}
{{ a in {about["domain"]} /\\ E in [-{gappa.decimal(error)},{gappa.decimal(error)}] -> ({result} - R) / R in ? }}
{about["X"]} -> {about["of E"]} {{ {about["when"]} }};
r -> R * (1 + E) {{ R <> 0 }};
({result} - R) / R -> {goal} {{ R <> 0, {near} <> 0 }};
({near} - R) / R -> {extra}(1 + E) * {gap} - {about["left"]} {{ R <> 0 }};
{gap} -> ({inner} - ({one} - {product})) + ({about["X"]} - {product});
"""
    return gappa.bound(script)


def newton(name, source=None, steps=4):
    """The error of the whole function, statement by statement."""
    error = GUESSES[name][1]
    statements = header.Trace.of(source).functions[name].statements
    chosen = [expression for variable, expression in statements if variable == "r" and "qm_from_bits" not in expression]
    assert len(chosen) == steps
    for expression in chosen:
        error = newton_step(name, expression, error, source)
    return error


def test_recip():
    assert newton("qm_recip") <= Fraction("2.01") * gappa.UNIT


def test_rsqrt():
    assert newton("qm_rsqrt") <= Fraction("2.01") * gappa.UNIT


@pytest.mark.parametrize("name", NEWTON)
def test_two_steps_less_are_not_enough(name):
    """The proof is of this code: of less of it, less is proved."""
    text = header.source()
    body = re.search(rf"QM_FN float {name}.*?\n}}\n", text, re.DOTALL)[0]
    step = re.search(r"    r = qm_mul\(r, .*\n", body)[0]
    assert newton(name, text.replace(body, body.replace(step, "", 2)), steps=2) > 3 * gappa.UNIT


# ---- exp: c - n ln 2 = r, then a polynomial of r, then a power of two

LN2 = "693147180559945309417232121458e-30"  # rounded down
MOST_R = Fraction("0.3467")


def exp_trace(source=None):
    """Operations up to y, and the names of what each variable was assigned, in turn."""
    trace = header.Trace.of(source)
    scope = {"c": "c"}
    names = {}
    for variable, expression in trace.functions["qm_exp"].statements[1:]:
        names.setdefault(variable, []).append(trace.statement(scope, variable, expression))
        if variable == "y":
            return trace, names
    raise AssertionError("there is no y")


def test_exp_of_little_has_no_reduction():
    """Then n is 0, and r is c itself: subtracting 0 twice is exact."""
    trace, names = exp_trace()
    script = f"c = rnd(c_);\n{trace.gappa()}\n{{ c in [-0.3465,0.3465] -> {names['n'][0]} in ? }}"
    assert gappa.bound(script) == 0


def reduction(first, last, source=None):
    """For c in an interval: how far r is from c - n ln 2, and how large it is."""
    trace, names = exp_trace(source)
    (n,), (partial, r) = names["n"], names["r"]
    made_of = {out: (left, operator, right) for out, left, operator, right in trace.operations}
    high, low = made_of[partial][2], made_of[r][2]  # n times the two parts of ln 2, rounded
    (shifted, _, magic), c1, c2 = made_of[n], made_of[high][2], made_of[low][2]
    scaled = made_of[shifted][0]  # c / ln 2, rounded
    slope = made_of[scaled][2]
    lines = [f"{out} = rnd({a} {op} {b});" for out, (a, op, b) in made_of.items()]
    end = list(made_of).index(r) + 1
    turn = f"c * {slope} - {n}"
    script = f"""
c = rnd(c_); L = {LN2};
{chr(10).join(lines[:end])}
{{ c in [{first},{last}] /\\ @FIX(c,-25) -> GOAL in ? }}
{turn} -> (c * {slope} - {scaled}) + ({scaled} + {magic} - {shifted}) + ({shifted} - {magic} - {n});
c - {n} * {c1} -> ({turn}) * {c1} + c * (1 - {slope} * {c1});
c - {n} * L -> ({turn}) * L + c * (1 - {slope} * L);
c - {high} -> (c - {n} * {c1}) + ({n} * {c1} - {high});
{partial} -> ({partial} - (c - {high})) + (c - {high});
{r} -> ({r} - (c - {n} * L)) + (c - {n} * L);
{r} - (c - {n} * L) -> ({r} - ({partial} - {low})) + ({partial} - (c - {high})) + ({n} * {c1} - {high})
  + ({n} * {c2} - {low}) + {n} * (L - {c1} - {c2});
"""
    goals = (f"{r} - (c - {n} * L)", r)
    return tuple(gappa.bound(script.replace("GOAL", goal)) for goal in goals)


def rounding(source=None):
    """For |r| <= MOST_R: the error of y against the polynomial that it stands for, relative to that."""
    trace, names = exp_trace(source)
    r, (y,) = names["r"][1], names["y"]
    start = [out for out, *_ in trace.operations].index(r) + 1
    exact = {}
    lines = []
    for out, left, operator, right in trace.operations[start:]:
        lines.append(f"{out} = rnd({left} {operator} {right});")
        exact[out] = f"M{out}"
        lines.append(f"M{out} = {exact.get(left, left)} {operator} {exact.get(right, right)};")
    script = f"""
{r} = rnd(r_);
{chr(10).join(lines)}
{{ {r} in [-{gappa.decimal(MOST_R)},{gappa.decimal(MOST_R)}] -> ({y} - M{y}) / M{y} in ? }}
$ {r} in 50;
"""
    return gappa.bound(script)


def polynomial(source=None):
    """The coefficients of what y stands for: 1 + r + r^2 p(r), lowest first."""
    trace, names = exp_trace(source)
    r, (y,) = names["r"][1], names["y"]
    values = {r: [Fraction(0), Fraction(1)]}

    def value(operand):
        return values[operand] if operand in values else [Fraction(float.fromhex(operand.strip("()")))]

    for out, left, operator, right in trace.operations[[out for out, *_ in trace.operations].index(r) + 1 :]:
        a, b = value(left), value(right)
        size = max(len(a), len(b))
        if operator == "*":
            made = [
                sum(a[j] * b[i - j] for j in range(i + 1) if j < len(a) and i - j < len(b))
                for i in range(len(a) + len(b) - 1)
            ]
        else:
            assert operator == "+"
            made = [(a[i] if i < len(a) else 0) + (b[i] if i < len(b) else 0) for i in range(size)]
        values[out] = made
    return values[y]


def approximation(source=None, pieces=256, terms=14):
    """For |r| <= MOST_R: the error of the polynomial against e^r, relative to that, in exact rationals."""
    ours = polynomial(source)
    series = [Fraction(1, factorial(i)) for i in range(terms)]
    apart = [(ours[i] if i < len(ours) else 0) - series[i] for i in range(terms)]
    slope = sum(i * abs(x) * MOST_R ** (i - 1) for i, x in enumerate(apart) if i)
    tail = 2 * MOST_R**terms / factorial(terms)
    half = MOST_R / pieces
    middles = (half * (2 * i + 1) - MOST_R for i in range(pieces))
    most = max(abs(sum(x * m**i for i, x in enumerate(apart))) for m in middles) + slope * half + tail
    return most / Fraction("0.7")  # e^-0.3467 is more


def test_exp():
    distances, sizes = zip(*(reduction(*ends) for ends in ((0.34, 88), (-64, -0.34))), strict=True)
    assert max(sizes) <= MOST_R
    distance, relative, series = max(distances), rounding(), approximation()
    total = (1 + distance * (1 + distance)) * (1 + relative) * (1 + series) - 1
    assert total <= Fraction("1.6") * gappa.UNIT


def test_a_wrong_coefficient_shows():
    spoilt = header.source().replace("4.1665795894e-2f", "4.17e-2f")
    assert approximation(spoilt) > 2 * gappa.UNIT > 2 * approximation()


def test_a_wrong_part_of_ln2_shows():
    spoilt = header.source().replace("-2.12194440e-4f", "-2.12190000e-4f")
    assert reduction(0.34, 88, spoilt)[0] > 2 * gappa.UNIT

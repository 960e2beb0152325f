"""Asks Z3 whether a claim holds for all numbers; C expressions of words become its terms, and wrap as they do."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess

HERE = shutil.which("z3") is not None
WORDS = 1 << 64

_COMPARISONS = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "="}


def holds(declarations: str, given: list[str], claim: str) -> bool:
    """Whether the claim follows for every value; a solver that does not know counts as an error."""
    script = [declarations, *(f"(assert {fact})" for fact in given), f"(assert (not {claim}))", "(check-sat)"]
    done = subprocess.run(["z3", "-in", "-T:60"], input="\n".join(script), capture_output=True, text=True, timeout=90)
    answer = done.stdout.split()
    assert answer and answer[0] in ("sat", "unsat"), f"{done.stdout}\n" + "\n".join(script)
    return answer[0] == "unsat"


def words(*names: str) -> str:
    """Declarations of what 64-bit words can hold."""
    return "\n".join(f"(declare-const {n} Int)\n(assert (and (<= 0 {n}) (< {n} {WORDS})))" for n in names)


def term(expression: str, names: dict[str, str]) -> str:
    """A C expression of unsigned words; `names` says what each of its operands is called here."""
    for text, name in sorted(names.items(), key=lambda item: -len(item[0])):
        expression = re.sub(rf"(?<![\w.]){re.escape(text)}(?!\w)", name, expression)
    expression = expression.replace("||", " or ").replace("&&", " and ")
    return _term(ast.parse(" ".join(expression.split()), mode="eval").body)


def _term(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.BoolOp):
        operator = "or" if isinstance(node.op, ast.Or) else "and"
        return f"({operator} {' '.join(map(_term, node.values))})"
    if isinstance(node, ast.Compare):
        return f"({_COMPARISONS[type(node.ops[0])]} {_term(node.left)} {_term(node.comparators[0])})"
    assert isinstance(node, ast.BinOp), ast.unparse(node)
    left, right = _term(node.left), _term(node.right)
    if isinstance(node.op, ast.Add):
        return f"(let ((x (+ {left} {right}))) (ite (>= x {WORDS}) (- x {WORDS}) x))"
    if isinstance(node.op, ast.Sub):
        return f"(let ((x (- {left} {right}))) (ite (< x 0) (+ x {WORDS}) x))"
    if isinstance(node.op, ast.Mult):
        return f"(mod (* {left} {right}) {WORDS})"
    assert isinstance(node.op, ast.Div), ast.unparse(node)
    return f"(div {left} {right})"

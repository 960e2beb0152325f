"""Functions of kernels/shared/arithmetic.h as lists of rounded operations, read from the source itself."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "kernels" / "shared" / "arithmetic.h"

_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


@dataclass(frozen=True)
class Function:
    """A function's parameters and the statements of its body, as (variable, C expression)."""

    parameters: list[str]
    statements: list[tuple[str, str]]


def read_functions(text: str) -> dict[str, Function]:
    """Every function of one or more straight lines; comments and declarations of no interest are left out."""
    text = re.sub(r"//[^\n]*", "", text)
    found = {}
    for match in re.finditer(r"^QM_FN \w+ (\w+)\(([^)]*)\) \{(.*?)\}$", text, re.MULTILINE | re.DOTALL):
        name, parameters, body = match.groups()
        statements = [" ".join(line.split()) for line in body.split(";") if line.strip()]
        parsed = [re.fullmatch(r"(?:return (.+)|(?:QM_EXACT )?(?:\w+ )?(\w+) = (.+))", line) for line in statements]
        pairs = [(m[2] or "return", m[1] or m[3]) for m in parsed if m]
        if len(pairs) == len(statements):
            found[name] = Function([word.split()[-1] for word in parameters.split(",")], pairs)
    return found


def constants(text: str) -> dict[str, str]:
    """Float constants of the header by name."""
    return {name: value for name, value in re.findall(r"QM_CONST float (\w+) = ([^;f]+)f?;", text)}


@dataclass
class Trace:
    """Operations in order: (result, left, operator, right), each rounded; operands are names or exact constants."""

    functions: dict[str, Function]
    constants: dict[str, str]
    operations: list[tuple[str, str, str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, text: str | None = None) -> Trace:
        """Of a header's text, by default the project's own."""
        text = source() if text is None else text
        return cls(read_functions(text), constants(text))

    def statement(self, scope: dict[str, str], variable: str, expression: str) -> str:
        """Adds the operations of an assignment; the variable then stands for its result."""
        scope[variable] = self._value(ast.parse(_python(expression), mode="eval").body, scope)
        return scope[variable]

    def _value(self, node: ast.expr, scope: dict[str, str]) -> str:
        if isinstance(node, ast.Name):
            return _as_float(self.constants[node.id]) if node.id in self.constants else scope[node.id]
        if isinstance(node, (ast.Constant, ast.UnaryOp)):
            return _as_float(ast.unparse(node))
        if isinstance(node, ast.BinOp):
            return self._operation(
                self._value(node.left, scope), _OPERATORS[type(node.op)], self._value(node.right, scope)
            )
        assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name), ast.unparse(node)
        called = self.functions[node.func.id]
        inner = dict(zip(called.parameters, (self._value(argument, scope) for argument in node.args), strict=True))
        for variable, expression in called.statements:
            result = self.statement(inner, variable, expression)
        return result

    def _operation(self, left: str, operator: str, right: str) -> str:
        name = f"v{len(self.operations)}"
        self.operations.append((name, left, operator, right))
        return name

    def gappa(self) -> str:
        """Definitions for Gappa, every operation rounded to nearest even."""
        lines = [f"{name} = rnd({left} {operator} {right});" for name, left, operator, right in self.operations]
        return "\n".join(lines)


def _as_float(text: str) -> str:
    """The f32 nearest to a decimal, exactly."""
    return f"({float(np.float32(text)).hex()})"


def _python(expression: str) -> str:
    """A C expression of calls, numbers and operators, as Python reads it."""
    return re.sub(r"(\d)f\b", r"\1", expression)


def source() -> str:
    return HEADER.read_text()

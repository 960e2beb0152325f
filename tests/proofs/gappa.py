"""Runs Gappa, and says what it proved."""

from __future__ import annotations

import re
import shutil
import subprocess
from fractions import Fraction

UNIT = Fraction(1, 2**24)  # the largest relative error of one rounding
HERE = shutil.which("gappa") is not None

_END = r"(-?\d+)(?:b(-?\d+))?(?: \{[^}]*\})?"
_BOUND = re.compile(rf" in \[{_END}, {_END}\]")


def decimal(value: Fraction) -> str:
    """A number that is at least as large, of few digits."""
    return f"{-(-value * 10**12 // 1)}e-12"


def bound(script: str) -> Fraction:
    """The largest magnitude of the one goal "in ?"; fails where it was not proved."""
    head = "@rnd = float<ieee_32, ne>;\n"
    done = subprocess.run(["gappa"], input=head + script, capture_output=True, text=True, timeout=300)
    found = _BOUND.findall(done.stderr)
    assert done.returncode == 0 and len(found) == script.count("in ?") == 1, f"{done.stderr}\n{script}"
    ((low, e, high, f),) = found
    return max(abs(int(mantissa)) * Fraction(2) ** int(exponent or 0) for mantissa, exponent in ((low, e), (high, f)))

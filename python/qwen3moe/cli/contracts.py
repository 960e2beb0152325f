"""Check contracts against tests, sources and evidence; report, run and record them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from qwen3moe.cli.common import show
from qwen3moe.contracts.load import load
from qwen3moe.contracts.readme import replace_measured
from qwen3moe.contracts.report import report
from qwen3moe.contracts.run import collect, run_falsifier, verify
from qwen3moe.contracts.validate import check_contracts, validate
from qwen3moe.errors import ArgumentError


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("validate", "report", "run", "verify"), help="what to do")
    parser.add_argument("id", nargs="?", help="run: the falsifier")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the checkout; by default the one around this folder")
    parser.add_argument("--out", metavar="FILE.json", help="verify: where to write the receipt")
    parser.add_argument("--readme", type=Path, metavar="FILE.md", help="report: also write what was measured into this")
    parser.add_argument("--device", default="cpu", help="verify: what to run on (default cpu)")
    parser.add_argument("--results", metavar="FILE.xml", help="verify: a JUnit file of pytest, instead of a new run")
    parser.add_argument("--slow", action="store_true", help="verify: also run what takes minutes")


def run(args: Namespace) -> int:
    catalogue = load(args.root)
    if args.action == "run":
        if args.id is None:
            raise ArgumentError("run needs the id of a falsifier")
        return run_falsifier(catalogue, args.id)
    if args.action == "verify":
        if args.out is None:
            raise ArgumentError("verify needs --out, where to write the receipt")
        verified = verify(catalogue, args.out, device=args.device, results=args.results, slow=args.slow)
        show(verified, args.json)
        return 0 if verified.ok else 1
    problems = check_contracts(catalogue)
    if args.action == "report" and not problems:
        if args.readme is not None:
            args.readme.write_text(replace_measured(args.readme.read_text(), catalogue))
        show(report(catalogue), args.json)
        return 0
    if not problems and catalogue.root is not None and find_spec("pytest"):
        catalogue = replace(catalogue, tests=collect(catalogue))
    found = validate(catalogue)
    show(found, args.json)
    return 0 if found.ok else 1

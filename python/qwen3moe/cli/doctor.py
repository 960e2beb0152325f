"""Check the installation: what is here, what is not and why, and a self test."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from qwen3moe.cli.common import show
from qwen3moe.doctor import doctor


def configure(_: ArgumentParser) -> None:
    pass


def run(args: Namespace) -> int:
    found = doctor()
    show(found, args.json)
    return 0 if found.ok else 1

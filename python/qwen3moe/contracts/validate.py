"""Whether contracts hold together: their form, their links to tests, sources and evidence, and their versions."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from qwen3moe.contracts.evidence import backends_of, files_of, is_fresh, stage_falsifiers
from qwen3moe.contracts.load import Catalogue, Document, Problem
from qwen3moe.contracts.receipts import digest

_SHOWN = 4  # of many: problems of form, for one mistake has many, or globs


@dataclass(frozen=True)
class Validation:
    """What `contracts validate` found."""

    contracts: int
    receipts: int
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        count = f"{self.contracts} contracts, {self.receipts} receipts"
        return "\n".join([*lines, f"{count}: {f'{len(lines)} problems' if lines else 'all holds'}"])


def validate(catalogue: Catalogue) -> Validation:
    """Runs every check."""
    problems = check_contracts(catalogue)
    if not problems:
        problems.extend(_receipts(catalogue))
    return Validation(len(catalogue.contracts), len(catalogue.receipts), problems)


def check_contracts(catalogue: Catalogue) -> list[Problem]:
    """All but what the receipts say; links only once the form is right, for they rely on it."""
    problems = [*catalogue.unreadable, *_forms(catalogue)]
    if not problems:
        for check in (_ids, _links, _tests, _paths, _versions):
            problems.extend(check(catalogue))
    return problems


def content_digest(contract: Document) -> str:
    """Of all that a version says, its number and history apart."""
    said = {key: value for key, value in contract.items() if key not in ("version", "amendments")}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _forms(catalogue: Catalogue) -> Iterator[Problem]:
    import jsonschema  # here, so that the command line starts without it

    for documents, name in ((catalogue.contracts, "schema"), (catalogue.receipts, "receipt.schema")):
        validator = jsonschema.Draft202012Validator(catalogue.schemas[name])
        for file, document in documents.items():
            errors = sorted(validator.iter_errors(document), key=lambda error: [str(step) for step in error.path])
            for error in errors[:_SHOWN]:
                place = _place(document, list(error.absolute_path))
                what = " ".join(error.message.split())
                yield Problem(file, place, f"{what:.200}", f"see contracts/{name}.json")
    if not catalogue.contracts:
        yield Problem("contracts", "folder", "no contract", "restore the .yaml files")


def _place(document: Any, path: list[Any]) -> str:
    """A path into a document, list entries by their id."""
    steps = []
    for step in path:
        document = document[step]
        named = isinstance(step, int) and isinstance(document, dict) and "id" in document
        steps.append(str(document["id"] if named else step))
    return ".".join(steps) or "document"


def _ids(catalogue: Catalogue) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for file, contract in catalogue.contracts.items():
        if contract["id"] != PurePosixPath(file).stem:
            yield Problem(file, "id", f"{contract['id']!r} in a file of another name", "name both alike")
        kinds = ("proof_obligations", "falsification_tests", "proof_harnesses")
        for name in [contract["qa_gate"]["id"], *(entry["id"] for kind in kinds for entry in contract[kind])]:
            if name in seen:
                yield Problem(file, name, f"is an id of {seen[name]} already", "give each its own")
            seen[name] = file
        stages = Counter(stage["id"] for stage in contract["implementation_stages"])
        for name in (name for name, count in stages.items() if count > 1):
            yield Problem(file, name, "two stages of this id", "give each its own")


def _links(catalogue: Catalogue) -> Iterator[Problem]:
    known = {contract["id"] for contract in catalogue.contracts.values()}
    for file, contract in catalogue.contracts.items():
        for name in sorted(set(contract.get("requires", [])) - known):
            yield Problem(file, "requires", f"{name}, which is no contract", "name one that is there")
        falsifiers = {entry["id"] for entry in contract["falsification_tests"]}
        harnesses = {entry["id"] for entry in contract["proof_harnesses"]}
        bound: set[str] = set()
        for entry in contract["proof_obligations"]:
            bound |= set(entry["falsified_by"])
            for name in sorted(set(entry["falsified_by"]) - falsifiers):
                yield Problem(file, entry["id"], f"bound to {name}, which is no falsifier here", "bind it to one")
            for name in sorted(set(entry.get("proved_by", [])) - harnesses):
                yield Problem(file, entry["id"], f"proved by {name}, which is no harness here", "name one")
        for name in sorted(falsifiers - bound):
            yield Problem(file, name, "falsifies no obligation", "bind an obligation to it")
        for stage in contract["implementation_stages"]:
            for name in sorted(set(stage.get("falsified_by", [])) - falsifiers):
                yield Problem(file, stage["id"], f"needs {name}, which is no falsifier here", "name one")
            for backend in stage["backends"]:
                if not any(backend in backends_of(entry) for entry in stage_falsifiers(contract, stage)):
                    yield Problem(file, stage["id"], f"no falsifier for {backend}", "add one, or drop the back end")


def _tests(catalogue: Catalogue) -> Iterator[Problem]:
    for file, contract in catalogue.contracts.items():
        for entry in contract["falsification_tests"]:
            for key in ("test", "shown_by"):
                if key in entry and entry[key] not in catalogue.tests:
                    mend = "restore the test or name another"
                    yield Problem(file, entry["id"], f"{key} {entry[key]} is not in the suite", mend)


def _paths(catalogue: Catalogue) -> Iterator[Problem]:
    for file, contract in catalogue.contracts.items():
        places = [(entry["id"], entry["path"]) for entry in contract["proof_harnesses"]]
        places += [(stage["id"], path) for stage in contract["implementation_stages"] for path in stage["paths"]]
        for name, path in places:
            if not files_of([path], catalogue):
                yield Problem(file, name, f"{path} is not there", "name a file or folder that is")


def _versions(catalogue: Catalogue) -> Iterator[Problem]:
    for file, contract in catalogue.contracts.items():
        history = contract["amendments"]
        numbers, dates = [entry["version"] for entry in history], [entry["date"] for entry in history]
        if numbers != list(range(1, len(numbers) + 1)):
            yield Problem(file, "amendments", f"versions {numbers}", "count them from 1, one by one")
        elif contract["version"] != numbers[-1]:
            what = f"{contract['version']}, but the last amendment is {numbers[-1]}"
            yield Problem(file, "version", what, "make them agree")
        if dates != sorted(dates):
            yield Problem(file, "amendments", "dates that fall", "put them in order")
        found = content_digest(contract)
        if history[-1]["digest"] != found:
            what = f"the text is not what version {numbers[-1]} was (digest {history[-1]['digest']})"
            mend = f"add an amendment that says what changed, with digest {found}"
            yield Problem(file, "amendments", what, mend)


def _receipts(catalogue: Catalogue) -> Iterator[Problem]:
    falsifiers = catalogue.falsifiers()
    gates = {contract["qa_gate"]["id"] for contract in catalogue.contracts.values()}
    for file, receipt in catalogue.receipts.items():
        if receipt["digest"] != digest(receipt):
            yield Problem(file, "digest", "the receipt was changed by hand", "restore it, or run its command anew")
        elif not is_fresh(receipt, catalogue):
            globs = receipt["covers"]["globs"]
            shown = ", ".join(globs[:_SHOWN]) + (f" or {len(globs) - _SHOWN} more" if len(globs) > _SHOWN else "")
            what = f"stale: {shown} changed since {receipt['recorded']}"
            yield Problem(file, "covers", what, f"run {receipt['command']!r} anew, or remove the receipt")
        backend = receipt["device"]["backend"]
        for name, outcome in receipt["falsifiers"].items():
            if name not in falsifiers and name not in gates:
                yield Problem(file, name, "is no falsifier of any contract", "run the command anew")
            elif name in falsifiers and backend not in backends_of(falsifiers[name]):
                yield Problem(file, name, f"is not for {backend}", "add the back end to the falsifier")
            if outcome == "failed":
                yield Problem(file, name, f"failed on {receipt['device']['name']}", "mend the code, not the receipt")
        for run, figures in receipt["figures"].items():
            for key, figure in figures.items():
                if isinstance(figure, dict) and not _is_median(figure):
                    yield Problem(file, f"{run}.{key}", "the median is not that of the samples", "run it anew")


def _is_median(figure: Document) -> bool:
    ordered = sorted(figure["samples"])
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return bool(low <= figure["median"] <= high)


def strip_parameters(node: str) -> str:
    """A test's id without what it was called with."""
    return re.sub(r"\[.*$", "", node)

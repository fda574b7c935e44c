"""`python -m tests.mutants`: applies every mutant to a copy of the package, one by one, and prints as JSON what noticed it."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.mutants.catalogue import MUTANTS, SIMULATION, Mutant
from tests.mutants.lab import DoesNotApply, Finding, Lab


def main() -> int:
    arguments = _parse()
    chosen = [mutant for mutant in MUTANTS if arguments.only.lower() in mutant.name.lower()]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        lab = Lab(Path(folder).resolve())
        lab.require_the_copy()
        if not arguments.mutants_only and not _is_sound(lab, chosen):
            return 2
        verdicts = Counter(_try(lab, mutant).verdict for mutant in chosen)
    _say({"mutants": len(chosen), "verdicts": dict(verdicts)})
    return 0 if verdicts["caught"] == len(chosen) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants with this in their name")
    parser.add_argument("--mutants-only", action="store_true", help="skip the check that the unchanged copy passes")
    return parser.parse_args()


def _is_sound(lab: Lab, mutants: Sequence[Mutant]) -> bool:
    """A check that fails without a mutant proves nothing."""
    tests = sorted({mutant.check for mutant in mutants} - {SIMULATION})
    checks = [*([lab.test(*tests)] if tests else []), *([lab.check(SIMULATION)] if len(tests) < len(mutants) else [])]
    for found in checks:
        _say({"mutant": None, "verdict": found.verdict, "detail": found.detail})
    return all(found.verdict == "survived" for found in checks)


def _try(lab: Lab, mutant: Mutant) -> Finding:
    began = time.monotonic()
    try:
        with lab.with_mutant(mutant):
            found = lab.check(mutant.check)
    except DoesNotApply as error:
        found = Finding("broken", str(error))
    seconds = round(time.monotonic() - began, 1)
    _say({"mutant": mutant.name, "verdict": found.verdict, "detail": found.detail, "seconds": seconds})
    return found


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(value).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

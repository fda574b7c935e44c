"""`python -m tests.simulation --seeds 0:100`: explores, and prints what it found as JSON, a line for each violation and one at the end.

`--replay SEED "a.poll second b.poll"` walks one schedule again and tells what each step did.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from tests.simulation.action import read_schedule
from tests.simulation.explorer import Findings, Violation, quietly_explore
from tests.simulation.replay import shorten, walk
from tests.simulation.schema import migrated_schema


def main() -> int:
    arguments = _parse()
    with tempfile.TemporaryDirectory() as folder:
        schema = migrated_schema(Path(folder))
    if arguments.replay:
        return _replay(int(arguments.replay[0]), arguments.replay[1], schema)
    first, _, end = arguments.seeds.partition(":")
    seeds = range(int(first), int(end or int(first) + 1))
    work = partial(quietly_explore, schema=schema, limit=arguments.schedules)
    return _explore(_findings(work, seeds, arguments.processes), seeds, schema, is_one_enough=arguments.until_violation)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", default="0:20", help="from:to, or one seed; each is a scenario of its own")
    parser.add_argument("--schedules", type=int, default=500, help="of each seed")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--until-violation", action="store_true", help="stop at the first")
    parser.add_argument("--replay", nargs=2, metavar=("SEED", "SCHEDULE"), help="as a violation names them")
    return parser.parse_args()


def _replay(seed: int, schedule: str, schema: bytes) -> int:
    found, lines = walk(seed, schema, read_schedule(schedule))
    _say(*lines, *(f"VIOLATED {text}" for text in found))
    return 1 if found else 0


def _explore(outcomes: Iterator[Findings], seeds: range, schema: bytes, *, is_one_enough: bool) -> int:
    began = time.monotonic()
    total, seen = Counter[str](), Counter[str]()
    violations = 0
    for done, findings in enumerate(outcomes, 1):
        total.update({name: getattr(findings, name) for name in ("schedules", "to_the_end", "steps", "transactions")})
        seen.update(findings.seen)
        if findings.violation:
            violations += 1
            _report(findings.violation, schema)
            if is_one_enough:
                break
        sys.stderr.write(f"\r{done} of {len(seeds)} seeds, {total['schedules']:,} schedules")
    seconds = time.monotonic() - began
    _say_json({
        "seeds": [seeds.start, seeds.stop],
        **total,
        "violations": violations,
        "seconds": round(seconds, 1),
        "schedules_per_second": round(total["schedules"] / seconds, 1),
        "seen": dict(sorted(seen.items())),
    })  # fmt: skip
    return 1 if violations else 0


def _findings(work: "partial[Findings]", seeds: Iterable[int], processes: int) -> Iterator[Findings]:
    if processes == 1:
        yield from map(work, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(work, seeds)


def _report(violation: Violation, schema: bytes) -> None:
    short = shorten(violation, schema)
    _say_json({"seed": short.seed, "violated": short.found, "schedule": short.schedule})


def _say_json(value: dict[str, Any]) -> None:
    _say(orjson.dumps(value).decode())


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""Keeps `backend/openapi.json` in step with the code: `python -m shadowgraph.api.openapi --write` or `--check`."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path

from shadowgraph.api.app import build_routes
from shadowgraph.api.document import build_document

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def render() -> str:
    return json.dumps(build_document(build_routes()), indent=2, ensure_ascii=False) + "\n"


def is_current() -> bool:
    return COMMITTED.is_file() and COMMITTED.read_text(encoding="utf-8") == render()


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--write", action="store_true")
    group.add_argument("--check", action="store_true")
    if parser.parse_args().write:
        COMMITTED.write_text(render(), encoding="utf-8")
        return 0
    if is_current():
        return 0
    sys.stderr.write("openapi.json is not what the code says; run: python -m shadowgraph.api.openapi --write\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

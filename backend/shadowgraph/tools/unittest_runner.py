"""Runs inside the sandbox, never here: writes the files it gets on stdin and runs their unittest tests.

`run_python.py` hands its source to the interpreter there, so it imports the standard library only. Its last line on stdout is the outcome.
"""

import json
import sys
import traceback
import unittest
from pathlib import Path

JOB = Path.cwd()


def write(files: dict[str, str]) -> None:
    for path, body in files.items():
        target = JOB / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(body, encoding="utf-8", errors="replace", newline="")


def is_test(path: Path) -> bool:
    return path.suffix == ".py" and (
        path.stem.startswith("test_") or path.stem.endswith("_test") or path.stem == "tests"
    )


def top_of_package(folder: Path) -> Path:
    while folder != JOB and (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def load(path: Path) -> unittest.TestSuite:
    top = top_of_package(path.parent)
    if str(top) not in sys.path:
        sys.path.insert(0, str(top))
    module = ".".join(path.relative_to(top).with_suffix("").parts)
    return unittest.defaultTestLoader.loadTestsFromName(module)


def main() -> None:
    files = json.load(sys.stdin)
    write(files)
    sys.path[:0] = [str(JOB), str(JOB / "src")]
    suite, broken = unittest.TestSuite(), 0
    for path in sorted(JOB / name for name in files if is_test(Path(name))):
        try:
            suite.addTests(load(path))
        except BaseException:  # noqa: BLE001 - a module that calls sys.exit() on import is broken too
            traceback.print_exc()
            broken += 1
    result = unittest.TextTestRunner(stream=sys.stderr).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses) + broken
    outcome = {"tests": max(result.testsRun + broken, failed), "failed": failed}
    sys.stdout.write(f"\n{json.dumps(outcome)}\n")


main()

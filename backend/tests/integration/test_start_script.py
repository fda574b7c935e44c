"""The start script in a small checkout of its own: a stand-in for uv notes what it was asked for, so nothing is downloaded."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

SCRIPT = Path(__file__).parents[3] / "shadowgraph"
TOOLS = ("sh", "cat", "cksum", "chmod", "dirname", "grep", "head", "id", "ln", "mkdir", "readlink", "rm", "sleep")

FAKE_UV = """#!/bin/sh
echo "$*" >>"$UV_CALLS"
case "$1" in
venv) exec "$4" -m venv --without-pip "$5" ;;
pip) if [ -n "${UV_GATE-}" ]; then while [ ! -e "$UV_GATE" ]; do sleep 0.02; done; fi ;;
esac
"""
FAKE_MAIN = """
import importlib.metadata, os, sys
print("version", importlib.metadata.version("shadowgraph"))
print("arguments", sys.argv[1:])
print("folder", os.getcwd())
print("home", os.environ["SHADOWGRAPH_HOME"])
sys.exit(int(os.environ.get("EXIT_CODE", "0")))
"""


@dataclass(frozen=True)
class Checkout:
    root: Path
    environment: dict[str, str]

    @property
    def installs(self) -> int:
        calls = Path(self.environment["UV_CALLS"])
        return calls.read_text().count("pip install") if calls.exists() else 0

    @property
    def lock_owner(self) -> str | None:
        lock = self.root / ".cache" / "setup.lock"
        return str(lock.readlink()) if lock.is_symlink() else None

    def start(self, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.root / "shadowgraph"), *arguments]
        environment = {**self.environment, **environment}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)

    @contextmanager
    def starting(self, **environment: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [str(self.root / "shadowgraph")],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "a checkout"
    package = root / "backend" / "shadowgraph"
    package.mkdir(parents=True)
    shutil.copy(SCRIPT, root)
    (package / "__init__.py").touch()
    (package / "main.py").write_text(FAKE_MAIN)
    (root / "backend" / "pyproject.toml").write_text('[project]\nname = "shadowgraph"\nversion = "1.0"\n')
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-uv.lock"):
        (root / "backend" / name).touch()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name) or name)
    (tools / "uv").write_text(FAKE_UV)
    (tools / "uv").chmod(0o755)
    environment = {"PATH": str(tools), "PYTHON": sys.executable, "UV_CALLS": str(tmp_path / "uv-calls")}
    return Checkout(root, environment)


def test_first_start_sets_up_and_runs_the_command(checkout: Checkout) -> None:
    started = checkout.start("demo", "a query")

    assert started.returncode == 0, started.stderr
    assert "arguments ['demo', 'a query']" in started.stdout
    assert "setting up" in started.stderr
    assert checkout.installs == 1


def test_second_start_does_no_set_up(checkout: Checkout) -> None:
    checkout.start()

    started = checkout.start()

    assert (started.returncode, started.stderr, checkout.installs) == (0, "", 1)


def test_command_keeps_the_folder_of_the_caller_and_knows_its_home(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "shadowgraph").mkdir()  # a module of that name in the caller's folder must not stand in for ours

    started = checkout.start(cwd=tmp_path)

    assert f"folder {tmp_path}\nhome {checkout.root}\n" in started.stdout


def test_exit_status_of_the_command_is_the_exit_status_of_the_script(checkout: Checkout) -> None:
    assert checkout.start(EXIT_CODE="13").returncode == 13


def test_script_works_through_a_link(checkout: Checkout, tmp_path: Path) -> None:
    link = tmp_path / "sg"
    link.symlink_to(checkout.root / "shadowgraph")

    started = subprocess.run([link, "runs"], env=checkout.environment, capture_output=True, text=True, timeout=60)

    assert "arguments ['runs']" in started.stdout


def test_changed_lock_is_installed_over_the_environment(checkout: Checkout) -> None:
    checkout.start()
    kept = checkout.root / ".venv" / "kept"
    kept.touch()

    (checkout.root / "backend" / "requirements.lock").write_text("# changed")
    started = checkout.start()

    assert started.returncode == 0
    assert checkout.installs == 2
    assert kept.exists()


def test_package_knows_its_version_also_when_it_changes(checkout: Checkout) -> None:
    project = checkout.root / "backend" / "pyproject.toml"
    before = checkout.start()

    project.write_text(project.read_text().replace("1.0", "1.1"))
    after = checkout.start()

    assert "version 1.0\n" in before.stdout
    assert "version 1.1\n" in after.stdout


def test_command_in_the_environment_works_without_the_script(checkout: Checkout) -> None:
    checkout.start()

    command = [str(checkout.root / ".venv" / "bin" / "shadowgraph"), "runs"]
    started = subprocess.run(
        command, env={**checkout.environment, "SHADOWGRAPH_HOME": "x"}, capture_output=True, text=True, timeout=60
    )

    assert "arguments ['runs']" in started.stdout


def test_half_made_environment_is_made_again(checkout: Checkout) -> None:
    checkout.start()
    (checkout.root / ".venv" / ".stamp").unlink()
    leftover = checkout.root / ".venv" / "leftover"
    leftover.touch()

    started = checkout.start()

    assert started.returncode == 0
    assert checkout.installs == 2
    assert not leftover.exists()


def test_moved_checkout_sets_up_again(checkout: Checkout, tmp_path: Path) -> None:
    checkout.start()
    moved = Checkout(tmp_path / "moved", checkout.environment)
    checkout.root.rename(moved.root)

    started = moved.start()

    assert f"home {moved.root}" in started.stdout
    assert checkout.installs == 2


async def test_second_of_two_first_starts_waits_for_the_set_up_of_the_other(checkout: Checkout, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with checkout.starting(UV_GATE=str(gate)) as first:
        await wait_until(lambda: checkout.installs == 1, what="the first set-up")
        with checkout.starting() as second:
            assert second.stderr is not None
            waiting = second.stderr.readline()
            gate.touch()
            outputs = [process.communicate(timeout=30) for process in (first, second)]

    assert "another start is setting up" in waiting
    assert ["arguments []" in stdout for stdout, _ in outputs] == [True, True]
    assert checkout.installs == 1


async def test_lock_of_a_start_that_was_killed_is_taken_over(checkout: Checkout, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with checkout.starting(UV_GATE=str(gate)) as killed:
        await wait_until(lambda: checkout.installs == 1, what="the first set-up")
        killed.kill()
        killed.wait()
        gate.touch()
    assert checkout.lock_owner == str(killed.pid)

    started = checkout.start()

    assert started.returncode == 0
    assert checkout.installs == 2
    assert checkout.lock_owner is None


def test_lock_is_given_back_when_the_set_up_fails(checkout: Checkout) -> None:
    uv = Path(checkout.environment["PATH"]) / "uv"
    uv.write_text("#!/bin/sh\nexit 1\n")
    broken_python = checkout.root / "python"
    broken_python.write_text('#!/bin/sh\n[ "$1" = -c ]\n')
    broken_python.chmod(0o755)

    started = checkout.start(PYTHON=str(broken_python))

    assert started.returncode == 3
    assert "fix: apt-get install -y python3-venv" in started.stderr
    assert checkout.lock_owner is None


def test_missing_python_is_one_line_with_the_fix_and_exit_3(checkout: Checkout) -> None:
    started = checkout.start(PYTHON="")

    assert started.returncode == 3
    assert started.stderr.splitlines() == [
        "shadowgraph: Python 3.11 or newer was not found",
        "    fix: apt-get install -y python3 python3-venv",
    ]


def test_set_up_writes_nothing_outside_the_checkout(checkout: Checkout, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()

    checkout.start(HOME=str(home))

    assert list(home.iterdir()) == []
    assert {path.name for path in checkout.root.iterdir()} == {".cache", ".venv", "backend", "shadowgraph"}
    assert not list((checkout.root / "backend").rglob("__pycache__"))


def test_development_locks_come_on_top_of_the_runtime(checkout: Checkout) -> None:
    checkout.start()

    checkout.start("check")

    assert checkout.installs == 2
    assert (checkout.root / ".venv" / ".stamp-dev").exists()


FAKE_PYTEST = """
import json, os, pathlib, sys
again = "--last-failed" in sys.argv
print("again" if again else "all")
failed = 0 if again and "mended" in os.environ["FAILING"] else int(os.environ["FAILING"].split()[0])
cache = pathlib.Path(".cache/pytest/v/cache")
cache.mkdir(parents=True, exist_ok=True)
cache.joinpath("lastfailed").write_text(json.dumps({f"test_{n}": True for n in range(failed)}))
sys.exit(bool(failed))
"""


@pytest.mark.parametrize(
    ("failing", "runs", "exit_code", "says_flaky"),
    [
        ("0", ["all"], 0, False),
        ("1 mended", ["all", "again"], 0, True),
        ("3 mended", ["all", "again"], 0, True),
        ("3", ["all", "again"], 1, False),
        ("4 mended", ["all"], 1, False),
    ],
)
def test_few_failed_tests_have_one_more_try_and_are_named(
    checkout: Checkout, failing: str, runs: list[str], exit_code: int, says_flaky: bool
) -> None:
    (checkout.root / "backend" / "pytest.py").write_text(FAKE_PYTEST)

    tested = checkout.start("test", FAILING=failing)

    assert (tested.stdout.split(), tested.returncode) == (runs, exit_code), tested.stderr
    assert ("FLAKY" in tested.stderr) == says_flaky


def test_named_tests_have_no_second_try(checkout: Checkout) -> None:
    (checkout.root / "backend" / "pytest.py").write_text(FAKE_PYTEST)

    tested = checkout.start("test", "tests/unit", FAILING="1 mended")

    assert (tested.stdout.split(), tested.returncode) == (["all"], 1)

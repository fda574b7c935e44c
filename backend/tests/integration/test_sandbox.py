"""Attacks on the sandbox, each by a program that tries. They need bubblewrap and a kernel that lets it start."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shadowgraph.core.json import Json, JsonObject
from shadowgraph.tools.process_limits import control_groups, join_groups
from shadowgraph.tools.registry import ToolContext
from shadowgraph.tools.run_python import PythonTests
from shadowgraph.tools.sandbox import MEBIBYTE, Limits, Sandbox, SandboxResult, SandboxUnavailable, sandbox_status
from tests.support.requirements import skip_or_fail
from tests.support.waiting import wait_until

CONTEXT = ToolContext(agent="coder", idempotency_key="run_1:key")
SHORT = Limits(wall_seconds=5, cpu_seconds=3)


@pytest.fixture
async def sandbox() -> Sandbox:
    found = Sandbox()
    status = await found.status()
    if not status.available:
        skip_or_fail(f"no sandbox: {status.reason} ({status.fix})")
    return found


async def _run(sandbox: Sandbox, program: str, limits: Limits = SHORT) -> SandboxResult:
    return await sandbox.run_python(["-c", program], limits=limits)


def _said(result: SandboxResult) -> str:
    return (result.stdout + result.stderr).decode(errors="replace")


async def test_a_harmless_program_runs(sandbox: Sandbox) -> None:
    result = await sandbox.run_python(["-c", "import sys; print(sys.stdin.read()[::-1])"], stdin=b"abc")

    assert (result.exit_code, result.ending, result.stdout) == (0, "exit", b"cba\n")


TRY_TO_BECOME_ROOT = "import os\ntry: os.setuid(0)\nexcept OSError: print('refused')"
CALL_KERNEL = "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"


@pytest.mark.parametrize(
    ("program", "refusal"),
    [
        pytest.param(
            "import socket; s = socket.socket(); s.settimeout(2); s.connect(('1.1.1.1', 80))",
            "unreachable",
            id="internet",
        ),
        pytest.param("import socket; socket.getaddrinfo('example.com', 80)", "gaierror", id="name resolution"),
        pytest.param("open('/usr/x', 'w')", "Read-only", id="write to the system"),
        pytest.param("open('/x', 'w')", "Read-only", id="write to the root"),
        pytest.param("x = bytearray(2 << 30)", "MemoryError", id="address space"),
        pytest.param(CALL_KERNEL + "print(libc.unshare(0x10000000))", "-1", id="a user namespace inside"),
        pytest.param(CALL_KERNEL + "print(libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0))", "-1", id="mount"),
        pytest.param(CALL_KERNEL + "print(libc.syscall(321, 0, 0, 0))", "-1", id="bpf"),
        pytest.param(TRY_TO_BECOME_ROOT, "refused", id="become root"),
        pytest.param(
            "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (9999, 9999))", "not allowed", id="raise a limit"
        ),
    ],
)
async def test_what_is_forbidden_is_refused(sandbox: Sandbox, program: str, refusal: str) -> None:
    result = await _run(sandbox, program)

    assert refusal in _said(result)


async def test_servers_of_this_machine_cannot_be_reached(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = await _run(sandbox, f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")

    assert "Connection refused" in _said(result)


async def test_files_of_this_machine_cannot_be_seen(sandbox: Sandbox) -> None:
    program = "import os; print([p for p in ('/etc/passwd', '/etc/shadow', '/root', '/home', '/var', '/run') if os.path.exists(p)])"

    result = await _run(sandbox, program)

    assert result.stdout == b"[]\n"


async def test_the_environment_of_this_process_does_not_go_in(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "canary-secret")

    result = await _run(sandbox, "import os; print(dict(os.environ), open('/proc/1/environ').read())")

    assert result.exit_code == 0
    assert "canary" not in _said(result)


async def test_other_processes_can_neither_be_seen_nor_ended(sandbox: Sandbox) -> None:
    program = f"import os; print(len([p for p in os.listdir('/proc') if p.isdigit()]) < 5); os.kill({os.getpid()}, 9)"

    result = await _run(sandbox, program)

    assert result.stdout == b"True\n"
    assert "ProcessLookupError" in _said(result)


async def test_the_program_has_no_capabilities_and_cannot_gain_any(sandbox: Sandbox) -> None:
    program = (
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapBnd', 'NoNewPrivs'))])"
    )

    result = await _run(sandbox, program)

    assert result.stdout == b"['0000000000000000', '0000000000000000', '1']\n"


async def test_installed_packages_are_not_there(sandbox: Sandbox) -> None:
    result = await _run(sandbox, "import sys; print([p for p in sys.path if 'packages' in p])")

    assert result.stdout == b"[]\n"


FILL_SCRATCH = "for i in range(50): open(f'/tmp/{i}', 'wb').write(bytes(1 << 20))"
FILL_FILE = "f = open('/tmp/x', 'wb')\nwhile True: f.write(bytes(1 << 20))"
FORK_BOMB = "import os, time\nwhile True:\n  if os.fork() == 0: time.sleep(20)"
MEMORY_OF_MANY = "import os, time\nfor i in range(6):\n  if os.fork() == 0:\n    x = bytearray(os.urandom(1)) * (60 << 20)\n    time.sleep(20)\ntime.sleep(20)"


@pytest.mark.parametrize(
    ("program", "limits", "held"),
    [
        pytest.param(
            FILL_SCRATCH, Limits(scratch_bytes=8 * MEBIBYTE), lambda r: "No space left" in _said(r), id="scratch space"
        ),
        pytest.param(FILL_FILE, Limits(file_bytes=4 * MEBIBYTE), lambda r: r.exit_code != 0, id="file size"),
        pytest.param("while True: pass", Limits(cpu_seconds=1), lambda r: r.exit_code != 0, id="processor time"),
        pytest.param(
            "import time; time.sleep(60)", Limits(wall_seconds=0.5), lambda r: r.ending == "wall_time", id="wall time"
        ),
        pytest.param("while True: print('x' * 1000)", Limits(), lambda r: r.ending == "output", id="output"),
        pytest.param(FORK_BOMB, Limits(processes=16), lambda r: "BlockingIOError" in _said(r), id="processes"),
        pytest.param(
            MEMORY_OF_MANY,
            Limits(memory_bytes=128 * MEBIBYTE, wall_seconds=5),
            lambda r: _memory_held(r),
            id="memory of the tree",
        ),
    ],
)
async def test_a_limit_holds(
    sandbox: Sandbox, program: str, limits: Limits, held: Callable[[SandboxResult], bool]
) -> None:
    result = await _run(sandbox, program, limits)

    assert held(result), result
    assert result.wall_seconds < 5
    assert len(result.stdout) + len(result.stderr) <= limits.output_bytes


def _memory_held(result: SandboxResult) -> bool:
    """By the watch, or by the control group's own killer."""
    return result.ending == "memory" or result.exit_code == 137


async def test_signals_that_are_ignored_do_not_help(sandbox: Sandbox) -> None:
    program = "import signal, time\nfor s in signal.valid_signals() - {9, 19}: signal.signal(s, signal.SIG_IGN)\ntime.sleep(60)"

    result = await _run(sandbox, program, Limits(wall_seconds=0.5))

    assert result.ending == "wall_time"
    assert result.wall_seconds < 3


async def test_output_before_a_limit_is_kept(sandbox: Sandbox) -> None:
    result = await _run(sandbox, "import time; print('so far', flush=True); time.sleep(60)", Limits(wall_seconds=0.5))

    assert result.stdout == b"so far\n"


DAEMON = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0: time.sleep({seconds})\n  os._exit(0)\nprint('parent done')"


async def test_a_daemon_does_not_outlive_its_program(sandbox: Sandbox) -> None:
    seconds = 90_000 + os.getpid()

    result = await _run(sandbox, f"mark = {seconds}\n{DAEMON.format(seconds=seconds)}", Limits(wall_seconds=2))

    assert "parent done" in _said(result)
    assert not _processes_with(str(seconds))


async def test_cancelling_ends_the_program(sandbox: Sandbox) -> None:
    mark = f"mark_{os.getpid()}"
    task = asyncio.create_task(_run(sandbox, f"{mark} = 1\nwhile True: pass"))
    await wait_until(lambda: _processes_with(mark), what="the program to start")

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()
    assert not _processes_with(mark)


async def test_control_groups_do_not_stay_behind(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this program's own groups are looked at: neighbours of the suite make and remove theirs all the time."""
    made: list[Path] = []

    @asynccontextmanager
    async def noted(*, memory_bytes: int, processes: int) -> AsyncIterator[tuple[Path, ...]]:
        async with control_groups(memory_bytes=memory_bytes, processes=processes) as groups:
            made.extend(groups)
            yield groups

    monkeypatch.setattr("shadowgraph.tools.sandbox.control_groups", noted)
    await _run(sandbox, DAEMON.format(seconds=60), Limits(wall_seconds=2))

    if not made:
        pytest.skip("this user may not make control groups")
    assert not [group for group in made if group.exists()]


def _processes_with(mark: str) -> list[Path]:
    return [process for process in Path("/proc").glob("[0-9]*") if mark in _command(process)]


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


async def test_without_bubblewrap_nothing_runs_and_the_reason_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    status = await sandbox_status()

    assert not status.available
    assert (status.reason, status.fix) == ("bubblewrap is not installed", "install the package bubblewrap")
    with pytest.raises(SandboxUnavailable):
        await Sandbox().run_python(["-c", "print(1)"])


async def test_a_bubblewrap_that_does_not_start_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    status = await Sandbox().status()

    assert not status.available
    assert "No permissions to create new namespace" in status.reason
    assert "user namespaces" in status.fix


# --- run_python ---------------------------------------------------------------------------------------------------------------------

TEST = "import unittest\nfrom app import f\n\nclass TestF(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(), 1)\n"


async def _test(sandbox: Sandbox, files: JsonObject) -> dict[str, Json]:
    result = await PythonTests(sandbox).run({"files": files}, CONTEXT)
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize(
    "files",
    [
        {"app.py": "def f(): return 1", "test_app.py": TEST},
        {"src/app.py": "def f(): return 1", "tests/test_app.py": TEST},
        {"app/__init__.py": "def f(): return 1", "tests/__init__.py": "", "tests/deep/app_test.py": TEST},
    ],
)
async def test_tests_are_found_in_the_usual_layouts(sandbox: Sandbox, files: JsonObject) -> None:
    result = await _test(sandbox, files)

    assert (result["ran"], result["passed"], result["tests"], result["reason"]) == (True, True, 1, "")


async def test_a_failing_test_is_told_with_its_output(sandbox: Sandbox) -> None:
    result = await _test(sandbox, {"app.py": "def f(): return 2", "test_app.py": TEST})

    assert (result["ran"], result["passed"], result["tests"], result["failed"]) == (True, False, 1, 1)
    assert "2 != 1" in str(result["output"])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os; os._exit(0)", "the program ended before its tests had"),
        ("import sys; sys.exit(0)", ""),
        ("def (", ""),
        ("while True: print(1)", "they wrote more than 65,536 bytes"),
        ("import fastapi", "they need the package fastapi; the sandbox has the standard library only"),
    ],
)
async def test_a_program_that_does_not_reach_its_tests_has_not_passed(
    sandbox: Sandbox, source: str, reason: str
) -> None:
    result = await _test(sandbox, {"test_app.py": source})

    assert (result["ran"], result["passed"], result["reason"]) == (True, False, reason)


async def test_files_without_tests_are_neither_passed_nor_failed(sandbox: Sandbox) -> None:
    result = await _test(sandbox, {"app.py": "x = 1"})

    assert (result["ran"], result["passed"], result["reason"]) == (False, None, "no unittest tests were found")


async def test_without_a_sandbox_the_tests_are_not_run_and_the_result_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    result = await _test(Sandbox(), {"test_app.py": TEST})

    assert (result["ran"], result["passed"]) == (False, None)
    assert (
        result["reason"] == "no sandbox on this machine: bubblewrap is not installed (install the package bubblewrap)"
    )


def test_joining_no_group_leaves_the_command_as_it_is() -> None:
    assert join_groups(()) == ()

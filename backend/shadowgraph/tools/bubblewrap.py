"""The command line of a sandbox: what the code inside can see. Pure apart from looking which system folders exist."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WORK_DIR = "/job"
PYTHON_DIR = "/opt/python"
_NOBODY = "65534"
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": WORK_DIR,
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_READ_ONLY = ("/usr", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
_TOP_LEVEL = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
"""Links into /usr on most systems, folders of their own on older ones."""
_ISOLATION = (
    "--unshare-user",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--disable-userns",
    *("--uid", _NOBODY, "--gid", _NOBODY),
    *("--hostname", "sandbox"),
    "--die-with-parent",
    "--new-session",
    *("--cap-drop", "ALL"),
    "--clearenv",
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that exists inside the sandbox."""

    path: str
    """Inside."""
    host_prefix: Path | None = None
    """Where it is installed outside, when that is not below /usr."""

    @property
    def command(self) -> tuple[str, ...]:
        """Isolated and without `site`: the standard library, no installed packages."""
        return (self.path, "-I", "-S", "-B")


def command_line(bwrap: str, *, interpreter: Interpreter, scratch_bytes: int) -> list[str]:
    """Everything up to the program itself. The order matters: a tmpfs laid over a bound folder hides it."""
    return [
        bwrap,
        *_ISOLATION,
        *(word for path in _READ_ONLY for word in ("--ro-bind-try", path, path)),
        *_top_level_folders(),
        *_interpreter(interpreter),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--size", str(scratch_bytes), "--tmpfs", "/tmp"),
        *("--size", str(scratch_bytes), "--tmpfs", WORK_DIR),
        *(word for name, value in _ENVIRONMENT.items() for word in ("--setenv", name, value)),
        *("--chdir", WORK_DIR),
        *("--remount-ro", "/"),
        "--",
    ]


def _top_level_folders() -> Iterator[str]:
    for name in _TOP_LEVEL:
        folder = Path(name)
        if folder.is_symlink():
            yield from ("--symlink", str(folder.readlink()), name)
        elif folder.is_dir():
            yield from ("--ro-bind", name, name)


def _interpreter(interpreter: Interpreter) -> Sequence[str]:
    if interpreter.host_prefix is None:
        return ()
    return (
        *("--ro-bind", str(interpreter.host_prefix), PYTHON_DIR),
        *("--setenv", "LD_LIBRARY_PATH", f"{PYTHON_DIR}/lib"),
    )

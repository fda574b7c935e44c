"""PostgreSQL, RabbitMQ and Redis of one's own from installed binaries: in a temporary folder, on free ports of 127.0.0.1.

Also for tests that kill or freeze a server, which nobody may do to a shared one.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

START_SECONDS = 60.0
"""RabbitMQ needs 6 to 12; a busy machine more. After that the start counts as failed."""
STOP_SECONDS = 20.0

POSTGRESQL_VERSIONS = Path("/usr/lib/postgresql")
RABBITMQ_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
"""Debian's wrappers in /usr/sbin insist on the user rabbitmq; the scripts here run as anybody."""


class BinaryMissing(Exception):
    """The server is not installed."""


@dataclass(frozen=True, slots=True)
class PrivateServer:
    url: str
    port: int
    pids: tuple[int, ...]
    """To be ended in this order."""
    stop_signal: signal.Signals
    folder: Path

    def stop(self) -> None:
        for pid in self.pids:
            end_process(pid, self.stop_signal)


def start_postgresql(
    folder: Path, *, port: int | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> PrivateServer:
    """Trusts everybody on loopback; keeps its data in `folder`, so that it can be started there again.

    It does not wait for the disk: what is committed survives the death of its processes, not that of the machine.

    Errors: `BinaryMissing`.
    """
    initdb, postgres = _require_postgresql_binary("initdb"), _require_postgresql_binary("postgres")
    data, port = folder / "data", port or free_port()
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    prefix = _as_postgres_user(folder)
    if not (data / "PG_VERSION").exists():
        command = [*prefix, initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run([*command, "--no-sync"], check=True, stdout=subprocess.DEVNULL, env=_POSIX_LOCALE)
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "300",
        "fsync": "off",
        **settings,
    }
    arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
    pid = _start([*prefix, postgres, "-D", str(data), "-p", str(port), *arguments], folder=folder, env=_POSIX_LOCALE)
    _wait_for(lambda: _answers_postgresql(url), pid=pid, folder=folder)
    return PrivateServer(url, port, (pid,), signal.SIGINT, folder)


def start_pgbouncer(folder: Path, target_url: str) -> PrivateServer:
    """In transaction mode before that server, for all its databases. A client's next transaction gets another connection whenever it can.

    Errors: `BinaryMissing`.
    """
    binary = find_pgbouncer()
    if binary is None:
        raise BinaryMissing("pgbouncer is not installed")
    port, target = free_port(), conninfo_to_dict(target_url)
    place = " ".join(f"{name}={target[name]}" for name in ("host", "port", "user", "password") if target.get(name))
    config = folder / "pgbouncer.ini"
    config.write_text(f"[databases]\n* = {place}\n[pgbouncer]\n")
    with config.open("a") as file:
        for name, value in {**_PGBOUNCER_SETTINGS, "listen_port": str(port)}.items():
            file.write(f"{name} = {value}\n")
    url = urlunsplit(urlsplit(target_url)._replace(netloc=f"postgres@127.0.0.1:{port}"))
    pid = _start([*_as_postgres_user(folder), binary, str(config)], folder=folder, env=_POSIX_LOCALE)
    _wait_for(lambda: _answers_postgresql(url), pid=pid, folder=folder)
    return PrivateServer(url, port, (pid,), signal.SIGTERM, folder)


def start_rabbitmq(
    folder: Path, *, port: int | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> PrivateServer:
    """Keeps its data in `folder`; on the same port it can be started there again. `settings`: variables of its application `rabbit`.

    Errors: `BinaryMissing`.
    """
    script = RABBITMQ_SCRIPTS / "rabbitmq-server"
    server = str(script) if script.exists() else _require_binary("rabbitmq-server")
    port, node_port, epmd_port = port or free_port(), free_port(), free_port()
    environment = _rabbitmq_environment(folder, port=port, node_port=node_port, epmd_port=epmd_port)
    variables = ", ".join(f"{{{name}, {value}}}" for name, value in settings.items())
    (folder / "advanced.config").write_text(f"[{{rabbit, [{variables}]}}].")
    epmd_command = [_require_binary("epmd"), "-port", str(epmd_port), "-address", "127.0.0.1"]
    with ExitStack() as on_failure:
        epmd = _start(epmd_command, folder=folder, env=environment)  # else the node starts one that nobody ends
        on_failure.callback(end_process, epmd, signal.SIGTERM)
        _wait_for(lambda: _accepts(epmd_port), pid=epmd, folder=folder)
        script_pid = _start([server], folder=folder, env=environment)
        _wait_for(lambda: _accepts(port), pid=script_pid, folder=folder)
        on_failure.pop_all()
    node = int((folder / "pid").read_text())
    url = f"amqp://guest:guest@127.0.0.1:{port}/"
    return PrivateServer(url, port, tuple(dict.fromkeys((node, script_pid, epmd))), signal.SIGTERM, folder)


def start_redis(folder: Path) -> PrivateServer:
    """Errors: `BinaryMissing`."""
    port = free_port()
    command = [_require_binary("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    pid = _start([*command, "--save", "", "--appendonly", "no"], folder=folder, env=None)
    _wait_for(lambda: _accepts(port), pid=pid, folder=folder)
    return PrivateServer(f"redis://127.0.0.1:{port}/0", port, (pid,), signal.SIGTERM, folder)


def copy_postgresql(folder: Path, source_url: str) -> None:
    """Makes `folder` the home of a standby of that server: `start_postgresql` there starts it."""
    source = conninfo_to_dict(source_url)
    command = [
        *_as_postgres_user(folder),
        _require_postgresql_binary("pg_basebackup"),
        "-D",
        str(folder / "data"),
        "-R",
    ]
    place = ["-h", str(source["host"]), "-p", str(source["port"]), "-U", "postgres"]
    subprocess.run([*command, *place, "--checkpoint=fast", "--no-sync"], check=True, env=_POSIX_LOCALE)


_PGBOUNCER_SETTINGS = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "any",
    "pool_mode": "transaction",
    "server_round_robin": "1",
    "max_client_conn": "1000",
    "default_pool_size": "20",
    "log_connections": "0",
    "log_disconnections": "0",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_process(pid: int, stop_signal: signal.Signals) -> None:
    """Asks, then kills after `STOP_SECONDS`. Does nothing when it has ended already."""
    for asked in (stop_signal, signal.SIGKILL):
        try:
            os.kill(pid, asked)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_SECONDS
        while is_alive(pid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return


def is_alive(pid: int) -> bool:
    """False also for a child of ours that has ended: it is reaped here."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


_POSIX_LOCALE = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}


def _as_postgres_user(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root, so root runs it as the package's own user."""
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres", "postgres")
    return [_require_binary("setpriv"), "--reuid=postgres", "--regid=postgres", "--clear-groups"]


def find_postgresql_binary(name: str) -> str | None:
    """Debian keeps the server's binaries out of the path; the newest installed version is taken."""
    versions = sorted(POSTGRESQL_VERSIONS.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]), reverse=True)
    return str(versions[0]) if versions else shutil.which(name)


def _require_postgresql_binary(name: str) -> str:
    path = find_postgresql_binary(name)
    if path is None:
        raise BinaryMissing(f"{name} is not installed")
    return path


def find_pgbouncer() -> str | None:
    """Debian keeps it where only root's path leads."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _require_binary(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BinaryMissing(f"{name} is not installed")
    return path


def _rabbitmq_environment(folder: Path, *, port: int, node_port: int, epmd_port: int) -> dict[str, str]:
    (folder / "enabled_plugins").write_text("[].")
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.file.level = warning\ndisk_free_limit.absolute = 50MB\n"
    )
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(node_port),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }


def _start(command: Sequence[str], *, folder: Path, env: Mapping[str, str] | None) -> int:
    """Own session: Ctrl-C in the terminal ends the tests first and the servers after them."""
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.returncode = 0  # it outlives this object on purpose; `end_process` ends it
    return process.pid


def _wait_for(ready: Callable[[], bool], *, pid: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if not is_alive(pid) or time.monotonic() > deadline:
            end_process(pid, signal.SIGTERM)
            output = (folder / "output").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the server did not start; the end of its output:\n{output}")
        time.sleep(0.02)


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _answers_postgresql(url: str) -> bool:
    """It accepts connections before it serves them."""
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True

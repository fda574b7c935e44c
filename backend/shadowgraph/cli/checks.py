"""What `doctor` can tell without the database library: Python, settings, storage, port, key, Redis."""

import shutil
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from shadowgraph.cli.server import find_server
from shadowgraph.cli.serving import is_free
from shadowgraph.core.clock import Clock, SystemClock
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.settings import Loaded, Settings, is_loopback_host, require_parts_fit, require_safe_secret
from shadowgraph.llm.providers.known import what_is_missing

Level = Literal["ok", "WARN", "FAIL"]

MIN_PYTHON = (3, 11)
LOW_DISK_BYTES = 1_000_000_000
NO_DISK_BYTES = 100_000_000
SOCKET_TIMEOUT_SECONDS = 3.0
GROQ_KEY_PREFIX = "gsk_"
MIN_KEY_CHARACTERS = 20


@dataclass(frozen=True, slots=True)
class Check:
    level: Level
    what: str
    fix: str = ""
    """Empty when there is nothing to mend."""

    @property
    def line(self) -> str:
        return f"{self.level:<4}  {self.what}{f' -> {self.fix}' if self.fix else ''}"


def check_machine(loaded: Loaded) -> Iterator[Check]:
    settings = loaded.settings
    yield check_python(sys.version_info[:3])
    yield from check_settings(loaded)
    yield check_storage(settings.storage)
    yield check_clock(SystemClock(), built=datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC))
    yield check_port(loaded)
    yield check_key(settings)
    yield from check_other_providers(settings)
    if settings.redis_url:
        yield check_redis(settings.redis_url)


def check_python(version: tuple[int, ...]) -> Check:
    text = ".".join(map(str, version))
    if version < MIN_PYTHON:
        return Check("FAIL", f"Python {text}", "install Python 3.11 or newer")
    return Check("ok", f"Python {text}")


def check_settings(loaded: Loaded) -> Iterator[Check]:
    for warning in loaded.warnings:
        yield Check("WARN", f"settings: {warning}", "./shadowgraph config show says where each value comes from")
    for require in (require_parts_fit, require_safe_secret):
        try:
            require(loaded.settings)
        except ShadowgraphError as error:
            yield Check("FAIL", f"settings: {error.message}", error.hint or "")


def check_storage(folder: Path) -> Check:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check("FAIL", f"storage {folder}: {error.strerror}", "make the folder writable, or set STORAGE_DIR")
    return judge_disk(folder, free)


def judge_disk(folder: Path, free_bytes: int) -> Check:
    what = f"storage {folder}: writable, {free_bytes / 1e9:,.1f} GB free"
    if free_bytes < NO_DISK_BYTES:
        return Check("FAIL", what, "free some space, or set STORAGE_DIR to another disk")
    return Check("WARN", what, "free some space") if free_bytes < LOW_DISK_BYTES else Check("ok", what)


def check_clock(clock: Clock, *, built: datetime) -> Check:
    """A clock that stands before this program was made is wrong."""
    now = f"{clock.now():%Y-%m-%d %H:%M} UTC"
    if clock.now() < built:
        return Check("WARN", f"clock: {now} is in the past", "set the clock (timedatectl set-ntp true)")
    return Check("ok", f"clock: {now}")


def check_port(loaded: Loaded) -> Check:
    settings = loaded.settings
    if server := find_server(settings):
        return Check("ok", f"server: runs at {server.url} (process {server.pid})")
    if is_free(settings.host, settings.port):
        return Check("ok", f"port {settings.port}: free")
    if loaded.sources["port"] == "default":
        return Check("ok", f"port {settings.port}: in use; up takes the next free one")
    return Check(
        "FAIL", f"port {settings.port}: in use", "set PORT to another one, or stop the program that listens there"
    )


def check_key(settings: Settings) -> Check:
    key = settings.groq_api_key.get_secret_value()
    if not key:
        return Check("ok", "model: the offline demo model (no GROQ_API_KEY)")
    if settings.groq_base_url:
        return Check("ok", f"model: {settings.groq_model} at {settings.groq_base_url}")
    if not key.startswith(GROQ_KEY_PREFIX) or len(key) < MIN_KEY_CHARACTERS:
        return Check(
            "FAIL",
            "model: GROQ_API_KEY is no Groq key, they begin with gsk_",
            "copy it again from console.groq.com/keys",
        )
    return Check("ok", f"model: {settings.groq_model} at Groq (--live asks whether the key works)")


def check_other_providers(settings: Settings) -> Iterator[Check]:
    for name in sorted(settings.keyed_providers - {"groq"}):
        missing = what_is_missing(name, settings)
        if missing:
            yield Check("WARN", f"provider {name}: has a key, but its library is not installed", missing)
        else:
            yield Check("ok", f"provider {name}: set up (shadowgraph routes test asks whether it answers)")


def check_broker_url(url: str) -> Check | None:
    """A broker's well-known user on another machine is anybody's."""
    parts = urlsplit(url)
    if (parts.username or "guest") == "guest" and not is_loopback_host(parts.hostname or "localhost"):
        return Check("WARN", f"broker: user guest on {parts.hostname}", "give Shadowgraph a RabbitMQ user of its own")
    return None


def check_redis(url: str) -> Check:
    try:
        answer = _ping_redis(url)
    except (OSError, ValueError) as error:
        return Check(
            "FAIL", f"redis: {urlsplit(url).hostname} cannot be reached: {error}", "start Redis, or correct REDIS_URL"
        )
    if not answer.startswith(b"+PONG"):
        return Check(
            "FAIL",
            f"redis: answers {answer.decode(errors='replace').strip()}",
            "correct user and password in REDIS_URL",
        )
    return Check("ok", "redis: answers")


def _ping_redis(url: str) -> bytes:
    """The last line that the server says."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("REDIS_URL is no redis:// address")
    with socket.create_connection((parts.hostname, parts.port or 6379), SOCKET_TIMEOUT_SECONDS) as plain:
        tls = parts.scheme == "rediss"
        link = ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname) if tls else plain
        credentials = [unquote(text) for text in (parts.username, parts.password) if text]
        if parts.password:
            link.sendall(_redis_command("AUTH", *credentials))
            refused = link.recv(1024)
            if not refused.startswith(b"+OK"):
                return refused
        link.sendall(_redis_command("PING"))
        return link.recv(1024)


def _redis_command(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)

"""Prints the Debian packages that the test suite needs and this machine lacks. The start script installs them where it may."""

import os
import shutil

from tests.support.private_servers import find_pgbouncer, find_postgresql_binary
from tests.support.services import POSTGRESQL, RABBITMQ, REDIS, Service


def missing_packages() -> list[str]:
    needed = {
        "bubblewrap": shutil.which("bwrap") is None,
        "curl": shutil.which("curl") is None,
        "pgbouncer": find_pgbouncer() is None,
        "postgresql": find_postgresql_binary("postgres") is None and not _answers_somewhere(POSTGRESQL),
        "rabbitmq-server": shutil.which("rabbitmq-server") is None and not _answers_somewhere(RABBITMQ),
        "redis-server": shutil.which("redis-server") is None and not _answers_somewhere(REDIS),
    }
    return [package for package, is_missing in needed.items() if is_missing]


def _answers_somewhere(service: Service) -> bool:
    return service.variable in os.environ or service.answers(service.standard_url)


if __name__ == "__main__":
    print(" ".join(missing_packages()))  # noqa: T201  the start script reads it

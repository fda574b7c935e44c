"""A PostgreSQL and its standby: the one may die, and the other be promoted."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.chaos.servers import OwnPostgres
from tests.support.private_servers import copy_postgresql
from tests.support.waiting import wait_until

NAME = "standby"


class PostgresPair:
    def __init__(self, folder: Path) -> None:
        homes = folder / "primary", folder / NAME
        for home in homes:
            home.mkdir()
            home.chmod(0o755)
        self.primary = OwnPostgres(homes[0])
        copy_postgresql(homes[1], self.primary.url)
        self.standby = OwnPostgres(homes[1])

    def stop(self) -> None:
        for server in (self.standby, self.primary):
            server.stop()

    def url_of_both(self, url: str) -> str:
        """Whichever of the two can be written, as libpq spells it."""
        servers = (self.primary, self.standby)
        query = {
            "host": ",".join("127.0.0.1" for _ in servers),
            "port": ",".join(str(server.port) for server in servers),
            "target_session_attrs": "read-write",
        }
        return urlunsplit(urlsplit(url)._replace(netloc="postgres@", query=urlencode(query)))

    def url_at_standby(self, url: str) -> str:
        return self.standby.url_of(urlsplit(url).path.strip("/"))

    async def make_synchronous(self) -> None:
        """From now on no commit is answered before the standby has it."""
        _set(self.primary, "synchronous_standby_names", "*")
        await wait_until(
            lambda: _value(self.primary, "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
            what="the standby to be synchronous",
        )

    async def cut_off(self) -> None:
        """The standby has all that was committed up to now, and will hear of nothing more."""
        await wait_until(
            lambda: _value(self.primary, "SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication"),
            what="the standby to have everything",
        )
        _set(self.standby, "primary_conninfo", "")
        await wait_until(
            lambda: not _value(self.primary, "SELECT count(*) FROM pg_stat_replication"),
            what="the standby to be cut off",
        )

    async def fail_over(self) -> None:
        """The primary dies, the standby is in charge."""
        await self.primary.kill()
        assert _value(self.standby, "SELECT pg_promote(wait => true)")


def _set(server: OwnPostgres, name: str, value: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        statement = sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
        connection.execute(statement)
        connection.execute("SELECT pg_reload_conf()")


def _value(server: OwnPostgres, query: str) -> Any:
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row and row[0]

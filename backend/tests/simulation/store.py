"""One database in memory, reached through the real `Database` and its real transactions, whose past can be brought back."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import StaticPool
from sqlalchemy.util import await_only

from shadowgraph.db.engine import Database
from shadowgraph.engine.claim import Claim
from tests.simulation.witness import install

JULIAN_DAY_OF_1970 = 2440587.5
MS_OF_A_DAY = 86_400_000

T = TypeVar("T")

writing_for: ContextVar[Claim | None] = ContextVar("writing_for", default=None)
"""The claim whose owner believes that this transaction is its right."""


class Died(Exception):
    """The process was killed here. The database rolls back what was open; nothing is cleaned up."""


@dataclass(slots=True)
class Accident:
    """What happens to one step of a schedule; nothing unless told."""

    dies_at: int | None = None
    """Before which of its statements the process is killed; a COMMIT counts as one."""
    cut_at: int | None = None
    """Before which of its statements the connection goes away, once."""
    loses_answer: bool = False
    """Its first commit arrives, but it hears `ConnectionResetError`."""
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """What others do between that commit and the error."""
    statements: int = 0
    """How many it has made."""

    def count_statement(self) -> None:
        """Errors: `Died`, from then on for every statement: the dead do nothing more. `ConnectionResetError`."""
        self.statements += 1
        if self.dies_at is not None and self.statements >= self.dies_at:
            raise Died
        if self.statements == self.cut_at:
            raise ConnectionResetError("the connection went away")

    async def befall_commit(self) -> None:
        """Errors: `ConnectionResetError` though the commit has arrived."""
        if not self.loses_answer:
            return
        self.loses_answer = False
        if self.meanwhile:
            await self.meanwhile()
        raise ConnectionResetError("the connection went away after COMMIT was sent")


async def _nothing() -> None:
    pass


class _InlineSqlite(SQLiteDialect_pysqlite):
    """The stock driver in the shape of an async one that never has to wait. A transaction is a savepoint inside what may be undone."""

    is_async = True
    supports_statement_cache = True
    _is_open = False
    on_statement: Callable[[], None] = staticmethod(lambda: None)

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.execute("SAVEPOINT work")
        self._is_open = True

    def do_commit(self, dbapi_connection: Any) -> None:
        try:
            self.on_statement()
        except Exception:
            self.do_rollback(dbapi_connection)  # SQLAlchemy takes the transaction for gone, as a server would
            raise
        dbapi_connection.execute("RELEASE work")
        self._is_open = False

    def do_rollback(self, dbapi_connection: Any) -> None:
        if self._is_open:  # SQLAlchemy also rolls back what it never began, when it looks at its first connection
            dbapi_connection.execute("ROLLBACK TO work")
            dbapi_connection.execute("RELEASE work")
        self._is_open = False

    def do_execute(self, cursor: Any, statement: Any, parameters: Any, context: Any = None) -> None:
        self.on_statement()
        await_only(_nothing())
        cursor.execute(statement, parameters)

    def do_executemany(self, cursor: Any, statement: Any, parameters: Any, context: Any = None) -> None:
        self.on_statement()
        await_only(_nothing())
        cursor.executemany(statement, parameters)


class _Cursor(sqlite3.Cursor):
    async def _async_soft_close(self) -> None:
        """SQLAlchemy asks this of the cursors of async drivers."""


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)


@dataclass(frozen=True, slots=True)
class _Counting:
    """The driver's connection as the code under test uses it itself."""

    raw: sqlite3.Connection
    accident: Accident

    def execute(self, statement: str, parameters: Any) -> sqlite3.Cursor:
        self.accident.count_statement()
        return self.raw.execute(statement, parameters)

    def executemany(self, statement: str, parameters: Any) -> sqlite3.Cursor:
        self.accident.count_statement()
        return self.raw.executemany(statement, parameters)


registry.register("sqlite.inline", __name__, "_InlineSqlite")


class Store(Database):
    """The database that all processes of a simulation share."""

    def __init__(self, schema: bytes, *, now_ms: Callable[[], int], on_commit: Callable[[Claim | None], None]) -> None:
        """`schema`: a migrated database, serialised."""
        super().__init__("sqlite:///never-opened.db")  # its own engines never connect: they would be threads
        self.accident = Accident()
        self.raw = sqlite3.connect(":memory:", isolation_level=None, factory=_Connection)
        self.raw.deserialize(schema)
        self._move_clock(now_ms)
        install(self.raw)
        pool: dict[str, Any] = {"poolclass": StaticPool, "pool_reset_on_return": None}
        engine = create_async_engine("sqlite+inline://", creator=lambda: self.raw, **pool)
        engine.sync_engine.dialect.on_statement = lambda: self.accident.count_statement()  # type: ignore[attr-defined]
        self._writer = self._reader = engine
        self._on_commit = on_commit
        self.raw.execute("BEGIN")

    def _move_clock(self, now_ms: Callable[[], int]) -> None:
        """`db.dialect.now_ms` asks for julianday('now'): from here on it is the simulation's time."""

        def julian_day(_moment: str) -> float:
            return JULIAN_DAY_OF_1970 + (now_ms() + 0.5) / MS_OF_A_DAY

        self.raw.create_function("julianday", 1, julian_day)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with super().write() as connection:
            yield connection
        self._on_commit(writing_for.get())
        await self.accident.befall_commit()

    async def run_in_driver(self, connection: AsyncConnection, work: Callable[[Any], T]) -> T:
        return work(_Counting(self.raw, self.accident))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What is written inside the block has not happened after it."""
        self.raw.execute("SAVEPOINT past")
        try:
            yield
        finally:
            self.raw.execute("ROLLBACK TO past")
            self.raw.execute("RELEASE past")

    async def close(self) -> None:
        await self._writer.dispose()
        self.raw.close()

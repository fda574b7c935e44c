"""Range partitions by run id on PostgreSQL. Run ids are UUIDv7, so a month of runs is a range of ids and retention is a DROP."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

PARTITIONED_TABLES = ("events", "llm_calls", "llm_attempts", "tool_calls", "steps")
MONTHS_AHEAD = 3
"""Made early: rows of a month without a partition go to the default one, and have to be moved when theirs is made."""


def run_id_bound(at: datetime) -> str:
    """The smallest run id of a run created at `at`."""
    milliseconds = f"{int(at.timestamp() * 1000):012x}"
    return f"run_{milliseconds[:8]}-{milliseconds[8:]}"


@dataclass(frozen=True, slots=True)
class Month:
    """One table's rows of the runs that began in one month."""

    table: str
    begins: datetime

    @property
    def name(self) -> str:
        return f"{self.table}_{self.begins:%Y_%m}"

    @property
    def ends(self) -> datetime:
        return datetime(self.begins.year + self.begins.month // 12, self.begins.month % 12 + 1, 1, tzinfo=UTC)

    @property
    def bounds(self) -> str:
        return f"FOR VALUES FROM ('{run_id_bound(self.begins)}') TO ('{run_id_bound(self.ends)}')"


def coming_months(today: datetime, *, months_ahead: int = MONTHS_AHEAD) -> Iterator[Month]:
    """The month of `today` and those after it, of every table."""
    begins = datetime(today.year, today.month, 1, tzinfo=UTC)
    for _ in range(months_ahead + 1):
        for table in PARTITIONED_TABLES:
            yield Month(table, begins)
        begins = Month("", begins).ends


def month_partitions(today: datetime) -> Iterator[str]:
    """CREATE statements for the coming months of a new database."""
    for month in coming_months(today):
        yield f"CREATE TABLE {month.name} PARTITION OF {month.table} {month.bounds}"


def fixed_partitions() -> Iterator[str]:
    """Gateway calls outside runs, events of no run, and a default for the rest."""
    for table in PARTITIONED_TABLES:
        yield f"CREATE TABLE IF NOT EXISTS {table}_gw PARTITION OF {table} FOR VALUES FROM ('gw_') TO ('gw`')"
        yield f"CREATE TABLE IF NOT EXISTS {table}_sys PARTITION OF {table} FOR VALUES FROM ('sys') TO ('syt')"
        yield f"CREATE TABLE IF NOT EXISTS {table}_rest PARTITION OF {table} DEFAULT"

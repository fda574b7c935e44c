from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, String, Table

from shadowgraph.db.dialect import IdColumn, UtcDateTime
from shadowgraph.models.base import metadata

budgets = Table(
    "budgets",
    metadata,
    Column("id", IdColumn, primary_key=True),
    Column("subject", String, nullable=False, comment="run, agent, workflow, version, owner, provider, everything"),
    Column("name", String, nullable=False, comment="which one of them; empty for everything"),
    Column("window", String, nullable=False, comment="run, day, month, total"),
    Column("limit_nano_usd", BigInteger, nullable=False),
    Column("action", String, nullable=False, comment="warn, pause, fail, fallback"),
    Column("seed_nano_usd", BigInteger, comment="what the setting said that made it; NULL: a person or a run made it"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("limit_nano_usd >= 0", name="limit"),
)
"""Limits. A run's own budget is a row like any other."""

Index("ux_budgets_what", budgets.c.subject, budgets.c.name, budgets.c.window, budgets.c.action, unique=True)

budget_periods = Table(
    "budget_periods",
    metadata,
    Column("budget_id", IdColumn, primary_key=True),
    Column("period", IdColumn, primary_key=True, comment="2026-08, 2026-08-14, the id of a run, or empty for total"),
    Column("spent_nano_usd", BigInteger, nullable=False, comment="by attempts that have ended"),
    Column("held_nano_usd", BigInteger, nullable=False, comment="for attempts under way"),
)
"""How much of a budget is gone, one row per window that somebody spent in."""

budget_holds = Table(
    "budget_holds",
    metadata,
    Column("id", IdColumn, primary_key=True),
    Column("budget_id", IdColumn, primary_key=True),
    Column("period", IdColumn, nullable=False),
    Column("amount_nano_usd", BigInteger, nullable=False, comment="0: the attempt is counted, not limited"),
    Column("run_id", IdColumn, nullable=False),
    Column("call_key", String, nullable=False),
    Column("request_hash", String, nullable=False),
    Column("n", Integer, nullable=False),
    Column(
        "expires_at", BigInteger, nullable=False, comment="ms of the database's clock; then it goes if no attempt began"
    ),
)
"""Money that is set aside for one attempt. What became of the attempt stands in the ledger: a hold whose attempt has ended is folded into
`spent_nano_usd` with the attempt's own cost, by whoever comes first."""

Index("ix_budget_holds_budget_id", budget_holds.c.budget_id)

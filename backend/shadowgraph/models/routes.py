from sqlalchemy import Column, Integer, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

routes = Table(
    "routes",
    metadata,
    Column("name", String, nullable=False),
    Column("number", Integer, nullable=False, comment="1, 2, …: rises with every change; attempts name it"),
    Column("targets", JsonColumn, comment="in order; NULL: from here on it is again as the settings say"),
    Column("when_no_key", String, nullable=False, comment="skip, fail"),
    Column("rate_limit", String, comment="requests, such as 30/minute; NULL: none"),
    Column("at", UtcDateTime, nullable=False),
    Column("changed_by", String, nullable=False),
    PrimaryKeyConstraint("name", "number"),
)
"""One row per change, never altered: the row with the highest number of a name is the route as it is now."""

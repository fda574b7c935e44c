from sqlalchemy import BigInteger, Column, Integer, Table

from shadowgraph.models.base import metadata

timelines = Table(
    "timelines",
    metadata,
    Column("timeline", Integer, primary_key=True, autoincrement=False, comment="as PostgreSQL numbers them"),
    Column(
        "promoted_at",
        BigInteger,
        comment="ms of the database's clock: our first contact; NULL for the one that we began with",
    ),
)

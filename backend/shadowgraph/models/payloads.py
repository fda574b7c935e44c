from sqlalchemy import BigInteger, Column, LargeBinary, String, Table

from shadowgraph.models.base import metadata

payloads = Table(
    "payloads",
    metadata,
    Column("sha256", String, primary_key=True, comment="64 hex digits of the body"),
    Column("media_type", String, nullable=False),
    Column("size", BigInteger, nullable=False, comment="bytes"),
    Column("body", LargeBinary, nullable=False),
)
"""Every large value: inputs, results, answers, artifact bodies. Written in the transaction of the row that refers to it."""

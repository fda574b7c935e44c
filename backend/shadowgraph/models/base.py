"""The one metadata object, and what several tables share."""

from typing import Any

from sqlalchemy import MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

PARTITIONED_BY_RUN: dict[str, Any] = {"postgresql_partition_by": "RANGE (run_id)"}
"""Run ids are time-ordered, so a range of ids is a month, and retention is a DROP (`runs/partitions.py`)."""

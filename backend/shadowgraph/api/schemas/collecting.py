"""What is old."""

from pydantic import Field

from shadowgraph.api.schemas.common import Received, Sent


class CollectParameters(Received):
    preview: bool = Field(False, description="Change nothing; say what would go.")


class RemovedRows(Sent):
    kind: str = Field(examples=["checkpoints"])
    rows: int
    bytes: int = Field(
        description="Of their bodies, where they have any; what the database needs around them is not counted."
    )


class Collected(Sent):
    preview: bool
    removed: list[RemovedRows]

"""What goes, and what is gone."""

from pydantic import Field

from shadowgraph.api.schemas.common import Received, Sent


class DeleteParameters(Received):
    cascade: bool = Field(
        False, description="Delete the forks along, and theirs; without it a run with forks is refused."
    )


class Deleted(Sent):
    run_ids: list[str]
    scrubbed: bool = Field(
        description="True: no byte of the texts is left in the database's files. False: nobody can read them any more, and the space is "
        "overwritten later: on PostgreSQL by its vacuum, in a SQLite file of more than 200 MB within the hour."
    )

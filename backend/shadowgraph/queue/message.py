"""What travels over the queue: hints. The rows are the truth, so a lost or doubled message is harmless."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shadowgraph.core.errors import Invalid

MESSAGE_VERSION = 1


class BadMessage(Invalid):
    """Not one of our messages, or of a version that we do not speak."""

    code = "bad_message"


class JobMessage(BaseModel):
    """Look at this row: there may be work."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1] = 1
    kind: Literal["run", "pair"] = "run"
    id: str = Field(pattern=r"^[a-z]+_[0-9a-f-]{36}$")
    why: str = Field(max_length=40)

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()

    @staticmethod
    def from_bytes(body: bytes) -> "JobMessage":
        """Errors: `BadMessage`."""
        try:
            return JobMessage.model_validate_json(body)
        except ValidationError as error:
            raise BadMessage(
                f"not a job message: {error.error_count()} errors, first: {error.errors()[0]['msg']}"
            ) from error


class LiveText(BaseModel):
    """Text of an answer that is still being written, as it arrives; the durable copy follows as `output.delta`."""

    model_config = ConfigDict(frozen=True)

    node: str
    superstep: int
    attempt: int
    call: str
    """Call key."""
    offset: int
    """Characters of this call's text before this piece."""
    text: str


class Wake(BaseModel):
    """Something about this run changed: look at its rows. Exactly one of the three says what."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    seq: int | None = None
    """New events up to this number are committed."""
    control: Literal["pause", "cancel"] | None = None
    """Somebody wants this; `runs.control` says it too."""
    live: LiveText | None = None

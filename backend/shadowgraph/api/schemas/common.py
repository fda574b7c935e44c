"""What several schemas share."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from shadowgraph.runs.inputs import is_storable

API_PREFIX = "/api/v1"
MAX_THREAD_ID_CHARACTERS = 200


class Received(BaseModel):
    """Comes from a client: what we do not know is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sent(BaseModel):
    """Goes to a client. Fields are only ever added: readers must accept fields and enum values that they do not know."""

    model_config = ConfigDict(frozen=True)


def _require_storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("has a NUL character or half of a surrogate pair")
    return text


def _require_utc_range(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


def _usd_number(amount: Decimal) -> float:
    return float(round(amount, 9))


def _require_thread_id(text: str) -> str:
    """It becomes part of a path, and clients swallow `.` and `..` there."""
    if not text.isprintable() or text in (".", "..") or text.strip(" /") != text:
        raise ValueError("is no thread id: printable text that neither begins nor ends with a space or a slash")
    return text


Text = Annotated[str, AfterValidator(_require_storable)]
Name = Annotated[Text, StringConstraints(min_length=1, max_length=200)]
ThreadId = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_THREAD_ID_CHARACTERS), AfterValidator(_require_thread_id)
]
MetadataKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}$")]
Moment = Annotated[AwareDatetime, AfterValidator(_require_utc_range)]
Usd = Annotated[
    Decimal, PlainSerializer(_usd_number, when_used="json"), WithJsonSchema({"type": "number", "minimum": 0})
]
"""A JSON number with at most nine decimals."""


class NoParameters(Received):
    """A route without query parameters: one that is sent all the same is a mistake of the caller."""

"""What routes ask for."""

import re
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request

from shadowgraph.api.schemas.common import NoParameters
from shadowgraph.api.services import ApiServices
from shadowgraph.costs.limits import CostsDisabled
from shadowgraph.runs.repository import RunNotFound

_RUN_ID = re.compile(r"run_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def get_services(request: Request) -> ApiServices:
    services: ApiServices = request.app.state.services
    return services


def get_run_id(
    run_id: Annotated[
        str, Path(description="Begins with run_.", examples=["run_019a0000-0000-7000-8000-000000000000"])
    ],
) -> str:
    """Errors: `RunNotFound` for what cannot be an id at all, before the database is asked."""
    return _require_run_id(run_id)


def get_other_id(
    other_id: Annotated[
        str, Path(description="The run to compare with.", examples=["run_019a0000-0000-7000-8000-000000000000"])
    ],
) -> str:
    """Errors: `RunNotFound`."""
    return _require_run_id(other_id)


def _require_run_id(text: str) -> str:
    if not _RUN_ID.match(text):
        raise RunNotFound(f"there is no run {text[:80]!r}", run_id=text[:80])
    return text


def refuse_parameters(_query: Annotated[NoParameters, Query()]) -> None:
    """For routes that take none."""


def require_costs(services: Annotated[ApiServices, Depends(get_services)]) -> None:
    """Errors: `CostsDisabled`."""
    if not services.settings.cost_tracking_enabled:
        raise CostsDisabled("cost tracking is switched off on this server", hint="unset COST_TRACKING_ENABLED")


Services = Annotated[ApiServices, Depends(get_services)]
RunIdPath = Annotated[str, Depends(get_run_id)]
OtherRunIdPath = Annotated[str, Depends(get_other_id)]
NO_PARAMETERS = [Depends(refuse_parameters)]
TRACKS_COSTS = [Depends(require_costs)]
"""For routes that show or limit what calls cost."""

IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="The same key and body within 24 hours give the same run.",
    ),
]
LastEventIdHeader = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=2**63 - 1, description="The last number that the client saw.")
]
IfMatchHeader = Annotated[
    str | None,
    Header(alias="If-Match", description="The ETag that the change is meant for; without it, whatever is there."),
]
IfNoneMatchHeader = Annotated[str | None, Header(alias="If-None-Match", description="ETags that the client has.")]
AcceptHeader = Annotated[str, Header(description="text/event-stream, or application/json for a page.")]

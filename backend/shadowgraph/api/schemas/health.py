from typing import Literal

from pydantic import Field

from shadowgraph.api.schemas.common import Sent


class Health(Sent):
    """The process answers."""

    status: Literal["ok"] = "ok"
    name: Literal["shadowgraph"] = "shadowgraph"
    version: str


class CheckResult(Sent):
    name: str
    ok: bool
    required: bool
    detail: str | None = Field(default=None, description="What is wrong.")
    hint: str | None = Field(default=None, description="How to mend it.")


class Readiness(Sent):
    status: Literal["ready", "degraded"] = Field(
        description="degraded: requests are served, but a part that helps is missing."
    )
    checks: list[CheckResult]

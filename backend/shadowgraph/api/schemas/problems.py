from pydantic import ConfigDict, Field

from shadowgraph.api.schemas.common import Sent


class ProblemPlace(Sent):
    pointer: str = Field(
        description="A JSON pointer into the body, `?name` of a query parameter, or the name of a header."
    )
    detail: str


class Problem(Sent):
    """An error (RFC 9457). A code may add members of its own, such as `state` and `possible`."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "/errors/run_not_found",
                    "title": "Run not found",
                    "status": 404,
                    "detail": "there is no run run_019a0000-0000-7000-8000-000000000000",
                    "instance": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000",
                    "code": "run_not_found",
                    "hint": "GET /api/v1/runs lists the runs; ids begin with run_.",
                    "request_id": "req_019a0000-0000-7000-8000-000000000001",
                    "retryable": False,
                }
            ]
        },
    )

    type: str = Field(description="Address of a page that explains the code.")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this request.")
    instance: str = Field(description="The path of the request.")
    code: str = Field(description="Stable; scripts may branch on it.")
    request_id: str | None = Field(description="Find it in the server's log.")
    retryable: bool = Field(description="True: the same request may succeed later.")
    hint: str | None = Field(default=None, description="What to do.")
    errors: list[ProblemPlace] | None = Field(default=None, description="Each place that is wrong.")

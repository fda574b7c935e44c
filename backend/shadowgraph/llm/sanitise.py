"""What goes to a model is cleaned and bounded, whoever built the request."""

from dataclasses import replace

from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.errors import Invalid
from shadowgraph.core.json import canonical
from shadowgraph.core.text import sanitise

MAX_REQUEST_BYTES = 8_000_000
"""More than any model's context in text; room for a few images. A request beyond it is a mistake in the graph."""


class RequestTooLarge(Invalid):
    code = "request_too_large"


def sanitise_request(request: LlmRequest) -> LlmRequest:
    """Errors: `RequestTooLarge`, `core.text.NotJson`."""
    clean = replace(
        request,
        messages=sanitise(request.messages),
        parameters=sanitise(request.parameters),
        tools=sanitise(request.tools),
        tool_choice=sanitise(request.tool_choice),
        output_schema=sanitise(request.output_schema),
    )
    size = len(canonical([clean.messages, clean.tools]))
    if size > MAX_REQUEST_BYTES:
        raise RequestTooLarge(
            f"the request of {request.agent!r} has {size:,} bytes, more than {MAX_REQUEST_BYTES:,}", agent=request.agent
        )
    return clean

"""What a model is told when its answer could not be used."""

from dataclasses import replace

from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.text import sanitise_text

MAX_REASON_CHARACTERS = 1_000


def with_feedback(request: LlmRequest, reason: str) -> LlmRequest:
    """For one attempt only: the call keeps the hash of the request that the author made."""
    text = (
        "Your previous answer could not be used: "
        f"{sanitise_text(reason, max_characters=MAX_REASON_CHARACTERS)}\nAnswer again and mend that."
    )
    return replace(request, messages=[*request.messages, {"role": "user", "content": text}])

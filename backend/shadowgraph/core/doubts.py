"""Tool calls in doubt: begun, and nobody saw the end. What a person is asked about one, and what the answers mean.

Pure. `tools` finds a doubt, `authoring` asks, `engine` keeps what was answered.
"""

from dataclasses import dataclass
from typing import Final

from shadowgraph.core.calls import Effect
from shadowgraph.core.errors import Conflict
from shadowgraph.core.json import Json, JsonObject, digest

REPEAT: Final = "repeat"
FAIL: Final = "fail"
RESULT: Final = "result"

ANSWER_SCHEMA: JsonObject = {
    "anyOf": [
        {"enum": [REPEAT, FAIL], "description": "repeat: call it again; fail: the node gets the error tool_in_doubt"},
        {
            "type": "object",
            "properties": {RESULT: {}},
            "required": [RESULT],
            "additionalProperties": False,
            "description": "it took effect, and this is its result",
        },
    ]
}
"""Of a person's answer."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One call in doubt, as far as a person has to know it."""

    id: str
    tool: str
    effect: Effect
    agent: str
    arguments: Json
    """Without secrets, shortened when they are long."""
    call_key: str


class ToolInDoubt(Conflict):
    """A call that changes something was begun and nobody saw its end. Repeating it could do it twice, so a person decides.

    `doubt`: what to ask; None: a person was asked and gave the call up.
    """

    code = "tool_in_doubt"

    def __init__(self, message: str, *, doubt: Doubt | None, hint: str, tool: str, call: str) -> None:
        super().__init__(message, hint=hint, tool=tool, call=call)
        self.doubt = doubt


def doubt_id(call_key: str, request_hash: str, settled: int) -> str:
    """Names one doubt about one call for good, so that no answer ever counts for another call or for a later doubt.

    Shape: 32 hex digits, as LangGraph's own interrupt ids. `settled`: how many doubts about this call were settled before.
    """
    return digest({"kind": "doubt", "call": call_key, "request": request_hash, "settled": settled})[:32]


def question_about(doubt: Doubt) -> JsonObject:
    return {
        "question": (
            f"Did this call of tool {doubt.tool!r} take effect? It was begun, and nobody saw its end. "
            'Answer "repeat" to call it again, {"result": …} when it took effect, or "fail" to give it up.'
        ),
        "reason": ToolInDoubt.code,
        "tool": doubt.tool,
        "effect": doubt.effect,
        "arguments": doubt.arguments,
        "agent": doubt.agent,
        "call": doubt.call_key,
    }

"""Questions of a graph: LangGraph's interrupts as interactions that wait for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.types import INTERRUPT
from langgraph.types import Interrupt
from pydantic import TypeAdapter

from shadowgraph.core.json import Json, JsonObject
from shadowgraph.engine.values import to_json

DEFAULT_DEADLINE_SECONDS = 7 * 86_400.0
"""How long a question waits when its author does not say."""
_KNOWN_KEYS = {"question", "schema", "default", "deadline_seconds"}


class NotAnswered(Exception):
    """The graph stands at questions that have no answer yet."""

    def __init__(self, questions: Sequence["Question"]) -> None:
        super().__init__(f"{len(questions)} questions wait for a person")
        self.questions = questions


@dataclass(frozen=True, slots=True)
class Question:
    interrupt_id: str
    value: Json
    """What the graph asked, whole."""
    schema: JsonObject | None
    default: JsonObject | None
    """{value}; None: there is no default answer."""
    deadline_seconds: float
    node: str | None = None


def read_question(interrupt: Interrupt, *, node: str | None) -> Question:
    """`interrupt(anything)` asks; an object may carry `schema`, `default` and `deadline_seconds` beside its `question`."""
    asked = interrupt.value if isinstance(interrupt.value, Mapping) else {}
    spoken = asked if "question" in asked else {}
    default = {"value": to_json(spoken["default"])} if "default" in spoken else None
    return Question(
        interrupt_id=interrupt.id,
        value=to_json(interrupt.value),
        schema=_schema(getattr(interrupt, "response_schema", None)) or _schema(spoken.get("schema")),
        default=default,
        deadline_seconds=_seconds(spoken.get("deadline_seconds")),
        node=node,
    )


def _schema(found: Any) -> JsonObject | None:
    """A JSON schema, or one of a type; what is neither is left out, so that the question can still be answered."""
    if found is None:
        return None
    schema = found if isinstance(found, Mapping) else TypeAdapter(found).json_schema()
    plain = to_json(schema)
    if not isinstance(plain, Mapping):
        return None
    try:
        Draft202012Validator.check_schema(dict(plain))
    except SchemaError:
        return None
    return plain


def _seconds(found: Any) -> float:
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and found > 0 else DEFAULT_DEADLINE_SECONDS


def pending_interrupts(found: CheckpointTuple) -> dict[str, Interrupt]:
    """By id: the questions of tasks that have not finished since."""
    finished = {task for task, channel, _ in found.pending_writes or () if not channel.startswith("__")}
    asked: dict[str, Interrupt] = {}
    for task, channel, value in found.pending_writes or ():
        if channel == INTERRUPT and task not in finished:
            for item in value if isinstance(value, list | tuple) else (value,):
                asked[item.id] = item
    return asked

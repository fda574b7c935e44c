"""The plan checked against the request, and the design that the coder follows."""

from typing import Any

from shadowgraph.agents.messages import as_text, conversation
from shadowgraph.agents.schemas import Validation
from shadowgraph.agents.state import PipelineState, inline
from shadowgraph.agents.structured import ask


async def executor(state: PipelineState) -> dict[str, Any]:
    task = conversation(
        "executor",
        "executor_task",
        request=state["query"],
        notes=as_text(state["notes"]),
        plan=as_text(state["plan"]),
    )
    return {"validation": inline(await ask("executor", task, answer=Validation))}

"""The plan: what kind of work it is, the steps, the files, and how one sees that it is done."""

from typing import Any

from shadowgraph.agents.messages import as_text, conversation
from shadowgraph.agents.schemas import Plan
from shadowgraph.agents.state import PipelineState, inline
from shadowgraph.agents.structured import ask


async def planner(state: PipelineState) -> dict[str, Any]:
    task = conversation("planner", "planner_task", request=state["query"], notes=as_text(state["notes"]))
    return {"plan": inline(await ask("planner", task, answer=Plan))}

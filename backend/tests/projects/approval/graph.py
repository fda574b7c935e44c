"""A small project with a person in the middle: it plans, drafts, asks whether to publish, and keeps what was published as a conversation.

START → plan → draft → approve (when `ask`) → publish → END
"""

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

ANSWER = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "why": {"type": "string"}},
    "required": ["approved"],
    "additionalProperties": False,
}
POLL_SECONDS = 0.01


class ApprovalInput(TypedDict):
    text: str
    ask: bool
    gate: str
    """A file that the draft waits for; empty: it waits for none."""


class ApprovalState(ApprovalInput, total=False):
    plan: str
    draft: str
    approved: bool
    conversation: Annotated[list[str], operator.add]


async def plan(state: ApprovalState) -> dict[str, Any]:
    return {"plan": f"a poem about {state['text']}"}


async def draft(state: ApprovalState) -> dict[str, Any]:
    while state["gate"] and not await asyncio.to_thread(Path(state["gate"]).exists):  # noqa: ASYNC110  another process opens it
        await asyncio.sleep(POLL_SECONDS)
    return {"draft": f"This is {state['plan']}.", "approved": True}


def choose(state: ApprovalState) -> Literal["approve", "publish"]:
    return "approve" if state["ask"] else "publish"


async def approve(state: ApprovalState) -> dict[str, Any]:
    answer = interrupt({"question": f"Publish this? {state['draft']}", "schema": ANSWER})
    return {"approved": answer["approved"]}


async def publish(state: ApprovalState) -> dict[str, Any]:
    return {"conversation": [state["draft"] if state["approved"] else "(not published)"]}


builder = StateGraph(ApprovalState, input_schema=ApprovalInput)
builder.add_node(plan)
builder.add_node(draft)
builder.add_node(approve)
builder.add_node(publish)
builder.add_edge(START, "plan")
builder.add_edge("plan", "draft")
builder.add_conditional_edges("draft", choose)
builder.add_edge("approve", "publish")
builder.add_edge("publish", END)
graph = builder.compile()

"""Writes a short briefing about a topic."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph

from shadowgraph import chat_model, prompt, tool


class Briefing(TypedDict, total=False):
    topic: str
    points: str
    text: str
    words: int


@tool(effect="pure")
def count_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


async def plan(state: Briefing) -> Briefing:
    answer = await chat_model("planner").ainvoke(prompt("planner").render(topic=state["topic"]))
    return {"points": answer.text}


async def write(state: Briefing) -> Briefing:
    task = prompt("writer").render(topic=state["topic"], points=state["points"])
    answer = await chat_model("writer").ainvoke(task)
    return {"text": answer.text}


async def measure(state: Briefing) -> Briefing:
    return {"words": await count_words.ainvoke({"text": state["text"]})}


builder = StateGraph(Briefing)
builder.add_node("plan", plan)
builder.add_node("write", write)
builder.add_node("measure", measure)
builder.add_edge(START, "plan")
builder.add_edge("plan", "write")
builder.add_edge("write", "measure")
builder.add_edge("measure", END)
graph = builder.compile()

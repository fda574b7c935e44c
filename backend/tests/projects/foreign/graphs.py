"""Graphs as people write them with LangGraph and LangChain, one of each kind; nothing here is made for the server that runs them.

A switch in the environment adds the optional lines: with `FOREIGN_LEVEL=L1` models and agents keep a journal.
"""

import asyncio
import operator
import os
from collections.abc import Callable
from typing import Annotated, Any, Literal

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool, tool
from langchain_groq import ChatGroq
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

IS_L1 = os.environ.get("FOREIGN_LEVEL") == "L1"


def own_model() -> ChatGroq:
    return ChatGroq(model="openai/gpt-oss-120b", max_retries=0)


def model(name: str) -> BaseChatModel:
    """For a node that asks by itself."""
    if not IS_L1:
        return own_model()
    from shadowgraph import chat_model

    return chat_model(name)


def middleware() -> list[AgentMiddleware[Any, Any, Any]]:
    """For agents, which keep their own model."""
    if not IS_L1:
        return []
    from shadowgraph import middleware as journal

    return [journal()]


def reading_tool(work: Callable[..., Any]) -> BaseTool:
    """One that changes nothing and may be repeated."""
    if not IS_L1:
        return tool(work)
    from shadowgraph import tool as journaled

    return journaled(effect="read")(work)


async def ask(name: str, text: str) -> str:
    answer = await model(name).ainvoke([HumanMessage(text)])
    return answer.text


# --- an agent with two tools ----------------------------------------------------------------------------------------------------


@reading_tool
def count_words(text: str) -> int:
    """How many words a text has."""
    return len(text.split())


@reading_tool
async def spell_backwards(text: str) -> str:
    """A text, its last letter first."""
    return text[::-1]


agent = create_agent(own_model(), tools=[count_words, spell_backwards], middleware=middleware())


# --- a supervisor of two agents -------------------------------------------------------------------------------------------------

counter = create_agent(own_model(), tools=[count_words], middleware=middleware(), name="counter")
speller = create_agent(own_model(), tools=[spell_backwards], middleware=middleware(), name="speller")


class Supervised(MessagesState):
    notes: Annotated[list[str], operator.add]
    todo: list[str]


async def supervise(state: Supervised) -> Command[Literal["counter", "speller", "__end__"]]:
    todo = state.get("todo", ["counter", "speller"])
    note = await ask("supervisor", f"Who should go on: {' or '.join(todo) or 'nobody'}?")
    if not todo:
        return Command(goto="__end__", update={"notes": [note]})
    chosen = next((name for name in todo if name in note), todo[0])
    return Command(goto=chosen, update={"notes": [note], "todo": [name for name in todo if name != chosen]})  # type: ignore[arg-type]


_supervisor = StateGraph(Supervised)
_supervisor.add_node("supervisor", supervise)
_supervisor.add_node("counter", counter)
_supervisor.add_node("speller", speller)
_supervisor.add_edge(START, "supervisor")
_supervisor.add_edge("counter", "supervisor")
_supervisor.add_edge("speller", "supervisor")
supervisor = _supervisor.compile()


# --- a fan-out that a reducer gathers -------------------------------------------------------------------------------------------


class Jokes(TypedDict, total=False):
    subjects: list[str]
    jokes: Annotated[list[str], operator.add]
    best: str


class Subject(TypedDict):
    subject: str


def each_subject(state: Jokes) -> list[Send]:
    return [Send("joke", Subject(subject=subject)) for subject in state["subjects"]]


async def joke(state: Subject) -> Jokes:
    return {"jokes": [await ask("joke", f"Tell a joke about {state['subject']}")]}


async def choose_best(state: Jokes) -> Jokes:
    return {"best": await ask("choose_best", "Which is the best?\n" + "\n".join(state["jokes"]))}


_fan_out = StateGraph(Jokes)
_fan_out.add_node(joke)
_fan_out.add_node(choose_best)
_fan_out.add_conditional_edges(START, each_subject, ["joke"])
_fan_out.add_edge("joke", "choose_best")
_fan_out.add_edge("choose_best", END)
fan_out = _fan_out.compile()


# --- a person in the middle -----------------------------------------------------------------------------------------------------


class Letter(TypedDict, total=False):
    topic: str
    draft: str
    verdict: str
    final: str


async def write_draft(state: Letter) -> Letter:
    return {"draft": await ask("write_draft", f"Draft a letter about {state['topic']}")}


async def ask_person(state: Letter) -> Letter:
    return {"verdict": interrupt({"question": "Send it?", "draft": state["draft"]})}


async def write_final(state: Letter) -> Letter:
    return {"final": await ask("write_final", f"The person says {state['verdict']}: {state['draft']}")}


_person = StateGraph(Letter)
_person.add_node(write_draft)
_person.add_node(ask_person)
_person.add_node(write_final)
_person.add_edge(START, "write_draft")
_person.add_edge("write_draft", "ask_person")
_person.add_edge("ask_person", "write_final")
_person.add_edge("write_final", END)
person = _person.compile()


# --- a graph in a graph ---------------------------------------------------------------------------------------------------------


class Section(TypedDict, total=False):
    heading: str
    facts: str
    text: str


class Report(TypedDict, total=False):
    heading: str
    text: str
    title: str


async def find_facts(state: Section) -> Section:
    return {"facts": await ask("find_facts", f"Facts about {state['heading']}")}


async def write_text(state: Section) -> Section:
    return {"text": await ask("write_text", f"A text from these facts: {state['facts']}")}


async def write_title(state: Report) -> Report:
    return {"title": await ask("write_title", f"A title for: {state['text']}")}


_section = StateGraph(Section)
_section.add_node(find_facts)
_section.add_node(write_text)
_section.add_edge(START, "find_facts")
_section.add_edge("find_facts", "write_text")
_section.add_edge("write_text", END)

_report = StateGraph(Report)
_report.add_node("section", _section.compile())
_report.add_node(write_title)
_report.add_edge(START, "section")
_report.add_edge("section", "write_title")
_report.add_edge("write_title", END)
subgraph = _report.compile()


# --- classes as state, and a loop -----------------------------------------------------------------------------------------------


class Round(BaseModel):
    number: int
    answer: str


class Debate(BaseModel):
    topic: str = Field(min_length=1)
    rounds: list[Round] = []
    wanted: int = 2


async def argue(state: Debate) -> dict[str, Any]:
    number = len(state.rounds) + 1
    answer = await ask("argue", f"Round {number} on {state.topic}")
    return {"rounds": [*state.rounds, Round(number=number, answer=answer)]}


def is_enough(state: Debate) -> Literal["argue", "__end__"]:
    return "argue" if len(state.rounds) < state.wanted else "__end__"


_debate = StateGraph(Debate)
_debate.add_node(argue)
_debate.add_edge(START, "argue")
_debate.add_conditional_edges("argue", is_enough)
pydantic_state = _debate.compile()


# --- without a word of async ----------------------------------------------------------------------------------------------------


class Text(TypedDict, total=False):
    text: str
    summary: str
    words: int
    verdict: str


def summarise(state: Text) -> Text:
    return {"summary": model("summarise").invoke([HumanMessage(f"Summarise: {state['text']}")]).text}


def count(state: Text) -> Text:
    return {"words": len(state["summary"].split())}


def judge(state: Text) -> Text:
    return {"verdict": model("judge").invoke([HumanMessage(f"Are {state['words']} words enough?")]).text}


_sync = StateGraph(Text)
_sync.add_node(summarise)
_sync.add_node(count)
_sync.add_node(judge)
_sync.add_edge(START, "summarise")
_sync.add_edge("summarise", "count")
_sync.add_edge("count", "judge")
_sync.add_edge("judge", END)
sync_only = _sync.compile()


# --- three calls at once in one node --------------------------------------------------------------------------------------------


class Views(TypedDict, total=False):
    topic: str
    views: list[str]


async def look_around(state: Views) -> Views:
    sides = ("for", "against", "undecided")
    return {"views": list(await asyncio.gather(*(ask("look_around", f"{side}: {state['topic']}") for side in sides)))}


_parallel = StateGraph(Views)
_parallel.add_node(look_around)
_parallel.add_edge(START, "look_around")
_parallel.add_edge("look_around", END)
parallel = _parallel.compile()

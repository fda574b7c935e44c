"""What undisturbed runs of the projects `faults` and `shapes` give, worked out without running them."""

from functools import cache
from typing import Any

from langchain_core.messages import HumanMessage

from shadowgraph.llm.offline.chat_model import OfflineChatModel
from shadowgraph.llm.offline.knobs import parse_knobs
from tests.chaos.world import ITEMS, ROUNDS
from tests.projects.faults.graph import CALLS, NODES


def expected_output(query: str = "lighthouses") -> dict[str, Any]:
    return {"log": [f"{node}: {_said(query, index)}" for node in NODES for index in range(CALLS.get(node, 1))]}


def expected_fan_out() -> dict[str, Any]:
    findings = [
        {"item": item, "round": number, "text": _answer(f"Round {number}: say one thing about {item}")}
        for number in range(1, ROUNDS + 1)
        for item in ITEMS
    ]
    lines = [f"{finding['round']} {finding['item']}: {finding['text']}" for finding in findings]
    return {
        "branch": "many",
        "opening": _answer(f"Introduce this long list: {', '.join(ITEMS)}"),
        "findings": findings,
        "report": "\n".join([f"{len(findings)} findings after {ROUNDS} rounds", *lines]),
    }


def _said(query: str, index: int) -> str:
    return _answer(f"Say one thing about {query}, number {index}")


@cache
def _answer(question: str) -> str:
    return str(OfflineChatModel(knobs=parse_knobs("")).invoke([HumanMessage(question)]).text)

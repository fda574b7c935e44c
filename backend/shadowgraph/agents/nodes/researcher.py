"""Notes on the request, with a web search only where the request needs outside knowledge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shadowgraph import tool
from shadowgraph.agents.messages import as_text, conversation
from shadowgraph.agents.schemas import ResearchNotes
from shadowgraph.agents.state import PipelineState, inline
from shadowgraph.agents.structured import ask

MAX_QUERIES = 3
MAX_QUERY_CHARACTERS = 200
RESULTS_PER_QUERY = 5


@dataclass(frozen=True, slots=True)
class Findings:
    results: Sequence[Mapping[str, Any]]
    unavailable: str
    """Why something could not be looked up; empty when the web answered."""


async def researcher(state: PipelineState) -> dict[str, Any]:
    notes = await ask(
        "researcher", conversation("researcher", "researcher_task", request=state["query"]), answer=ResearchNotes
    )
    if not notes.needs_search:
        return {"notes": inline(notes.model_copy(update={"sources": []})), "web": "", "sources": []}

    findings = await search(_queries(notes, request=state["query"]))
    if findings.results:
        task = conversation("researcher", "researcher_found", request=state["query"], results=as_text(findings.results))
        notes = await ask("researcher", task, answer=ResearchNotes)
    notes = notes.model_copy(update={"sources": known_sources(notes, findings)})
    return {"notes": inline(notes), "web": findings.unavailable, "sources": inline(notes)["sources"]}


def _queries(notes: ResearchNotes, *, request: str) -> list[str]:
    wanted = dict.fromkeys(filter(None, map(str.strip, notes.queries)))
    return list(wanted)[:MAX_QUERIES] or [request.strip()]


async def search(queries: Sequence[str]) -> Findings:
    """Stops at the first query that finds the web unreachable: the others would wait for the same time-out."""
    pages: dict[str, Mapping[str, Any]] = {}
    for query in queries:
        arguments = {"query": query[:MAX_QUERY_CHARACTERS], "max_results": RESULTS_PER_QUERY}
        found = await tool("web_search").ainvoke(arguments)
        if not found["available"]:
            return Findings(list(pages.values()), unavailable=found["reason"])
        pages |= {page["url"]: page for page in found["results"]}
    return Findings(list(pages.values()), unavailable="" if pages else "the search found nothing")


def known_sources(notes: ResearchNotes, findings: Findings) -> list[Any]:
    """Only pages that were found: a model may cite from memory, and wrongly."""
    urls = {result["url"] for result in findings.results}
    return [source for source in notes.sources if source.url in urls]

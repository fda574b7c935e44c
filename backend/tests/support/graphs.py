"""Small graphs without any model, and what runs them."""

import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.pregel import Pregel
from typing_extensions import TypedDict

from shadowgraph.core.sizes import MAX_OUTPUT_BYTES, MAX_STATE_BYTES
from shadowgraph.costs.prices import PriceBook
from shadowgraph.db.engine import Database
from shadowgraph.engine.checkpoints.savers import open_savers
from shadowgraph.engine.context import PortFactory
from shadowgraph.engine.projects import LoadedWorkflow, Project, input_schema_of
from shadowgraph.engine.session import DriverParts
from shadowgraph.engine.writer import Writer
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.queue.port import Wakeups
from tests.support.runs import CLOCK, NoPorts

Graph = Pregel[Any, Any, Any, Any]


class State(TypedDict, total=False):
    text: str
    log: Annotated[list[str], operator.add]


class Recorder:
    """Which nodes ran, in order."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def node(self, name: str) -> Any:
        async def run(state: State) -> State:
            self.ran.append(name)
            return {"log": [name]}

        return run


def chain(recorder: Recorder, *names: str) -> Graph:
    return line({name: recorder.node(name) for name in names})


def line(nodes: dict[str, Any], schema: Any = State) -> Graph:
    """One node after the other."""
    builder = StateGraph(schema)
    for before, name in zip((START, *nodes), nodes, strict=False):
        builder.add_node(name, nodes[name])
        builder.add_edge(before, name)
    builder.add_edge(list(nodes)[-1], END)
    return builder.compile()


def project(graph: Graph, *, workflow: str = "shapes", code_digest: str = "digest") -> Project:
    loaded = LoadedWorkflow(workflow, graph, input_schema_of(graph), {}, {}, "")
    return Project("test", Path("/nonexistent"), code_digest, {workflow: loaded})


@asynccontextmanager
async def driver_parts(
    database: Database,
    *,
    ports: PortFactory | None = None,
    wakeups: Wakeups | None = None,
    max_state_bytes: int = MAX_STATE_BYTES,
    max_output_bytes: int = MAX_OUTPUT_BYTES,
    prices: PriceBook | None = None,
) -> AsyncIterator[DriverParts]:
    async with open_savers(database.url, max_state_bytes=max_state_bytes) as savers:
        yield DriverParts(
            database,
            Writer(database),
            savers,
            ports or NoPorts(),
            wakeups or InProcessWakeups(),
            CLOCK,
            max_output_bytes=max_output_bytes,
            prices=prices or PriceBook(),
        )

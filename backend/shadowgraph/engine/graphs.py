"""How a graph is set up for a run and streamed."""

import asyncio
from collections.abc import Iterable
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.types import INTERRUPT
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl
from langgraph.types import Interrupt, StateSnapshot

from shadowgraph.core.errors import Invalid
from shadowgraph.core.places import RUN_KEY, find_task
from shadowgraph.engine.home import at_home
from shadowgraph.engine.interrupts import NotAnswered, Question, read_question
from shadowgraph.engine.projects import NODE_TIMEOUT_SECONDS
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.runs.run import Run

DEFAULT_MAX_STEPS = 100
"""Supersteps over all resumes, unless the run sets `max_steps`."""

STEP_TAG = "graph:step:"
"""LangGraph tags the call of a node itself so, and nothing below it."""


class StoppedEarly(Invalid):
    """The graph stood still without an error and without a question, and was not at its end: what it has so far is no result."""

    code = "stopped_early"


class StepObserver(AsyncCallbackHandler):
    """Writes down that a node begins, before its first line runs."""

    raise_error = True
    run_inline = True

    def __init__(self, recorder: RunRecorder, loop: asyncio.AbstractEventLoop) -> None:
        self._recorder = recorder
        self._loop = loop

    async def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: dict[str, Any],
        *,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not any(tag.startswith(STEP_TAG) for tag in tags or ()):
            return  # something that the node itself calls
        task = find_task(metadata or {})
        if task:
            await at_home(self._loop, self._recorder.start_step(task))


def with_saver(graph: Pregel[Any, Any, Any, Any], saver: BaseCheckpointSaver[str]) -> Pregel[Any, Any, Any, Any]:
    update: dict[str, Any] = {"checkpointer": saver}
    if graph.step_timeout is None:
        update["step_timeout"] = NODE_TIMEOUT_SECONDS
    return graph.copy(update=update)


def config_for(run: Run, recorder: RunRecorder, *, supersteps_done: int) -> RunnableConfig:
    limit = int(run.options.get("max_steps", DEFAULT_MAX_STEPS))
    return {
        "configurable": {"thread_id": run.checkpoint_thread, RUN_KEY: run.id},
        "recursion_limit": max(1, limit - supersteps_done),
        "callbacks": [StepObserver(recorder, asyncio.get_running_loop())],
    }


async def stream_graph(
    graph: Pregel[Any, Any, Any, Any], graph_input: Any, config: RunnableConfig, control: RunControl
) -> Any:
    """The last output state; None when there was nothing left to run.

    Errors: `NotAnswered` when the graph asks a person; whatever its nodes raise.
    """
    output = None
    asked: dict[str, Interrupt] = {}
    stream = graph.astream(
        graph_input,
        config,
        stream_mode="values",
        output_keys=graph.output_channels,
        durability="sync",
        control=control,
    )
    async for value in stream:
        if isinstance(value, dict) and INTERRUPT in value:
            asked |= {item.id: item for item in value[INTERRUPT]}
        else:
            output = value
    if asked:
        raise NotAnswered(await questions_of(graph, config, asked.values()))
    return output


async def questions_of(
    graph: Pregel[Any, Any, Any, Any], config: RunnableConfig, asked: Iterable[Interrupt]
) -> list[Question]:
    """Each with the node that asks: in a subgraph the inner one."""
    nodes = _asking_nodes(await graph.aget_state(config, subgraphs=True))
    return [read_question(item, node=nodes.get(item.id)) for item in asked]


def _asking_nodes(state: StateSnapshot) -> dict[str, str]:
    """By the interrupt's id. The library repeats what a subgraph asks in the task that called it."""
    nodes = {item.id: task.name for task in state.tasks for item in task.interrupts}
    for task in state.tasks:
        if isinstance(task.state, StateSnapshot):
            nodes |= _asking_nodes(task.state)
    return nodes


async def read_end(graph: Pregel[Any, Any, Any, Any], config: RunnableConfig) -> Any:
    """The output of a graph that has nothing left to do.

    Errors: `StoppedEarly`.
    """
    state = await graph.aget_state(config)
    if state.next:
        raise StoppedEarly(
            f"the graph stopped before {', '.join(state.next)}",
            hint="breakpoints (interrupt_before, interrupt_after) are not served; ask with interrupt() in a node",
        )
    values = state.values
    channels = graph.output_channels
    if isinstance(channels, str):
        return values.get(channels) if isinstance(values, dict) else values
    return {channel: values[channel] for channel in channels if channel in values}

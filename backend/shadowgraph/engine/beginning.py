"""Where a claim begins: at the input, at the run's own checkpoint, at another run's state, or at the answers of a person."""

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.types import Command
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.engine import Database
from shadowgraph.db.patience import read_patiently
from shadowgraph.engine.graphs import questions_of
from shadowgraph.engine.interrupts import NotAnswered, pending_interrupts
from shadowgraph.engine.projects import LoadedWorkflow
from shadowgraph.engine.seeding import Graph, Seed, is_fresh_turn, is_unedited_fork, load_fork, plant
from shadowgraph.runs.inputs import check_input, with_bytes
from shadowgraph.runs.interactions import load_answers
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.run import Run
from shadowgraph.runs.threads import find_predecessor


async def find_start(
    database: Database, run: Run, graph: Graph, saver: BaseCheckpointSaver[str], config: RunnableConfig
) -> CheckpointTuple | None:
    """The run's last checkpoint; a fork or a next turn that has none yet begins with a copy of another run's.

    Errors: `InvalidSeed`.
    """
    found = await saver.aget_tuple(config)
    if found is not None and not is_unedited_fork(found):
        return found
    seed = await read_patiently(database, lambda connection: _find_seed(connection, run))
    return await plant(graph, saver, config, seed) if seed else found


async def _find_seed(connection: AsyncConnection, run: Run) -> Seed | None:
    if run.seed is not None:
        return await load_fork(connection, run)
    if run.thread_id == run.id:
        return None
    before = await find_predecessor(connection, run)
    return Seed(before.checkpoint_thread, None, None, is_turn=True) if before else None


async def build_input(
    database: Database,
    run: Run,
    workflow: LoadedWorkflow,
    graph: Graph,
    config: RunnableConfig,
    found: CheckpointTuple | None,
) -> Any:
    """None goes on from the checkpoint: sending the input again would start over and append it to every reducer.

    Errors: `NotAnswered` when the graph stands at questions that nobody answered; `InvalidInput`.
    """
    if found is None or is_fresh_turn(found):
        value = await read_patiently(database, lambda connection: load_json(connection, run.input_ref))
        check_input(run.workflow, workflow.input_schema, value)
        return with_bytes(workflow.input_schema, value)
    asked = pending_interrupts(found)
    if not asked:
        return None
    answers = await read_patiently(database, lambda connection: load_answers(connection, run.id))
    given = {interrupt_id: answers[interrupt_id] for interrupt_id in asked if interrupt_id in answers}
    if not given:
        raise NotAnswered(await questions_of(graph, config, asked.values()))
    return Command(resume=given)

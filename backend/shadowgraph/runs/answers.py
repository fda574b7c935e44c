"""A person's answer to a run: to the question that it names, or to the only one that is open."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import Invalid
from shadowgraph.core.json import Json
from shadowgraph.runs.interactions import answer_interaction, list_open_questions
from shadowgraph.runs.lifecycle import wrong_state
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run


class AmbiguousAnswer(Invalid):
    """Several questions of the run are open; `interaction_ids` names them."""

    code = "ambiguous_answer"


async def answer_run(
    connection: AsyncConnection, run_id: str, interaction_id: str | None, value: Json, *, who: str, clock: Clock
) -> Run:
    """Errors: `AmbiguousAnswer`, `WrongState` when nothing is open and no question was named; else like `answer_interaction`."""
    if interaction_id is None:
        interaction_id = await _only_open_question(connection, run_id)
    return await answer_interaction(connection, run_id, interaction_id, value, who=who, clock=clock)


async def _only_open_question(connection: AsyncConnection, run_id: str) -> str:
    run = await require_run(connection, run_id)
    found = await list_open_questions(connection, run_id)
    if not found:
        raise wrong_state(run, "answer")
    if len(found) > 1:
        ids = [item.id for item in found]
        hint = f"name one as interaction_id: {', '.join(ids)}"
        raise AmbiguousAnswer(f"{len(ids)} questions of this run are open", hint=hint, interaction_ids=ids)
    return found[0].id

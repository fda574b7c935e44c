"""What differs between two runs: input, output, files, steps; and how they are related. All but the loading is pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.json import Json
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.repository import Artifact, Step, find_run, list_artifacts, list_steps, require_run
from shadowgraph.runs.run import Run

Change = Literal["added", "removed", "changed"]
"""As one goes from the first run to the other."""
Relation = Literal["same", "ancestor", "descendant", "siblings", "thread", "none"]
"""What the first run is to the other; siblings have an ancestor in common, `thread` is a conversation that both belong to."""

MAX_ANCESTORS = 100
WHOLE = ""
"""The key of a value that is no object."""


@dataclass(frozen=True, slots=True)
class ValueChange:
    key: str
    change: Change
    run: Json
    other: Json


@dataclass(frozen=True, slots=True)
class FileChange:
    path: str
    change: Change
    run_sha256: str | None
    other_sha256: str | None


@dataclass(frozen=True, slots=True)
class StepChange:
    """`changed`: the step ended otherwise, or returned something else."""

    superstep: int
    node: str
    path: str
    change: Change
    run_status: str | None
    other_status: str | None
    run_summary: str | None
    other_summary: str | None


@dataclass(frozen=True, slots=True)
class Lineage:
    relation: Relation
    common_ancestor: str | None
    """The nearest run that both descend from; may be one of the two."""


@dataclass(frozen=True, slots=True)
class Comparison:
    run: Run
    other: Run
    lineage: Lineage
    input: Sequence[ValueChange]
    output: Sequence[ValueChange]
    files: Sequence[FileChange]
    steps: Sequence[StepChange]


async def compare_runs(connection: AsyncConnection, run_id: str, other_id: str) -> Comparison:
    """Errors: `RunNotFound`."""
    run, other = await require_run(connection, run_id), await require_run(connection, other_id)
    return Comparison(
        run,
        other,
        find_lineage(run, other, await _ancestors(connection, run), await _ancestors(connection, other)),
        compare_values(await load_json(connection, run.input_ref), await load_json(connection, other.input_ref)),
        compare_values(await _output(connection, run), await _output(connection, other)),
        compare_files(await list_artifacts(connection, run_id), await list_artifacts(connection, other_id)),
        compare_steps(await list_steps(connection, run_id), await list_steps(connection, other_id)),
    )


async def _ancestors(connection: AsyncConnection, run: Run) -> list[str]:
    """Ids from its parent upwards; a deleted run ends the line."""
    found: list[str] = []
    current: Run | None = run
    while current and current.parent_run_id and len(found) < MAX_ANCESTORS:
        found.append(current.parent_run_id)
        current = await find_run(connection, current.parent_run_id)
    return found


async def _output(connection: AsyncConnection, run: Run) -> Any:
    """A run without a result has an empty output."""
    if run.result_ref is None:
        return {}
    result = await load_json(connection, run.result_ref)
    return result.get("output") if isinstance(result, Mapping) else result


def find_lineage(run: Run, other: Run, ancestors: Sequence[str], others: Sequence[str]) -> Lineage:
    line, other_line = [run.id, *ancestors], [other.id, *others]
    common = next((found for found in line if found in other_line), None)
    if run.id == other.id:
        return Lineage("same", common)
    if common == run.id:
        return Lineage("ancestor", common)
    if common == other.id:
        return Lineage("descendant", common)
    if common is not None:
        return Lineage("siblings", common)
    return Lineage("thread" if run.thread_id == other.thread_id else "none", None)


def compare_values(run: Json, other: Json) -> list[ValueChange]:
    """By the keys of the outermost object; anything else is one value under an empty key."""
    if not isinstance(run, Mapping) or not isinstance(other, Mapping):
        return [] if run == other else [ValueChange(WHOLE, "changed", run, other)]
    return [
        ValueChange(key, change, run.get(key), other.get(key))
        for key in _keys(run, other)
        if (change := _change(run, other, key))
    ]


def compare_files(run: Iterable[Artifact], other: Iterable[Artifact]) -> list[FileChange]:
    """By path, then by content."""
    before = {file.path: file.sha256 for file in run}
    after = {file.path: file.sha256 for file in other}
    return [
        FileChange(path, change, before.get(path), after.get(path))
        for path in sorted(_keys(before, after))
        if (change := _change(before, after, path))
    ]


def compare_steps(run: Iterable[Step], other: Iterable[Step]) -> list[StepChange]:
    """The last attempt of each; a fork has only the steps after its checkpoint."""
    before, after = _last_attempts(run), _last_attempts(other)
    endings = {key: _ending(step) for key, step in before.items()}
    others = {key: _ending(step) for key, step in after.items()}
    return [
        _step_change(key, change, before.get(key), after.get(key))
        for key in sorted(_keys(endings, others))
        if (change := _change(endings, others, key))
    ]


_StepKey = tuple[int, str, str]


def _last_attempts(steps: Iterable[Step]) -> dict[_StepKey, Step]:
    return {(step.superstep, step.node, step.path): step for step in steps}


def _ending(step: Step) -> tuple[str, str | None]:
    return step.status, step.output_ref


def _step_change(key: _StepKey, change: Change, run: Step | None, other: Step | None) -> StepChange:
    return StepChange(
        *key,
        change,
        run.status if run else None,
        other.status if other else None,
        run.summary if run else None,
        other.summary if other else None,
    )


def _keys(run: Mapping[Any, Any], other: Mapping[Any, Any]) -> list[Any]:
    return [*run, *(key for key in other if key not in run)]


def _change(run: Mapping[Any, Any], other: Mapping[Any, Any], key: Any) -> Change | None:
    if key not in run:
        return "added"
    if key not in other:
        return "removed"
    return "changed" if run[key] != other[key] else None

from pathlib import Path

import pytest

from shadowgraph.engine.loading.errors import BadProject
from shadowgraph.wiring.plan import (
    BUILT_IN_PROJECT,
    Isolation,
    NoWorkerProcesses,
    WorkOptions,
    WorkPlan,
    plan_work,
)

SLOTS = 4


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "langgraph.json").touch()
    return tmp_path


def places(plan: WorkPlan) -> list[tuple[str, int]]:
    return [(place.name, place.slots) for place in plan.places]


def test_without_wishes_all_is_served_here(mine: Path) -> None:
    plan = plan_work(WorkOptions([mine]), slots=SLOTS)

    assert (plan.here, plan.places) == ([BUILT_IN_PROJECT, mine], [])


def test_a_project_apart_leaves_the_built_in_one_here(mine: Path) -> None:
    plan = plan_work(WorkOptions([mine], Isolation.PROJECT, memory_mb=512), slots=SLOTS)

    assert plan.here == [BUILT_IN_PROJECT]
    assert places(plan) == [(mine.name, SLOTS)]
    assert plan.memory_bytes == 512 << 20


def test_workers_take_everything_from_this_process(mine: Path) -> None:
    plan = plan_work(WorkOptions([mine], Isolation.PROJECT, workers=2), slots=SLOTS)

    assert plan.here == []
    assert places(plan) == [
        ("built-in/1", SLOTS),
        ("built-in/2", SLOTS),
        (f"{mine.name}/1", SLOTS),
        (f"{mine.name}/2", SLOTS),
    ]


def test_a_process_for_each_slot(mine: Path) -> None:
    named = plan_work(WorkOptions([mine], Isolation.PROCESS), slots=SLOTS)
    alone = plan_work(WorkOptions([], Isolation.PROCESS), slots=SLOTS)

    assert named.here == [BUILT_IN_PROJECT]
    assert [slots for _, slots in places(named)] == [1] * SLOTS
    assert (alone.here, len(alone.places)) == ([], SLOTS)


def test_a_project_alone_leaves_nothing_here(mine: Path) -> None:
    plan = plan_work(WorkOptions([mine], Isolation.PROJECT, serves_built_in=False), slots=SLOTS)

    assert (plan.here, places(plan)) == ([], [(mine.name, SLOTS)])


def test_a_limit_of_memory_needs_a_process_to_limit(mine: Path) -> None:
    with pytest.raises(NoWorkerProcesses):
        plan_work(WorkOptions([mine], memory_mb=512), slots=SLOTS)


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadProject, match=r"has no langgraph\.json"):
        plan_work(WorkOptions([tmp_path / "nowhere"]), slots=SLOTS)

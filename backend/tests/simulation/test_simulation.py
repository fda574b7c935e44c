"""Some eighty schedules with every test run; the many are explored by `python -m tests.simulation`."""

import pytest

from tests.simulation.action import read_schedule, write_schedule
from tests.simulation.explorer import Violation, explore
from tests.simulation.replay import shorten, walk
from tests.simulation.schema import migrated_schema
from tests.support.fence import without_fence

SEEDS = (1, 2)
SCHEDULES = 40


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return migrated_schema(tmp_path_factory.mktemp("schema"))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_schedule_violates_a_rule(seed: int, schema: bytes) -> None:
    found = explore(seed, schema, limit=SCHEDULES)

    assert found.violation is None
    assert found.schedules == SCHEDULES
    assert min(found.seen["step"], found.seen["second"]) > 0, "nothing happened"


def test_the_same_seed_takes_the_same_course(schema: bytes) -> None:
    once, again = (explore(3, schema, limit=5) for _ in range(2))

    assert once.seen == again.seen


def test_without_the_fence_a_short_schedule_shows_what_it_is_for(schema: bytes) -> None:
    story = "a.poll a.beat b.poll second second second b.step.r2"

    with without_fence():
        violated, _ = walk(1, schema, read_schedule(story))
        short = shorten(Violation(1, violated, story), schema)
        again = walk(1, schema, read_schedule(short.schedule))[0]

    assert violated[0].startswith("only_the_owner_writes")
    assert len(short.schedule.split()) < len(story.split())
    assert again == short.found


def test_a_schedule_can_be_written_down_and_read_again() -> None:
    text = "a.poll a.step.r1!3 second a.step.r1?[second second b.poll] relay~2"

    assert write_schedule(read_schedule(text)) == text


def test_a_frozen_worker_that_wakes_up_after_a_takeover_writes_nothing(schema: bytes) -> None:
    story = "a.take.r1 a.poll second second second second b.poll a.step.r1 a.step.r2 a.beat"

    violations, lines = walk(1, schema, read_schedule("relay " + story))

    assert not violations
    assert any("run.taken_over" in line for line in lines)
    assert lines[lines.index("a.step.r1") + 1] == "a.step.r2", "the first step of the one that woke up wrote something"

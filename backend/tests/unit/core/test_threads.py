import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from shadowgraph.core.threads import hand_on

run: ContextVar[str | None] = ContextVar("run", default=None)
place: ContextVar[str | None] = ContextVar("place", default=None)


@pytest.fixture(autouse=True)
def _handed_on() -> None:
    hand_on(run)


def _see(found: list[tuple[str | None, str | None]]) -> None:
    found.append((run.get(), place.get()))


def test_a_thread_knows_the_run_of_whoever_started_it_and_nothing_else() -> None:
    found: list[tuple[str | None, str | None]] = []
    in_run, in_place = run.set("a"), place.set("node")

    thread = threading.Thread(target=_see, args=(found,))
    thread.start()
    thread.join()
    place.reset(in_place)
    run.reset(in_run)

    assert found == [("a", None)]


def test_a_thread_with_a_run_method_of_its_own_knows_it_too() -> None:
    found: list[tuple[str | None, str | None]] = []

    class Own(threading.Thread):
        def run(self) -> None:
            _see(found)

    token = run.set("a")
    thread = Own()
    thread.start()
    thread.join()
    run.reset(token)

    assert found == [("a", None)]


def test_a_thread_of_a_pool_knows_the_run_of_each_piece_of_work() -> None:
    found: list[tuple[str | None, str | None]] = []
    with ThreadPoolExecutor(1) as pool:
        for name in ("a", "b", None):
            token = run.set(name)
            pool.submit(_see, found).result()
            run.reset(token)

    assert [seen for seen, _ in found] == ["a", "b", None]


def test_what_a_pools_work_sets_is_gone_afterwards() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(place.set, "left behind").result()
        assert pool.submit(place.get).result() is None


def test_handing_on_again_changes_nothing() -> None:
    before = (threading.Thread.start, ThreadPoolExecutor.submit)

    hand_on(run)

    assert (threading.Thread.start, ThreadPoolExecutor.submit) == before

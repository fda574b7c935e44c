"""A connection to the broker that does not come about leaves nothing behind: no socket, no task, nothing that is collected half open."""

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from shadowgraph.queue.port import QueueUnavailable
from shadowgraph.queue.rabbitmq import RabbitMqQueue
from tests.support.private_servers import free_port
from tests.support.proxy import proxy_to
from tests.support.tasks import no_tasks_left
from tests.support.waiting import wait_until

HANDSHAKE_ANSWERS = 3
"""What the broker says until a connection is open: start, tune, open-ok."""
STEPS = 12
"""Of the event loop after an answer came; by then the next question is out."""

Fail = Callable[[str], Coroutine[Any, Any, BaseException]]
"""Fails to connect to this broker. As long as the error lives, so does all that it refers to."""


async def refused_password(broker_url: str) -> BaseException:
    address = broker_url.rpartition("@")[2]
    return await failure_at(f"amqp://nobody:wrong-secret@{address}")


async def unreachable_host(broker_url: str) -> BaseException:
    return await failure_at(f"amqp://guest:guest@127.0.0.1:{free_port()}/")


async def cancelled_connect(broker_url: str) -> BaseException:
    async with proxy_to(broker_url, default_port=5672) as proxy:
        proxy.freeze()
        failing = asyncio.create_task(failure_at(proxy.url(broker_url)))
        await wait_until(lambda: proxy.connections)
        failing.cancel()
        return await failing


async def failure_at(url: str) -> BaseException:
    with pytest.raises((QueueUnavailable, asyncio.CancelledError)) as failure:
        await RabbitMqQueue(url).check()
    return failure.value


@pytest.mark.parametrize("fail", [refused_password, unreachable_host, cancelled_connect])
def test_connection_that_failed_is_collected_in_silence_where_no_event_loop_runs(broker_url: str, fail: Fail) -> None:
    with asyncio.Runner() as runner, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        error = runner.run(fail(broker_url))
        asyncio.set_event_loop(None)

        del error
        gc.collect()

    assert [str(warning.message) for warning in told] == []


@pytest.mark.parametrize("answers", range(1, HANDSHAKE_ANSWERS + 1))
async def test_connect_that_is_cancelled_at_any_step_of_the_handshake_leaves_no_task(
    broker_url: str, answers: int
) -> None:
    for steps in range(STEPS):
        async with proxy_to(broker_url, default_port=5672) as proxy, no_tasks_left():
            queue = RabbitMqQueue(proxy.url(broker_url))
            checking = asyncio.create_task(queue.check())
            for _ in iter(lambda: proxy.answers >= answers, True):
                await asyncio.sleep(0)
            for _ in range(steps):
                await asyncio.sleep(0)

            checking.cancel()

            await asyncio.gather(checking, return_exceptions=True)
            await queue.close()

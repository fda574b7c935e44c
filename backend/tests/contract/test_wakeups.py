"""What every wake-up adapter promises, and what the one over the broker promises while the broker is away."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aio_pika
import pytest

from shadowgraph.core.ids import new_run_id
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.queue.message import LiveText, Wake
from shadowgraph.queue.port import Wakeups
from shadowgraph.queue.rabbitmq import RabbitMqWakeups
from shadowgraph.queue.topology import Topology
from tests.support.private_servers import free_port
from tests.support.proxy import TcpProxy, proxy_to
from tests.support.tasks import no_tasks_left
from tests.support.waiting import wait_until

CAPACITY = 3
OpenWakeups = Callable[[], Wakeups]
"""Another process's end of the same wake-ups; each subscriber holds `CAPACITY` of them."""


@asynccontextmanager
async def closing_all(open_wakeups: OpenWakeups) -> AsyncIterator[OpenWakeups]:
    opened: list[Wakeups] = []

    def open_and_remember() -> Wakeups:
        opened.append(open_wakeups())
        return opened[-1]

    async with no_tasks_left():
        yield open_and_remember
        for wakeups in opened:
            await wakeups.close()


@pytest.fixture(params=["inprocess", "rabbitmq"])
async def open_wakeups(request: pytest.FixtureRequest) -> AsyncIterator[OpenWakeups]:
    if request.param == "rabbitmq":
        url, prefix = (str(request.getfixturevalue(name)) for name in ("broker_url", "queue_prefix"))
        factory: OpenWakeups = lambda: RabbitMqWakeups(url, prefix=prefix, capacity=CAPACITY)  # noqa: E731
    else:
        shared = InProcessWakeups(capacity=CAPACITY)
        factory = lambda: shared  # noqa: E731
    async with closing_all(factory) as opening:
        yield opening


async def hear_probe(sender: Wakeups, receiver: Wakeups) -> None:
    """Until news goes from one to the other; what was sent before may be lost."""
    run_id = new_run_id()
    async with receiver.subscribe(run_id) as wakes:
        reading = asyncio.ensure_future(anext(wakes))

        async def probe() -> bool:
            await sender.publish(Wake(run_id=run_id))
            return reading.done()

        await wait_until(probe, what="a subscriber that hears")


async def read(wakes: AsyncIterator[Wake], count: int) -> list[Wake]:
    async with asyncio.timeout(5):
        return [await anext(wakes) for _ in range(count)]


class TestEveryAdapter:
    async def test_news_reaches_subscribers_in_every_process_whole(self, open_wakeups: OpenWakeups) -> None:
        sender, other = open_wakeups(), open_wakeups()
        await hear_probe(sender, other)
        await hear_probe(sender, sender)
        run_id = new_run_id()
        live = LiveText(node="coder", superstep=4, attempt=1, call="c", offset=9, text="größer")
        sent = [Wake(run_id=run_id, seq=3), Wake(run_id=run_id, control="cancel"), Wake(run_id=run_id, live=live)]

        async with sender.subscribe(run_id) as here, other.subscribe(run_id) as there, other.subscribe(run_id) as also:
            for wake in sent:
                await sender.publish(wake)

            assert [await read(wakes, 3) for wakes in (here, there, also)] == [sent] * 3

    async def test_subscriber_of_one_run_hears_nothing_of_others(self, open_wakeups: OpenWakeups) -> None:
        wakeups = open_wakeups()
        await hear_probe(wakeups, wakeups)
        mine, foreign = Wake(run_id=new_run_id(), seq=1), Wake(run_id=new_run_id(), seq=1)

        async with wakeups.subscribe(mine.run_id) as of_mine, wakeups.subscribe() as of_all:
            await wakeups.publish(foreign)
            await wakeups.publish(mine)

            assert await read(of_mine, 1) == [mine]
            seen = await read(of_all, 2)
            while mine not in seen:  # late probes
                seen += await read(of_all, 1)
            assert foreign in seen

    async def test_slow_subscriber_loses_the_oldest(self, open_wakeups: OpenWakeups) -> None:
        wakeups = open_wakeups()
        await hear_probe(wakeups, wakeups)
        run_id = new_run_id()

        async with wakeups.subscribe(run_id) as slow, wakeups.subscribe(run_id) as quick:
            for seq in range(CAPACITY + 2):
                await wakeups.publish(Wake(run_id=run_id, seq=seq))
                await read(quick, 1)
            kept = await read(slow, CAPACITY)

        assert [wake.seq for wake in kept] == [2, 3, 4]

    async def test_read_that_was_given_up_loses_nothing(self, open_wakeups: OpenWakeups) -> None:
        wakeups = open_wakeups()
        await hear_probe(wakeups, wakeups)
        run_id = new_run_id()

        async with wakeups.subscribe(run_id) as wakes:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(wakes), 0.01)
            await wakeups.publish(Wake(run_id=run_id, seq=1))
            received = await read(wakes, 1)

        assert [wake.seq for wake in received] == [1]

    async def test_publishing_after_the_end_is_silent(self, open_wakeups: OpenWakeups) -> None:
        wakeups = open_wakeups()
        await hear_probe(wakeups, wakeups)

        await wakeups.close()

        await wakeups.publish(Wake(run_id=new_run_id()))


class TestBrokerAway:
    async def test_publishing_neither_raises_nor_waits(self) -> None:
        async with no_tasks_left():
            wakeups = RabbitMqWakeups(f"amqp://guest:guest@127.0.0.1:{free_port()}/")

            async with asyncio.timeout(1), wakeups.subscribe():
                for seq in range(5_000):
                    await wakeups.publish(Wake(run_id="run", seq=seq))

            await wakeups.close()

    async def test_news_flows_again_after_the_connection_was_cut(self, broker_url: str, queue_prefix: str) -> None:
        async with proxy_to(broker_url, default_port=5672) as proxy, no_tasks_left():
            wakeups = RabbitMqWakeups(proxy.url(broker_url), prefix=queue_prefix)
            await hear_probe(wakeups, wakeups)
            connections = proxy.connections

            await cut_and_hear(proxy, wakeups)

            assert proxy.connections > connections
            await wakeups.close()

    async def test_news_of_other_programs_is_ignored(
        self, broker_url: str, queue_prefix: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "shadowgraph")
        wakeups = RabbitMqWakeups(broker_url, prefix=queue_prefix)
        await hear_probe(wakeups, wakeups)

        async with await aio_pika.connect(broker_url) as connection, connection.channel() as channel:
            exchange = await channel.get_exchange(Topology(queue_prefix).wake_exchange)
            await exchange.publish(aio_pika.Message(b"\xff not ours"), "")
        await wait_until(lambda: "a wake-up that is not ours" in caplog.text)

        await hear_probe(wakeups, wakeups)
        assert "failed" not in caplog.text
        await wakeups.close()


async def cut_and_hear(proxy: TcpProxy, wakeups: RabbitMqWakeups) -> None:
    await proxy.cut()
    await hear_probe(wakeups, wakeups)

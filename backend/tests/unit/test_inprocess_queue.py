import asyncio

from shadowgraph.core.ids import new_run_id
from shadowgraph.queue.inprocess import InProcessQueue
from shadowgraph.queue.message import JobMessage


class Consumer:
    """Works in a task of its own."""

    def __init__(self, queue: InProcessQueue, *pools: str) -> None:
        self.ids: list[str] = []
        self.task = asyncio.create_task(queue.consume(self._hear, pools=pools))

    async def _hear(self, message: JobMessage) -> None:
        self.ids.append(message.id)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def publish(queue: InProcessQueue, pool: str | None) -> str:
    message = JobMessage(id=new_run_id(), why="created")
    await queue.publish(message, message_id="1", pool=pool)
    return message.id


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_consumers_of_a_pool_take_turns() -> None:
    queue = InProcessQueue()
    first, second = Consumer(queue, "a"), Consumer(queue, "a")
    await settle()

    sent = []
    for _ in range(4):
        sent.append(await publish(queue, "a"))
        await settle()

    assert (first.ids, second.ids) == (sent[::2], sent[1::2])
    await first.stop()
    await second.stop()


async def test_message_for_which_a_consumer_was_woken_that_leaves_goes_to_another() -> None:
    queue = InProcessQueue()
    leaving, staying = Consumer(queue, "a", "b"), Consumer(queue, "b")
    await settle()

    sent = await publish(queue, "b")
    await leaving.stop()
    await settle()

    assert (leaving.ids, staying.ids) == ([], [sent])
    await staying.stop()


async def test_messages_of_several_pools_come_in_the_order_in_which_they_were_sent() -> None:
    queue = InProcessQueue()
    sent = [await publish(queue, pool) for pool in ("b", "a", None, "b", "a")]

    consumer = Consumer(queue, "a", "b")
    await settle()

    assert consumer.ids == sent
    await consumer.stop()


async def test_of_a_pool_without_consumers_the_newest_are_kept() -> None:
    queue = InProcessQueue(capacity=2)
    sent = [await publish(queue, "dead") for _ in range(3)]
    alive = await publish(queue, "alive")

    consumer = Consumer(queue, "alive")
    await settle()
    late = Consumer(queue, "dead")
    await settle()

    assert (consumer.ids, late.ids) == ([alive], sent[1:])
    await consumer.stop()
    await late.stop()

import asyncio
from contextlib import suppress

from shadowgraph.queue.delivery import Mailbox


async def test_items_come_out_in_order() -> None:
    mailbox: Mailbox[int] = Mailbox(10)
    for item in (1, 2, 3):
        mailbox.put(item)

    assert [await mailbox.get() for _ in range(3)] == [1, 2, 3]


async def test_full_mailbox_drops_the_oldest() -> None:
    mailbox: Mailbox[int] = Mailbox(2)

    for item in (1, 2, 3):
        mailbox.put(item)

    assert [await mailbox.get() for _ in range(2)] == [2, 3]


async def test_each_waiting_reader_gets_one_item() -> None:
    mailbox: Mailbox[int] = Mailbox(10)
    readers = [asyncio.create_task(mailbox.get()) for _ in range(3)]
    await asyncio.sleep(0)

    for item in (1, 2, 3):
        mailbox.put(item)

    assert await asyncio.gather(*readers) == [1, 2, 3]


async def test_item_of_a_reader_that_is_cancelled_as_it_wakes_goes_to_the_next() -> None:
    mailbox: Mailbox[int] = Mailbox(10)
    leaving, staying = (asyncio.create_task(mailbox.get()) for _ in range(2))
    await asyncio.sleep(0)

    mailbox.put(1)
    leaving.cancel()

    async with asyncio.timeout(1):
        assert await staying == 1
    with suppress(asyncio.CancelledError):
        await leaving


async def test_reader_that_was_cancelled_early_is_forgotten() -> None:
    mailbox: Mailbox[int] = Mailbox(10)
    leaving, staying = (asyncio.create_task(mailbox.get()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving

    mailbox.put(1)

    async with asyncio.timeout(1):
        assert await staying == 1

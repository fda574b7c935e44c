"""Cleaning up at shared servers: only what carries this test's prefix."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aio_pika
import redis

from shadowgraph.queue.topology import Topology
from shadowgraph.wiring.plan import BUILT_IN_PROJECT

PROJECTS = Path(__file__).parents[1] / "projects"
TEST_POOL = "test"
"""Of workers and messages that belong to no project of a folder."""


def delete_topology(url: str, prefix: str) -> None:
    """Deletes the exchanges and queues of this prefix; those that do not exist are no error. Queues of unknown pools go by themselves, unused."""
    pools = [None, TEST_POOL, BUILT_IN_PROJECT.name, *(folder.name for folder in PROJECTS.iterdir() if folder.is_dir())]

    async def delete() -> None:
        topology = Topology(prefix)
        queues = [topology.dead_queue, *(topology.dispatch_queue(pool).name for pool in pools)]
        async with await aio_pika.connect(url, timeout=5) as connection, connection.channel() as channel:
            for queue in queues:
                await channel.queue_delete(queue)
            for exchange in (topology.exchange, topology.wake_exchange):
                await channel.exchange_delete(exchange)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, delete()).result()


def delete_redis_keys(url: str, prefix: str) -> None:
    """Never FLUSHDB: the server may be somebody's."""
    client = redis.Redis.from_url(url)
    try:
        for key in client.scan_iter(match=f"{prefix}*"):
            client.delete(key)
    finally:
        client.close()

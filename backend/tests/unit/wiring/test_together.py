import asyncio

import pytest

from shadowgraph.wiring.common import NotEmbedded, together


async def test_the_first_error_is_raised_as_it_is_and_ends_the_others() -> None:
    ended = asyncio.Event()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise NotEmbedded("planted")

    async def stay() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(NotEmbedded):
        await together(stay(), fail())

    assert ended.is_set()

"""A provider with a steady hand: streams `TOKENS` words, one every `TOKEN_SECONDS`, and notes when each stream's first one left.

python -m benchmarks.model_server PORT
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from time import time
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Header
from fastapi.responses import StreamingResponse

TOKENS = 50
TOKEN_SECONDS = 0.02
FIRST_TOKEN_SECONDS = 0.2

app = FastAPI()
first_tokens: dict[str, float] = {}
"""Unix time, by the run that asked."""


@app.post("/openai/v1/chat/completions")
async def complete(x_shadowgraph_call: Annotated[str, Header()] = "bare") -> StreamingResponse:
    return StreamingResponse(_answer(x_shadowgraph_call), media_type="text/event-stream")


@app.get("/first-tokens")
async def list_first_tokens() -> dict[str, float]:
    return first_tokens


async def _answer(call: str) -> AsyncIterator[str]:
    yield _chunk({"role": "assistant", "content": ""})
    await asyncio.sleep(FIRST_TOKEN_SECONDS)
    due = asyncio.get_running_loop().time()
    for n in range(TOKENS):
        first_tokens.setdefault(call, time())
        yield _chunk({"content": f"word{n} "})
        due += TOKEN_SECONDS
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
    yield _chunk(
        {}, finish_reason="stop", usage={"prompt_tokens": 5, "completion_tokens": TOKENS, "total_tokens": TOKENS + 5}
    )
    yield "data: [DONE]\n\n"


def _chunk(delta: dict[str, Any], *, finish_reason: str | None = None, usage: dict[str, int] | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "steady", "choices": [choice]}
    if usage:
        body["x_groq"] = {"id": "c1", "usage": usage}
    return f"data: {json.dumps(body)}\n\n"


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="error", http="h11")

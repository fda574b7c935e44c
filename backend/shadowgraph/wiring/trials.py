"""Asks models one short question each, to see whether they answer: no run, no journal, no second try."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.clock import Clock, SystemClock
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.settings import Settings
from shadowgraph.llm.answer import Answer
from shadowgraph.llm.classify import classify
from shadowgraph.llm.routes import FixedRoutes
from shadowgraph.llm.targets import Candidate, Targets
from shadowgraph.wiring.models import open_targets

QUESTION = "Answer with the word: ready"
MAX_TOKENS = 64
"""Room for what some models think before they answer."""
PATIENCE_SECONDS = 30.0


async def try_targets(settings: Settings, models: Sequence[str]) -> list[dict[str, Any]]:
    """`models`: `provider:model`, in order. Each result says `model`, `ok`, `seconds` and, in words, `detail`."""
    clock = SystemClock()
    async with open_targets(settings, FixedRoutes([])) as targets:
        return [await _try(targets, model, clock) for model in models]


async def _try(targets: Targets, model: str, clock: Clock) -> dict[str, Any]:
    request = LlmRequest(
        agent="trial",
        model=model,
        messages=[{"role": "user", "content": QUESTION}],
        parameters={"max_tokens": MAX_TOKENS},
    )
    began = clock.monotonic()
    try:
        [candidate] = (await targets.plan(request)).candidates
        detail, is_ok = await _ask(candidate, request), True
    except ShadowgraphError as error:
        detail, is_ok = " ".join(filter(None, (error.message, error.hint))), False
    except Exception as error:  # noqa: BLE001  a provider's library may raise anything, and that is the finding
        detail, is_ok = classify(error, now=clock.now).message, False
    return {"model": model, "ok": is_ok, "seconds": round(clock.monotonic() - began, 3), "detail": detail}


async def _ask(candidate: Candidate, request: LlmRequest) -> str:
    answer = Answer(candidate.target)
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        aclosing(candidate.provider.stream(request, candidate.target, headers={})) as stream,
    ):
        async for chunk in stream:
            answer.add(chunk)
    completion = answer.to_completion(request)
    return f"{completion.model}: {completion.text.strip() or '(no text)'}"

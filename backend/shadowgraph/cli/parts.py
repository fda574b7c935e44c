"""What `doctor` can tell about the parts that the work needs: database, presence, broker, sandbox, the provider."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from shadowgraph.cli.checks import Check, check_broker_url
from shadowgraph.cli.provider import check_key_live
from shadowgraph.core.clock import Clock, SystemClock
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.settings import Loaded, Settings
from shadowgraph.db.dialect import now_ms, plain_url
from shadowgraph.db.engine import build_sync_engine
from shadowgraph.db.migrate import current_revision, newest_revision
from shadowgraph.tools.sandbox import sandbox_status
from shadowgraph.wiring.common import build_queue
from shadowgraph.wiring.recovery import describe_slow_recovery
from shadowgraph.worker.presence import Presence

MAX_CLOCK_DIFFERENCE_SECONDS = 2.0
"""Leases use the database's clock alone; a larger difference makes times in lists and logs misleading."""


async def check_parts(loaded: Loaded, *, is_live: bool) -> list[Check]:
    return [check async for check in _checks(loaded.settings, is_live=is_live)]


async def _checks(settings: Settings, *, is_live: bool) -> AsyncIterator[Check]:
    database = await asyncio.to_thread(check_database, settings)
    yield database
    if database.level != "FAIL" and not settings.is_embedded:
        yield await asyncio.to_thread(check_database_clock, settings, SystemClock())
        yield await check_presence(settings)
    if settings.broker_url and not settings.is_embedded:
        yield await check_broker(settings)
    if is_live and settings.groq_api_key.get_secret_value():
        yield await check_key_live(settings)
    yield await check_sandbox()


def check_database(settings: Settings) -> Check:
    url = settings.effective_database_url
    name = f"database {url}"
    try:
        if settings.is_embedded and not Path(plain_url(url)).exists():
            return Check("ok", f"{name}: will be made at the first start")
        found = current_revision(url)
    except (SQLAlchemyError, OSError, ValueError) as error:
        why = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        return Check("FAIL", f"{name}: {why}", "start the database, or correct DATABASE_URL")
    return judge_revision(name, found=found, needed=newest_revision(), is_embedded=settings.is_embedded)


def judge_revision(name: str, *, found: str | None, needed: str, is_embedded: bool) -> Check:
    """A newer schema is fine: migrations expand first and contract a release later."""
    if found is not None and found >= needed:
        return Check("ok", f"{name}: schema {found}")
    what = f"{name}: schema {found or 'none'}, this version needs {needed}"
    if is_embedded:
        return Check("ok", f"{what}; up brings it there")
    return Check("FAIL", what, "./shadowgraph migrate")


def check_database_clock(settings: Settings, clock: Clock) -> Check:
    engine = build_sync_engine(settings.effective_database_url)
    try:
        with engine.connect() as connection:
            theirs = connection.execute(select(now_ms())).scalar_one() / 1000
    finally:
        engine.dispose()
    difference = abs(theirs - clock.now().timestamp())
    if difference > MAX_CLOCK_DIFFERENCE_SECONDS:
        return Check("WARN", f"clock: {difference:.0f} s away from the database's", "let both machines use NTP")
    return Check("ok", "clock: agrees with the database's")


async def check_presence(settings: Settings) -> Check:
    """Whether a dead worker is noticed at once."""
    presence = Presence(settings.effective_direct_url, seen_through_url=settings.effective_database_url)
    try:
        async with presence.held():
            works = presence.number is not None
    except (SQLAlchemyError, OSError) as error:
        return Check("FAIL", f"presence: {type(error).__name__} at DATABASE_DIRECT_URL", "correct DATABASE_DIRECT_URL")
    if works:
        return Check("ok", "presence: a dead worker is noticed within a second")
    what = f"presence: session locks do not work through this pooler; {describe_slow_recovery(settings)}"
    return Check("WARN", what, "set DATABASE_DIRECT_URL to the database itself")


async def check_broker(settings: Settings) -> Check:
    queue = build_queue(settings)
    try:
        await queue.check()
    except ShadowgraphError as error:
        fix = "start RabbitMQ, or correct BROKER_URL; until then workers poll"
        return Check("FAIL", f"broker: {error.message}", fix)
    finally:
        await queue.close()
    return check_broker_url(settings.broker_url) or Check("ok", "broker: answers")


async def check_sandbox() -> Check:
    status = await sandbox_status()
    if status.available:
        return Check("ok", "sandbox: generated code is run in it")
    return Check("WARN", f"sandbox: generated code is written but not run: {status.reason}", status.fix)

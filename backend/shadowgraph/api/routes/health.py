"""Is the process alive, and can it do its work? For load balancers, start scripts and people."""

import asyncio
import logging
from importlib.metadata import version

from fastapi import APIRouter

from shadowgraph.api.deps import NO_PARAMETERS, Services
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.schemas.health import CheckResult, Health, Readiness
from shadowgraph.api.services import ReadinessCheck
from shadowgraph.core.errors import Unavailable

log = logging.getLogger(__name__)

router = APIRouter(tags=["health"], dependencies=NO_PARAMETERS)

CHECK_SECONDS = 2.0
"""A part that has not answered by then counts as missing."""
MAX_DETAIL_CHARACTERS = 300


class NotReady(Unavailable):
    code = "not_ready"


@router.get("/healthz", response_model=Health, summary="Is the process alive?", responses=problems())
async def get_health() -> Health:
    """Asks no other part."""
    return Health(version=version("shadowgraph"))


@router.get("/readyz", response_model=Readiness, summary="Can it do its work?", responses=problems("not_ready"))
async def get_readiness(services: Services) -> Readiness:
    """503 names the part that is missing and says how to mend it. `degraded`: a part is missing without which work goes on."""
    if services.stopping.is_set():
        raise NotReady("the server is stopping", checks=[])
    results = await asyncio.gather(*map(_run_check, services.checks))
    missing = [result for result in results if not result.ok]
    needed = [result for result in missing if result.required]
    if needed:
        raise NotReady(
            "; ".join(f"{result.name}: {result.detail}" for result in needed),
            hint=" ".join(result.hint or "" for result in needed),
            checks=[result.model_dump() for result in results],
        )
    return Readiness(status="degraded" if missing else "ready", checks=list(results))


async def _run_check(check: ReadinessCheck) -> CheckResult:
    try:
        await asyncio.wait_for(check.probe(), CHECK_SECONDS)
    except TimeoutError:
        return _failed(check, f"no answer within {CHECK_SECONDS:g} s")
    except Exception as error:  # noqa: BLE001  whatever it raises is the finding
        log.warning("the %s check failed: %s", check.name, error)
        return _failed(check, str(error) or type(error).__name__)
    return CheckResult(name=check.name, ok=True, required=check.is_required)


def _failed(check: ReadinessCheck, detail: str) -> CheckResult:
    return CheckResult(
        name=check.name,
        ok=False,
        required=check.is_required,
        detail=detail[:MAX_DETAIL_CHARACTERS],
        hint=check.hint,
    )

"""Which models answer, as live configuration, and how they are."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path

from shadowgraph.api.deps import NO_PARAMETERS, Services
from shadowgraph.api.json_bodies import JsonRoute
from shadowgraph.api.problem_responses import BODY, problems
from shadowgraph.api.schemas.common import API_PREFIX
from shadowgraph.api.schemas.model_routes import (
    BreakerList,
    BreakerState,
    ModelRoute,
    NewRoute,
    NewTarget,
    RemovedRoute,
    RouteList,
    TargetState,
)
from shadowgraph.core.settings import OFFLINE, Settings
from shadowgraph.llm.providers.known import what_is_missing
from shadowgraph.llm.routes import Route, RouteTarget, parse_target, seed_route
from shadowgraph.reliability.breaker import State
from shadowgraph.runs import breakers, routes
from shadowgraph.runs.routes import Change, RouteNotFound
from shadowgraph.runs.service import LOCAL_OWNER

router = APIRouter(tags=["routes"], route_class=JsonRoute, dependencies=NO_PARAMETERS)

RouteName = Annotated[
    str,
    Path(
        description="As agents name it: letters, - and _, so that no model is taken for a route.",
        examples=["default"],
        pattern=r"^[a-z][a-z_-]{0,63}$",
    ),
]


@router.get("/routes", response_model=RouteList, summary="List routes", responses=problems())
async def list_routes(services: Services) -> RouteList:
    """The default one first. `answered_by` says which model calls go to now."""
    return RouteList(items=await _load(services))


@router.get("/routes/{name}", response_model=ModelRoute, summary="Show a route", responses=problems("route_not_found"))
async def get_route(name: RouteName, services: Services) -> ModelRoute:
    """Its targets in order, whether each is set up here, and how its breaker is."""
    return await _require(services, name)


@router.put(
    "/routes/{name}",
    response_model=ModelRoute,
    summary="Make or change a route",
    responses=problems("route_changed", "origin_not_allowed", *BODY),
)
async def set_route(name: RouteName, new: NewRoute, services: Services) -> ModelRoute:
    """The whole route anew. Calls that begin a second later follow it, in all processes; a target that refused its key is tried again."""
    await _change(services, name, new)
    return await _require(services, name)


@router.delete(
    "/routes/{name}",
    response_model=RemovedRoute,
    summary="Remove a route",
    responses=problems("route_not_found", "route_changed", "origin_not_allowed"),
)
async def remove_route(name: RouteName, services: Services) -> RemovedRoute:
    """The default one is then again as the settings say."""
    await _require(services, name)
    await _change(services, name, None)
    return RemovedRoute(name=name)


@router.get("/health/breakers", response_model=BreakerList, summary="List breakers", responses=problems())
async def list_breakers(services: Services) -> BreakerList:
    """Of the targets that were ever found ill. All processes share them."""
    async with services.database.read() as connection:
        found = await breakers.list_breakers(connection)
    return BreakerList(items=[_build_breaker(breaker) for breaker in found])


async def _change(services: Services, name: str, new: NewRoute | None) -> None:
    database = services.database
    async with database.write() as connection:
        await routes.change_route(
            connection,
            database.dialect,
            Change(
                name=name,
                number=await routes.next_number(connection, name),
                targets=None if new is None else tuple(map(_target, new.targets)),
                when_no_key="skip" if new is None else new.when_no_key,
                rate_limit=None if new is None else new.rate_limit,
                at=services.clock.now(),
                changed_by=LOCAL_OWNER,
            ),
        )


def _target(new: NewTarget) -> RouteTarget:
    return RouteTarget(parse_target(new.model), new.first_token_seconds, new.total_seconds, new.context_tokens)


async def _require(services: Services, name: str) -> ModelRoute:
    """Errors: `RouteNotFound`."""
    found = next((route for route in await _load(services) if route.name == name), None)
    if found is None:
        raise RouteNotFound(f"there is no route {name!r}", route=name)
    return found


async def _load(services: Services) -> list[ModelRoute]:
    seed = seed_route(services.settings.default_models)
    async with services.database.read() as connection:
        found = await routes.list_routes(connection, seed)
        states = {
            f"{breaker.provider}:{breaker.model}": breaker.state for breaker in await breakers.list_breakers(connection)
        }
    return [_build_route(route, change, services.settings, states) for route, change in found]


def _build_route(route: Route, change: Change | None, settings: Settings, states: Mapping[str, State]) -> ModelRoute:
    targets = [_build_target(target, settings, states) for target in route.targets]
    return ModelRoute(
        name=route.name,
        number=route.number,
        targets=targets,
        when_no_key=route.when_no_key,
        rate_limit=route.rate_limit,
        answered_by=_answered_by(route, targets),
        changed_at=change.at if change else None,
        changed_by=change.changed_by if change else None,
        links={"self": f"{API_PREFIX}/routes/{quote(route.name)}"},
    )


def _build_target(target: RouteTarget, settings: Settings, states: Mapping[str, State]) -> TargetState:
    missing = what_is_missing(target.target.provider, settings)
    return TargetState(
        model=str(target.target),
        first_token_seconds=target.first_token_seconds,
        total_seconds=target.total_seconds,
        context_tokens=target.context_tokens,
        set_up=missing is None,
        missing=missing,
        breaker=states.get(str(target.target), "closed"),
    )


def _answered_by(route: Route, targets: list[TargetState]) -> str | None:
    if route.when_no_key == "fail" and not all(target.set_up for target in targets):
        return None
    return next((target.model for target in targets if target.set_up), OFFLINE)


def _build_breaker(breaker: breakers.Breaker) -> BreakerState:
    return BreakerState(
        provider=breaker.provider,
        model=breaker.model,
        state=breaker.state,
        open_seconds=breaker.open_seconds,
        failures=breaker.failures,
        error=breaker.error,
        opened_at=breaker.opened_at,
        changed_at=breaker.changed_at,
    )

"""Prices that people set."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query

from shadowgraph.api.deps import NO_PARAMETERS, TRACKS_COSTS, Services
from shadowgraph.api.json_bodies import JsonRoute
from shadowgraph.api.money_views import build_overrides, build_price
from shadowgraph.api.problem_responses import BODY, problems
from shadowgraph.api.schemas.prices import NewPrice, Price, PriceList, RemovedPrices, WhichPrice
from shadowgraph.core.errors import NotFound
from shadowgraph.costs.ledger import Which, list_models
from shadowgraph.costs.overrides import list_overrides, remove_overrides, set_override
from shadowgraph.costs.prices import Override, UnitPrices
from shadowgraph.runs.service import LOCAL_OWNER

router = APIRouter(tags=["costs"], route_class=JsonRoute, dependencies=TRACKS_COSTS)

USED_DAYS = 30


class PriceNotFound(NotFound):
    code = "price_not_found"


@router.get(
    "/prices",
    response_model=PriceList,
    summary="List prices",
    dependencies=NO_PARAMETERS,
    responses=problems("costs_disabled"),
)
async def list_prices(services: Services) -> PriceList:
    """Those that people set, and what the models of the last 30 days cost now. An unknown price is null, never 0."""
    now = services.clock.now()
    async with services.database.read() as connection:
        stored = await list_overrides(connection)
        used = await list_models(connection, Which(since=now - timedelta(days=USED_DAYS)))
    services.prices.replace(item.override for item in stored)
    overridden = {(item.override.provider, item.override.model) for item in stored}
    others = [
        build_price(provider, model, services.prices.unit_prices(provider, model, at=now), is_used=True)
        for provider, model in used
        if (provider, model) not in overridden
    ]
    return PriceList(items=[*build_overrides(stored, used=frozenset(used)), *others])


@router.post(
    "/prices",
    response_model=Price,
    summary="Set a price",
    dependencies=NO_PARAMETERS,
    responses=problems("costs_disabled", "origin_not_allowed", *BODY),
)
async def set_price(new: NewPrice, services: Services) -> Price:
    """Takes the place of one for the same model from the same moment on. Workers reckon with it within a second; what is in the ledger stays
    as it is."""
    cached = None if new.cached_usd is None else Decimal(str(new.cached_usd))
    units = UnitPrices(
        Decimal(str(new.prompt_usd)), Decimal(str(new.completion_usd)), cached, Decimal(str(new.call_usd))
    )
    override = Override(new.provider, new.model, units, new.valid_from)
    database = services.database
    async with database.write() as connection:
        await set_override(connection, database.dialect, override, who=LOCAL_OWNER, at=services.clock.now())
    price = build_price(new.provider, new.model, (units, "override"), is_used=False)
    return price.model_copy(update={"valid_from": new.valid_from})


@router.delete(
    "/prices",
    response_model=RemovedPrices,
    summary="Remove a price",
    responses=problems("price_not_found", "costs_disabled", "origin_not_allowed"),
)
async def remove_price(which: Annotated[WhichPrice, Query()], services: Services) -> RemovedPrices:
    """All that people set for this model; what it costs is then what the provider reports or the price list says."""
    async with services.database.write() as connection:
        removed = await remove_overrides(connection, provider=which.provider, model=which.model)
    if not removed:
        raise PriceNotFound(f"nobody has set a price for {which.provider}:{which.model}")
    return RemovedPrices(removed=removed)

"""The worker half: projects, gateway, tools and the engine. Importing this module imports the graph library."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from shadowgraph.core.ids import WorkerId
from shadowgraph.core.settings import Settings
from shadowgraph.engine.checkpoints.savers import open_savers
from shadowgraph.engine.session import DriverParts
from shadowgraph.engine.writer import Writer
from shadowgraph.wiring.children import Nursery, children_at_work, open_nursery
from shadowgraph.wiring.common import Base, open_base, require_distributed
from shadowgraph.wiring.money import live_prices, seed_budgets
from shadowgraph.wiring.plan import WorkOptions, WorkPlan, name_of, plan_work
from shadowgraph.wiring.ports import open_ports
from shadowgraph.wiring.projects import load_projects
from shadowgraph.wiring.stopping import until_stopped
from shadowgraph.wiring.versions import register_first_versions
from shadowgraph.worker.draining import DRAIN_SECONDS
from shadowgraph.worker.worker import Worker, WorkerSettings


async def serve_worker(settings: Settings, *, on_ready: Callable[[str], None], options: WorkOptions) -> None:
    """Until SIGTERM or SIGINT; then it drains. `on_ready` gets one line that says what it runs.

    Errors: `NotEmbedded`, `SchemaOutdated`, `BadProject`, `NoWorkerProcesses`.
    """
    plan = plan_work(options, slots=settings.worker_slots)
    async with open_nursery(plan) as nursery:
        await require_distributed(settings)
        async with open_base(settings) as base:
            await _work(base, plan, nursery, on_ready)


async def _work(base: Base, plan: WorkPlan, nursery: Nursery | None, on_ready: Callable[[str], None]) -> None:
    async with AsyncExitStack() as stack:
        lines = []
        children = None
        if nursery:
            children = await stack.enter_async_context(children_at_work(base, plan, nursery))
            names = sorted({name_of(place.project) for place in plan.places})
            lines.append(f"{len(plan.places)} worker processes for {', '.join(names)}")
        if plan.here:
            worker = await stack.enter_async_context(worker_half(base, plan.here))
            lines.insert(0, worker.describe())
        on_ready("; ".join(lines))
        await until_stopped()
        if children:
            children.ask_to_stop()  # so that they drain while this process does


@asynccontextmanager
async def worker_half(
    base: Base, projects: Sequence[Path], *, drain_seconds: float | None = None, worker_id: WorkerId | None = None
) -> AsyncIterator[Worker]:
    """A worker beside whatever else the process does. `drain_seconds` None: as long as a server drains."""
    loaded = await load_projects(base, projects)
    await register_first_versions(base, loaded)
    await seed_budgets(base)
    async with (
        open_savers(base.database.url, max_state_bytes=base.settings.max_state_bytes) as savers,
        live_prices(base) as prices,
        open_ports(base.settings, clock=base.clock, prices=prices, database=base.database) as ports,
    ):
        parts = DriverParts(
            base.database,
            Writer(base.database),
            savers,
            ports,
            base.wakeups,
            base.clock,
            max_output_bytes=base.settings.max_output_bytes,
            prices=prices,
            tracks_costs=base.settings.cost_tracking_enabled,
        )
        worker_settings = _worker_settings(base.settings, drain_seconds=drain_seconds)
        worker = Worker(parts, loaded, base.queue, worker_settings, worker_id=worker_id)
        async with worker.running():
            yield worker


def _worker_settings(settings: Settings, *, drain_seconds: float | None) -> WorkerSettings:
    return WorkerSettings(
        slots=settings.worker_slots,
        lease_seconds=settings.lease_seconds,
        build=version("shadowgraph"),
        direct_url=settings.effective_direct_url,
        drain_seconds=DRAIN_SECONDS if drain_seconds is None else drain_seconds,
    )

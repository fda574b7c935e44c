"""The worker half: projects, gateway, tools and the engine. Importing this module imports the graph library."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

from shadowgraph.core.ids import WorkerId
from shadowgraph.core.settings import Settings
from shadowgraph.engine.checkpoints.savers import open_savers
from shadowgraph.engine.pinned import PinnedFiles
from shadowgraph.engine.projects import Project
from shadowgraph.engine.session import DriverParts
from shadowgraph.engine.writer import Writer
from shadowgraph.runs.workers import register_unknown_workflow
from shadowgraph.wiring.beginning import Beginning
from shadowgraph.wiring.children import STDERR, Nursery, children_at_work, open_nursery
from shadowgraph.wiring.code import Code, keep_tree, load_code
from shadowgraph.wiring.code_workers import code_workers_at_work
from shadowgraph.wiring.common import Base, background, open_base, require_distributed
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


async def serve_code(settings: Settings, code: Code, *, on_ready: Callable[[str], None]) -> None:
    """The same for the code of one version, in the environment that this process is in.

    Errors: `NotEmbedded`, `SchemaOutdated`, `Unloadable`, `BadProject`.
    """
    await require_distributed(settings)
    async with open_base(settings) as base, code_worker_half(base, code) as worker:
        on_ready(worker.describe())
        await until_stopped()


async def _work(base: Base, plan: WorkPlan, nursery: Nursery | None, on_ready: Callable[[str], None]) -> None:
    async with AsyncExitStack() as stack:
        lines = []
        children = None
        beginning = Beginning([], [name_of(place.project) for place in plan.places])
        if nursery:
            audience = beginning.overhear(STDERR)
            children = await stack.enter_async_context(children_at_work(base, plan, nursery, audience=audience))
            names = sorted({name_of(place.project) for place in plan.places})
            lines.append(f"{len(plan.places)} worker processes for {', '.join(names)}")
        if plan.here:
            worker = await stack.enter_async_context(worker_half(base, plan.here))
            lines.insert(0, worker.describe())
        on_ready("; ".join(lines))
        await stack.enter_async_context(code_workers_at_work(base, plan, after=beginning.wait))
        await until_stopped()
        if children:
            children.ask_to_stop()  # so that they drain while this process does


@asynccontextmanager
async def worker_half(
    base: Base,
    projects: Sequence[Path],
    *,
    drain_seconds: float | None = None,
    worker_id: WorkerId | None = None,
    register: Callable[[Base, Sequence[Project]], Awaitable[Mapping[str, str] | None]] = register_first_versions,
) -> AsyncIterator[Worker]:
    """A worker beside whatever else the process does. `drain_seconds` None: as long as a server drains. `register`: makes versions of what
    was loaded; gives the code of each workflow.
    """
    loaded = await load_projects(base, projects)
    codes = await register(base, loaded)
    pinned = None if codes is None else PinnedFiles(base.database, base.settings.snapshots)
    build = partial(Worker, projects=loaded, codes=codes, worker_id=worker_id)
    async with _at_work(base, build, pinned, drain_seconds=drain_seconds) as worker:
        yield worker


@asynccontextmanager
async def code_worker_half(
    base: Base, code: Code, *, drain_seconds: float | None = None, worker_id: WorkerId | None = None
) -> AsyncIterator[Worker]:
    """The same for the code of one version, which this process may have imported from nowhere else.

    Errors: `Unloadable`, `BadProject`.
    """
    project, codes = await load_code(base, code)
    pinned = PinnedFiles(base.database, base.settings.snapshots)
    build = partial(Worker, projects=[project], codes=codes, worker_id=worker_id, register=register_unknown_workflow)
    async with (
        background(keep_tree(base, code)),
        _at_work(base, build, pinned, drain_seconds=drain_seconds) as worker,
    ):
        yield worker


@asynccontextmanager
async def _at_work(
    base: Base, build: Callable[..., Worker], pinned: PinnedFiles | None, *, drain_seconds: float | None
) -> AsyncIterator[Worker]:
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
            pinned=pinned,
        )
        worker_settings = _worker_settings(base.settings, drain_seconds=drain_seconds)
        worker = build(parts, queue=base.queue, settings=worker_settings)
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

"""What a worker process is told to do when it begins, as both sides know it."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from shadowgraph.core.ids import WorkerId
from shadowgraph.core.settings import Settings
from shadowgraph.wiring.plan import BUILT_IN_PROJECT, Place
from shadowgraph.worker.children import Rules


class Order(BaseModel):
    """Unknown fields are ignored: the parent may be of another version."""

    worker_id: WorkerId
    """Chosen by the parent, which has to free its runs when it dies."""
    project: Path | None
    """None: the built-in one."""
    folder: Path
    """To work in: a project's own, so that it finds its files."""
    snapshot: str | None = None
    """Digest: the code of that version is served instead of what the project's folder has."""
    dev: bool = False
    """True: what the folder has becomes the active version."""
    slots: int
    settings: dict[str, Any]
    """Those of the parent, so that both work on the same database."""
    pulse_seconds: float
    drain_seconds: float
    memory_bytes: int | None = None


def order_for(place: Place, settings: Settings, rules: Rules, *, pulse_seconds: float) -> Mapping[str, Any]:
    """All but the worker's id, as JSON."""
    is_built_in = place.project == BUILT_IN_PROJECT
    return {
        "project": None if is_built_in else str(place.project),
        "folder": str(Path.cwd() if is_built_in else place.project),
        "slots": place.slots,
        "settings": settings_to_send(settings),
        "pulse_seconds": pulse_seconds,
        "drain_seconds": rules.drain_seconds,
        "memory_bytes": rules.memory_bytes,
    }


def settings_to_send(settings: Settings) -> dict[str, Any]:
    """Secrets in clear: for the line between two processes of ours, never for a file, a log or an environment."""
    return {name: _plain(getattr(settings, name)) for name in type(settings).model_fields}


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path | Decimal) else value


def settings_received(order: Order) -> Settings:
    known = {name: value for name, value in order.settings.items() if name in Settings.model_fields}
    return Settings(**{**known, "worker_slots": order.slots})

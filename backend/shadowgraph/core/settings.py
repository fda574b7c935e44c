"""Every setting: its name, its default, and where a value came from.

From the weakest to the strongest: default, `~/.config/shadowgraph/config.toml`, `backend/.env`, `.env`, environment, command-line flag.
Every name is read with and without `SHADOWGRAPH_` before it (with wins). `core/setting_sources.py` reads, this module decides.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from shadowgraph.core.redaction import redact
from shadowgraph.core.setting_sources import (
    HOME_VARIABLE,
    PREFIX,
    InvalidSetting,
    Source,
    read_layers,
    unknown_names,
)
from shadowgraph.core.sizes import MAX_INPUT_BYTES, MAX_OUTPUT_BYTES, MAX_STATE_BYTES

__all__ = ["HOME_VARIABLE", "PREFIX", "InvalidSetting", "Loaded", "Settings", "Source", "load_settings"]

DEFAULT_GROQ_MODEL = "openai/gpt-oss-120b"
CHEAP_GROQ_MODEL = "openai/gpt-oss-20b"
"""Answers when the other one cannot."""
OFFLINE = "offline"

RETIRED_GROQ_MODELS = {
    "mixtral-8x7b-32768": DEFAULT_GROQ_MODEL,
    "llama3-70b-8192": DEFAULT_GROQ_MODEL,
    "llama-3.3-70b-versatile": DEFAULT_GROQ_MODEL,
    "llama3-8b-8192": CHEAP_GROQ_MODEL,
    "llama-3.1-8b-instant": CHEAP_GROQ_MODEL,
}
"""Names that documents still print, and what serves in their place."""

MAX_USD = 1_000_000_000

RATE_PATTERN = r"^[1-9][0-9]{0,8}(/(second|minute|hour|day))?$"
"""Requests in a time; a bare number counts per minute."""

LARGEST_BYTES = 100_000_000
"""What PostgreSQL stores in one value with ease."""

WELL_KNOWN_SECRETS = frozenset(
    {"dev-secret-key-123", "changeme", "change-me", "secret", "secret-key", "your-secret-key"}
)
MIN_SECRET_CHARACTERS = 32


class UnsafeSecret(InvalidSetting):
    """A secret that anybody can guess, on an address that others can reach."""

    code = "unsafe_secret_key"


class IncompatibleParts(InvalidSetting):
    """Parts that do not work together."""

    code = "incompatible_parts"


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(BaseModel):
    """Live configuration: nothing here can change an answer, but for which provider has a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    storage_dir: Path = Path("storage")
    """Relative paths stand below `home`."""
    database_url: str = ""
    """Empty: SQLite in the storage folder."""
    database_direct_url: str = ""
    """Past a pooler, for session locks and LISTEN; empty: `database_url`."""
    broker_url: str = ""
    """amqp://…; empty: in-process on SQLite, poll and LISTEN on PostgreSQL."""
    redis_url: str = ""
    queue_prefix: str = ""
    redis_prefix: str = ""
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    """0: any free port."""
    allowed_hosts: str = ""
    """Host names, separated by commas, that are answered beside the loopback names."""
    allowed_origins: str = ""
    insecure_bind: bool = False
    """True: listen on a non-loopback address although there are no API keys."""
    secret_key: SecretStr = SecretStr("")
    presence_grace_s: float = Field(15.0, ge=0)
    worker_slots: int = Field(32, ge=1, le=10_000)
    lease_seconds: float = Field(30.0, ge=0.5)
    blocked_seconds: float = Field(600.0, gt=0)
    """For how long a node may hold the event loop of its worker process, so that nothing else of that process moves."""
    project_load_seconds: float = Field(120.0, gt=0)
    """For importing a project and building its graphs; one that takes longer is not served."""
    max_queued_runs: int = Field(10_000, ge=1)
    max_queue_age_s: float = Field(3600.0, gt=0)
    """For how long the oldest run of a workflow may wait for a worker before new ones are refused."""
    max_runs_per_owner: int = Field(0, ge=0)
    """Of runs that wait or run; 0: no limit of its own."""
    versioning_enabled: bool = True
    """False: runs belong to no version, and nothing is said of versions."""
    max_code_workers: int = Field(4, ge=0, le=64)
    """Worker processes of one server or worker for code that its own projects do not have; 0: it starts none."""
    code_worker_idle_s: float = Field(600.0, ge=0)
    """How long such a process stays that no run needs."""
    allow_code_upload: bool = False
    """True: versions with code that is new here may be uploaded to a server that others can reach."""
    cost_tracking_enabled: bool = True
    """False: no budget holds and sums are not shown; what calls cost is written down all the same."""
    max_monthly_cost: Decimal = Field(Decimal(0), ge=0, le=MAX_USD)
    """USD that all runs together may spend in a calendar month (UTC); 0: no limit."""
    max_run_cost: Decimal = Field(Decimal(0), ge=0, le=MAX_USD)
    """USD that a run may spend whose request names no budget; 0: no limit."""
    max_input_bytes: int = Field(MAX_INPUT_BYTES, ge=1_000, le=LARGEST_BYTES)
    """Of a request body, which carries a run's input."""
    max_state_bytes: int = Field(MAX_STATE_BYTES, ge=1_000, le=LARGEST_BYTES)
    """Of a graph's state in one checkpoint."""
    max_output_bytes: int = Field(MAX_OUTPUT_BYTES, ge=1_000, le=LARGEST_BYTES)
    """Of a run's result."""
    checkpoint_days: float = Field(14.0, ge=0)
    """For how long after its end a run can be forked from any of its steps."""
    groq_api_key: SecretStr = SecretStr("")
    groq_model: str = DEFAULT_GROQ_MODEL
    groq_base_url: str = ""
    groq_rate_limit: str = Field("", pattern=rf"^$|{RATE_PATTERN}")
    """Requests, such as `30/minute`, over all processes; empty: as many as the provider takes."""
    openai_api_key: SecretStr = SecretStr("")
    openai_api_base: str = ""
    """Of any server that speaks OpenAI's chat API; empty: OpenAI itself."""
    openai_model: str = ""
    """Empty: the provider answers only where a route or an author names it."""
    anthropic_api_key: SecretStr = SecretStr("")
    anthropic_base_url: str = ""
    anthropic_model: str = ""
    """As for OpenAI."""
    offline_model: str = ""
    """Knobs of the offline demo model, such as `latency_ms=200&seed=7`."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "INFO"
    log_format: Annotated[Literal["auto", "plain", "json"], BeforeValidator(_lower)] = "auto"
    """auto: plain on a terminal, JSON lines elsewhere."""
    url: str = ""
    """The server that the resource commands speak to; empty: the one that `up` wrote to `storage/server.json`."""

    @property
    def storage(self) -> Path:
        return self.home / self.storage_dir

    def folder_of_run(self, run_id: str) -> Path:
        """Where `demo` writes a run's files."""
        return self.storage / "runs" / run_id

    @property
    def snapshots(self) -> Path:
        """Copies of the files of versions; the database has them, too."""
        return self.storage / "snapshots"

    @property
    def effective_database_url(self) -> str:
        if not self.database_url:
            return f"sqlite:///{self.storage / 'shadowgraph.db'}"
        scheme, found, path = self.database_url.partition(":///")
        if found and scheme.split("+")[0] == "sqlite" and not path.startswith("/"):
            return f"{scheme}:///{self.home / path}"
        return self.database_url

    @property
    def effective_direct_url(self) -> str:
        return self.database_direct_url or self.effective_database_url

    @property
    def is_embedded(self) -> bool:
        return self.effective_database_url.startswith("sqlite")

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach the API."""
        return is_loopback_host(self.host)

    @property
    def keyed_providers(self) -> frozenset[str]:
        """Those that have what they need: a key, or the address of a server that may ask for none."""
        needs = {
            "groq": self.groq_api_key.get_secret_value(),
            "openai_compatible": self.openai_api_key.get_secret_value() or self.openai_api_base,
            "anthropic": self.anthropic_api_key.get_secret_value(),
        }
        return frozenset(name for name, value in needs.items() if value)

    @property
    def rate_limits(self) -> Mapping[str, str]:
        """By provider, where one is set."""
        return {"groq": self.groq_rate_limit} if self.groq_rate_limit else {}

    @property
    def default_models(self) -> tuple[str, ...]:
        """The route `default`, as `provider:model`, until somebody changes it."""
        named = {
            f"groq:{self.groq_model}": self.groq_model,
            f"groq:{CHEAP_GROQ_MODEL}": self.groq_model,
            f"openai_compatible:{self.openai_model}": self.openai_model,
            f"anthropic:{self.anthropic_model}": self.anthropic_model,
        }
        return tuple(target for target, model in named.items() if model)

    @property
    def serving_model(self) -> str:
        """Who answers LLM calls of the route `default`: `offline` (rule-based, costs nothing) or `provider:model`."""
        return next(iter(self.set_up_models), OFFLINE)

    @property
    def set_up_models(self) -> tuple[str, ...]:
        """Those of the default models whose provider has what it needs."""
        keyed = self.keyed_providers
        return tuple(name for name in self.default_models if name.partition(":")[0] in keyed)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with the origin of each value, and what the user should know about them."""

    settings: Settings
    sources: Mapping[str, Source]
    warnings: tuple[str, ...]


def load_settings(
    environment: Mapping[str, str] | None = None,
    *,
    home: Path | None = None,
    profile: str | None = None,
    **overrides: Any,
) -> Loaded:
    """Reads all sources once. `overrides` are flags; None means that the flag was not given.

    Errors: `InvalidSetting` names the variable and what it takes.
    """
    environment = os.environ if environment is None else environment
    home = (home or Path(environment.get(HOME_VARIABLE) or Path.cwd())).absolute()
    layers = read_layers(environment, home=home, profile=profile)
    values: dict[str, Any] = {}
    sources: dict[str, Source] = dict.fromkeys(Settings.model_fields, "default")
    for layer in layers:
        for name, value in _named(layer.variables, plain=layer.takes_plain_names).items():
            values[name], sources[name] = value, layer.source
    for name, value in overrides.items():
        if value is not None:
            values[name], sources[name] = value, "flag"
    settings = _build(values, home=home)
    warnings = [
        *unknown_names(layers, known=Settings.model_fields),
        *_retired_model(values),
        *_weak_secret(settings),
    ]
    return Loaded(settings, sources, tuple(warnings))


def require_parts_fit(settings: Settings) -> None:
    """Errors: `IncompatibleParts` for a broker beside SQLite, or a database that is neither SQLite nor PostgreSQL."""
    scheme = settings.effective_database_url.split(":", 1)[0].split("+", 1)[0]
    if scheme not in ("sqlite", "postgres", "postgresql"):
        raise IncompatibleParts(
            f"DATABASE_URL starts with {scheme!r}", hint="use sqlite:///file.db or postgresql://user@host/name"
        )
    if settings.is_embedded and settings.broker_url:
        raise IncompatibleParts(
            "BROKER_URL is set, but the database is SQLite, which works with the in-process queue only",
            hint="set DATABASE_URL to a PostgreSQL database, or unset BROKER_URL",
        )


def require_safe_secret(settings: Settings) -> None:
    """Errors: `UnsafeSecret` for a guessable SECRET_KEY on an address that others can reach."""
    if not settings.is_loopback and is_weak_secret(settings.secret_key.get_secret_value()):
        raise UnsafeSecret(
            f"SECRET_KEY can be guessed, and {settings.host} can be reached by others",
            hint=f"set one with at least {MIN_SECRET_CHARACTERS} random characters, or unset it",
        )


def is_weak_secret(secret: str) -> bool:
    """An absent one is not weak: it is made by us when it is needed."""
    return bool(secret) and (secret.lower() in WELL_KNOWN_SECRETS or len(secret) < MIN_SECRET_CHARACTERS)


def is_loopback_host(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def variable_of(name: str) -> str:
    """How a setting is called in the environment. URL alone is too common a name in somebody's shell to be meant for us."""
    return f"{PREFIX}URL" if name == "url" else name.upper()


def _named(variables: Mapping[str, str], *, plain: bool) -> dict[str, str]:
    """The variables that are settings, by field name; an empty value counts as absent."""
    found = {}
    for name in Settings.model_fields:
        if name == "home":
            continue
        names = [f"{PREFIX}{name.upper()}", name.upper() if plain else variable_of(name)]
        value = next((variables[candidate] for candidate in names if variables.get(candidate)), None)
        if value is not None:
            found[name] = value
    return found


def _build(values: Mapping[str, Any], *, home: Path) -> Settings:
    model = values.get("groq_model", DEFAULT_GROQ_MODEL)
    usable = {**values, "groq_model": RETIRED_GROQ_MODELS.get(model, model)}
    try:
        return Settings(home=home, **usable)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        given = redact(f"{name}={first['input']}").partition("=")[2]
        raise InvalidSetting(f"{name} is {given!r}: {first['msg']}", setting=name) from None


def _retired_model(values: Mapping[str, Any]) -> list[str]:
    model = values.get("groq_model")
    if model not in RETIRED_GROQ_MODELS:
        return []
    return [f"GROQ_MODEL={model} was retired by Groq; {RETIRED_GROQ_MODELS[model]} is used instead"]


def _weak_secret(settings: Settings) -> list[str]:
    if not is_weak_secret(settings.secret_key.get_secret_value()):
        return []
    return [f"SECRET_KEY can be guessed; use at least {MIN_SECRET_CHARACTERS} random characters, or unset it"]

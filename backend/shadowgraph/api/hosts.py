"""Who may reach the server, while there are no API keys: this machine, under a name of its own.

Any web page can make a browser send requests to 127.0.0.1, under a name that the page's owner chose (DNS rebinding) or from a form.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from shadowgraph.api.errors import problem_of
from shadowgraph.api.problems import problem_response
from shadowgraph.core.errors import Forbidden, ShadowgraphError
from shadowgraph.core.settings import Settings, is_loopback_host

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class InsecureBind(Forbidden):
    """The address can be reached from other machines, and nothing asks them who they are."""

    code = "insecure_bind"


class HostNotAllowed(Forbidden):
    code = "host_not_allowed"


class OriginNotAllowed(Forbidden):
    code = "origin_not_allowed"


def require_safe_bind(settings: Settings) -> None:
    """Errors: `InsecureBind`."""
    if is_loopback_host(settings.host) or settings.insecure_bind:
        return
    raise InsecureBind(
        f"HOST={settings.host} can be reached from other machines, and there are no API keys yet: keep HOST=127.0.0.1, "
        "or set SHADOWGRAPH_INSECURE_BIND=1 behind a proxy that checks who calls"
    )


def split_names(text: str) -> tuple[str, ...]:
    """The names in a comma-separated setting."""
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())


def name_of(host: str) -> str:
    """A Host header without its port: `[::1]:8000` gives `::1`."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


class HostRules:
    """Pure decisions over the Host and Origin headers."""

    def __init__(self, settings: Settings) -> None:
        self._names = split_names(settings.allowed_hosts)
        self._origins = split_names(settings.allowed_origins)
        self._answers_to_all = not is_loopback_host(settings.host) and not self._names

    def require_host(self, host: str) -> None:
        """Errors: `HostNotAllowed`."""
        name = name_of(host)
        if self._answers_to_all or is_loopback_host(name) or name in self._names:
            return
        raise HostNotAllowed(f"this server does not answer to the name {name[:100]!r}")

    def require_origin(self, origin: str | None, *, host: str) -> None:
        """For requests that change something. Clients that are no browsers send no Origin.

        Errors: `OriginNotAllowed`.
        """
        if origin is None or origin.lower() in self._origins or "*" in self._origins:
            return
        if urlsplit(origin).netloc.lower() == host.strip().lower():
            return
        raise OriginNotAllowed(f"a page of {origin[:100]!r} may not do that")


class HostMiddleware:
    """Refuses requests under a foreign name or on behalf of a foreign page, before anything else looks at them."""

    def __init__(self, app: ASGIApp, rules: HostRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except ShadowgraphError as error:
            await problem_response(problem_of(error), scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        self._rules.require_host(host)
        if scope["method"] not in SAFE_METHODS:
            self._rules.require_origin(headers.get("origin"), host=host)

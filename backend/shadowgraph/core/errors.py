"""Every error of ours.

    ShadowgraphError
    ├── NotFound          the named thing does not exist (or is not yours)
    ├── Conflict          the state forbids it now
    ├── Invalid           it cannot be processed as sent
    ├── Forbidden         you may not
    ├── OverBudget        a limit of money says no
    ├── Unavailable       a part that is needed does not answer; trying again may help
    └── Internal          a defect of ours

A package's own errors derive from one of these and sit in that package. Raise where the fact is known; only the edges translate:
`api/errors.py` to a status, `engine/driver.py` to retry, park or fail.
"""

from typing import ClassVar, Literal

Kind = Literal["not_found", "conflict", "invalid", "forbidden", "over_budget", "unavailable", "internal"]


class ShadowgraphError(Exception):
    """Base of all our errors. `code` is stable snake_case that users script against; `facts` go on the wire as they are."""

    code: str = "internal"
    kind: ClassVar[Kind] = "internal"
    retryable: bool = False

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.hint = hint
        self.facts = facts


class NotFound(ShadowgraphError):
    code = "not_found"
    kind = "not_found"


class Conflict(ShadowgraphError):
    code = "conflict"
    kind = "conflict"


class Invalid(ShadowgraphError):
    code = "invalid"
    kind = "invalid"


class Forbidden(ShadowgraphError):
    code = "forbidden"
    kind = "forbidden"


class OverBudget(ShadowgraphError):
    code = "over_budget"
    kind = "over_budget"


class Unavailable(ShadowgraphError):
    code = "unavailable"
    kind = "unavailable"
    retryable = True


class Internal(ShadowgraphError):
    code = "internal"
    kind = "internal"

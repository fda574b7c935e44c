"""`typing.TypedDict` for pydantic, which refuses it before Python 3.12: the same type, made of `typing_extensions.TypedDict`."""

from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from typing_extensions import ReadOnly, TypedDict, is_typeddict

_make: Any = TypedDict
_QUALIFIERS = (Required, NotRequired, ReadOnly)


def described_by_pydantic(hint: Any, _under_way: frozenset[Any] = frozenset()) -> Any:
    """The type with every TypedDict in it rebuilt. One that contains itself is any value at that place."""
    if is_typeddict(hint):
        return Any if hint in _under_way else _rebuilt(hint, _under_way | {hint})
    origin, arguments = get_origin(hint), get_args(hint)
    if not arguments:
        return hint
    if origin is Annotated:
        return Annotated[(described_by_pydantic(arguments[0], _under_way), *arguments[1:])]
    if origin in _QUALIFIERS:
        return described_by_pydantic(arguments[0], _under_way)
    inner = tuple(described_by_pydantic(item, _under_way) for item in arguments)
    if inner == arguments:
        return hint
    if origin in (Union, UnionType):
        return reduce(or_, inner)
    return origin[inner]


def _rebuilt(found: Any, under_way: frozenset[Any]) -> Any:
    hints = get_type_hints(found, include_extras=True)
    fields = {name: described_by_pydantic(hint, under_way) for name, hint in hints.items()}
    return _make(
        found.__name__,
        {
            name: Required[fields[name]] if _is_required(found, name, hint) else NotRequired[fields[name]]
            for name, hint in hints.items()
        },
    )


def _is_required(found: Any, name: str, hint: Any) -> bool:
    """What stands in the hint counts: `__required_keys__` does not see it when annotations are texts."""
    origin = get_origin(hint)
    return origin is Required or (origin is not NotRequired and name in found.__required_keys__)

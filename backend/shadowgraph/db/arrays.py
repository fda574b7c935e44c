"""Columns of many rows as PostgreSQL's binary arrays. psycopg's own way with lists looks at each value again, which costs several times as much."""

import json
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format
from sqlalchemy import JSON, BigInteger, Boolean, DateTime, Integer, LargeBinary, String, TypeDecorator
from sqlalchemy.types import TypeEngine

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NULL = b"\xff\xff\xff\xff"

_length = struct.Struct(">i").pack
_int4 = struct.Struct(">ii").pack
_int8 = struct.Struct(">iq").pack
_header = struct.Struct(">iiIii").pack


class Array(bytes):
    """An array as the server receives it; the statement says its type: `$1::text[]`."""


class _ArrayDumper(Dumper):
    format = Format.BINARY
    oid = 0  # the cast in the statement tells

    def dump(self, obj: Any) -> Buffer:
        return bytes(obj)


psycopg.adapters.register_dumper(Array, _ArrayDumper)  # connections know it that are made after this


@dataclass(frozen=True, slots=True)
class ElementType:
    name: str
    """As SQL spells it."""
    oid: int
    encode: Callable[[Any], bytes]
    """One value that is not NULL, behind its length."""

    def pack(self, values: Sequence[Any]) -> Array:
        """Errors: `ValueError`, `TypeError`, `OverflowError` for a value that does not fit the type."""
        encode = self.encode
        try:
            body = b"".join([_NULL if value is None else encode(value) for value in values])
        except struct.error as error:
            raise OverflowError(f"a value is no {self.name}: {error}") from error
        return Array(_header(1, 1, self.oid, len(values), 1) + body)


def _with_length(body: bytes) -> bytes:
    return _length(len(body)) + body


def _text(value: str) -> bytes:
    return _with_length(value.encode())


def _jsonb(value: Any) -> bytes:
    # The standard library's encoder: another one would store NaN as null, where the server refuses it.
    return _with_length(b"\x01" + json.dumps(value).encode())


def _bytea(value: Iterable[int]) -> bytes:
    return _with_length(bytes(value))


def _timestamptz(value: datetime) -> bytes:
    if value.tzinfo is None:
        raise ValueError("a naive datetime cannot be stored")
    return _int8(8, (value - _EPOCH) // _MICROSECOND)


def _boolean(value: bool) -> bytes:
    return b"\x00\x00\x00\x01\x01" if value else b"\x00\x00\x00\x01\x00"


TEXT = ElementType("text", 25, _text)
INTEGER = ElementType("int", 23, lambda value: _int4(4, value))
BIGINT = ElementType("bigint", 20, lambda value: _int8(8, value))
BOOLEAN = ElementType("boolean", 16, _boolean)
JSONB = ElementType("jsonb", 3802, _jsonb)
BYTEA = ElementType("bytea", 17, _bytea)
TIMESTAMPTZ = ElementType("timestamptz", 1184, _timestamptz)

_BY_COLUMN_TYPE: Sequence[tuple[type[TypeEngine[Any]], ElementType]] = (
    (JSON, JSONB),
    (LargeBinary, BYTEA),
    (String, TEXT),
    (Boolean, BOOLEAN),
    (BigInteger, BIGINT),
    (Integer, INTEGER),
    (DateTime, TIMESTAMPTZ),
)


def element_type(column_type: TypeEngine[Any]) -> ElementType:
    """Errors: `LookupError` for a type that no column of ours has yet."""
    plain = column_type.impl_instance if isinstance(column_type, TypeDecorator) else column_type
    for kind, found in _BY_COLUMN_TYPE:
        if isinstance(plain, kind):
            return found
    raise LookupError(f"no array type for {column_type!r}")

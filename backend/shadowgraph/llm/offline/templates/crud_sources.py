"""The text of the REST API that `crud.py` fills in: model, store, HTTP layer and their tests."""

MODEL = '''
"""What $a_entity is, and which values are allowed to become one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
${date_import}from typing import Any


@dataclass(frozen=True)
class ${Entity}:
    id: int
$attributes


class Invalid${Entity}(ValueError):
    """The values cannot become $a_entity. `problems` says for each field what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field} {problem}" for field, problem in problems.items()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Field:
    """How one field is stored and checked."""

    sql_type: str
    is_allowed: Callable[[Any], bool]
    expected: str
    required: bool = True


$checks


FIELDS: dict[str, Field] = {
$fields
}


def check(values: Mapping[str, Any], *, is_complete: bool = True) -> dict[str, Any]:
    """The values, when each of them is allowed.

    With `is_complete=False` fields may be missing: that is what a partial update sends.
    Raises `Invalid${Entity}` that names every wrong field, not only the first.
    """
    problems = {name: "is not a known field" for name in values if name not in FIELDS}
    for name, field in FIELDS.items():
        if name not in values:
            if field.required and is_complete:
                problems[name] = "is required"
        elif values[name] is None and not field.required:
            continue
        elif not field.is_allowed(values[name]):
            problems[name] = f"must be {field.expected}"
    if problems:
        raise Invalid${Entity}(problems)
    return dict(values)
'''

CHECKS = {
    "is_text": """
def is_text(value: Any) -> bool:
    # Half a surrogate pair is no text: it cannot be stored or sent.
    return isinstance(value, str) and bool(value.strip()) and not any("\\ud800" <= char <= "\\udfff" for char in value)
""",
    "is_integer": """
def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
""",
    "is_count": """
def is_count(value: Any) -> bool:
    return is_integer(value) and value >= 0
""",
    "is_number": """
def is_number(value: Any) -> bool:
    # The comparison also refuses NaN and infinity.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
""",
    "is_positive_number": """
def is_positive_number(value: Any) -> bool:
    return is_number(value) and value >= 0
""",
    "is_flag": """
def is_flag(value: Any) -> bool:
    return isinstance(value, bool)
""",
    "is_email": """
def is_email(value: Any) -> bool:
    if not is_text(value):
        return False
    name, _, domain = value.rpartition("@")
    return bool(name) and "." in domain and " " not in value
""",
    "is_date": """
def is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
""",
}
"""By name, in the order in which they are written; a model gets those that its fields need."""

CHECKS_NEEDED_BY = {"is_count": "is_integer", "is_positive_number": "is_number", "is_email": "is_text"}

STORE = '''
"""Keeps $entities in SQLite: a file, or `:memory:` for tests."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from model import FIELDS, ${Entity}, check

TABLE = "$entities"


class ${Entity}NotFound(LookupError):
    def __init__(self, row_id: int) -> None:
        super().__init__(f"there is no $label with id {row_id}")


class ${Entity}Store:
    """Create, read, update and delete $entities. Safe to use from several threads."""

    def __init__(self, path: str = ":memory:") -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        columns = ", ".join(f'"{name}" {field.sql_type}' for name, field in FIELDS.items())
        self._run(f'CREATE TABLE IF NOT EXISTS "{TABLE}" (id INTEGER PRIMARY KEY AUTOINCREMENT, {columns})')

    def close(self) -> None:
        self._connection.close()

    def create(self, values: Mapping[str, Any]) -> ${Entity}:
        """Raises `Invalid${Entity}` when the values are not allowed."""
        row = check(values)
        names = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" for _ in row)
        cursor = self._run(f'INSERT INTO "{TABLE}" ({names}) VALUES ({marks})', row.values())
        return self.get(int(cursor.lastrowid or 0))

    def get(self, row_id: int) -> ${Entity}:
        """Raises `${Entity}NotFound`."""
        rows = self._rows(f'SELECT * FROM "{TABLE}" WHERE id = ?', [row_id])
        if not rows:
            raise ${Entity}NotFound(row_id)
        return rows[0]

    def find(self, filters: Mapping[str, Any], *, limit: int = 100, offset: int = 0) -> list[${Entity}]:
        """Rows whose fields equal the filters, oldest first. The names of the filters must be fields."""
        where = " AND ".join(["1 = 1", *(f'"{name}" = ?' for name in filters)])
        query = f'SELECT * FROM "{TABLE}" WHERE {where} ORDER BY id LIMIT ? OFFSET ?'
        return self._rows(query, [*filters.values(), limit, offset])

    def count(self, filters: Mapping[str, Any]) -> int:
        where = " AND ".join(["1 = 1", *(f'"{name}" = ?' for name in filters)])
        cursor = self._run(f'SELECT COUNT(*) FROM "{TABLE}" WHERE {where}', filters.values())
        return int(cursor.fetchone()[0])

    def replace(self, row_id: int, values: Mapping[str, Any]) -> ${Entity}:
        """All fields at once: an optional field that is not sent becomes empty."""
        row = check(values)
        return self._write(row_id, {name: row.get(name) for name in FIELDS})

    def update(self, row_id: int, values: Mapping[str, Any]) -> ${Entity}:
        """Only the fields that are sent."""
        return self._write(row_id, check(values, is_complete=False))

    def delete(self, row_id: int) -> None:
        if self._run(f'DELETE FROM "{TABLE}" WHERE id = ?', [row_id]).rowcount == 0:
            raise ${Entity}NotFound(row_id)

    def _write(self, row_id: int, row: Mapping[str, Any]) -> ${Entity}:
        if row:
            changes = ", ".join(f'"{name}" = ?' for name in row)
            self._run(f'UPDATE "{TABLE}" SET {changes} WHERE id = ?', [*row.values(), row_id])
        return self.get(row_id)

    def _rows(self, query: str, values: Iterable[Any]) -> list[${Entity}]:
        return [to_$entity_name(row) for row in self._run(query, values).fetchall()]

    def _run(self, query: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        # Names in the query come from FIELDS; values of users only ever travel as parameters.
        with self._lock, self._connection:
            return self._connection.execute(query, list(values))


def to_$entity_name(row: sqlite3.Row) -> ${Entity}:
    values = dict(row)
    for name, field in FIELDS.items():
        if field.sql_type == "BOOLEAN" and values[name] is not None:
            values[name] = bool(values[name])  # SQLite stores flags as 0 and 1
    return ${Entity}(**values)
'''

API = '''
"""REST API for $entities on Python's own HTTP server: `python3 api.py`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from model import FIELDS, Invalid${Entity}
from store import ${Entity}NotFound, ${Entity}Store

COLLECTION = "/$path"
MAX_BODY_BYTES = 1_000_000
MAX_PAGE = 500
EXAMPLE = $valid


class Response(NamedTuple):
    status: int
    body: Any = None


class BadRequest(ValueError):
    """The request cannot be read: broken JSON, a wrong parameter."""


class ${Entity}Api:
    """Answers requests. It knows nothing of sockets, so tests call it directly."""

    def __init__(self, store: ${Entity}Store) -> None:
        self._store = store

    def handle(self, method: str, target: str, body: bytes = b"") -> Response:
        url = urlsplit(target)
        path = url.path.rstrip("/")
        try:
            if path == COLLECTION:
                return self._handle_collection(method, dict(parse_qsl(url.query)), body)
            if path.startswith(f"{COLLECTION}/"):
                return self._handle_one(method, path[len(COLLECTION) + 1 :], body)
            return Response(404, {"error": f"there is nothing at {path or '/'}; try {COLLECTION}"})
        except BadRequest as error:
            return Response(400, {"error": str(error)})
        except Invalid${Entity} as error:
            return Response(422, {"error": "the values are not valid", "problems": error.problems})
        except ${Entity}NotFound as error:
            return Response(404, {"error": str(error)})

    def _handle_collection(self, method: str, query: Mapping[str, str], body: bytes) -> Response:
        if method == "GET":
            return self._list(query)
        if method == "POST":
            return Response(201, asdict(self._store.create(read_object(body))))
        return not_allowed("GET, POST")

    def _handle_one(self, method: str, id_text: str, body: bytes) -> Response:
        if not (id_text.isascii() and id_text.isdigit() and len(id_text) < 19):
            return Response(404, {"error": f"there is no $label with id {id_text}"})
        row_id = int(id_text)
        if method == "GET":
            return Response(200, asdict(self._store.get(row_id)))
        if method == "PUT":
            return Response(200, asdict(self._store.replace(row_id, read_object(body))))
        if method == "PATCH":
            return Response(200, asdict(self._store.update(row_id, read_object(body))))
        if method == "DELETE":
            self._store.delete(row_id)
            return Response(204)
        return not_allowed("GET, PUT, PATCH, DELETE")

    def _list(self, query: Mapping[str, str]) -> Response:
        limit = read_number(query.get("_limit", "100"), "_limit", maximum=MAX_PAGE)
        offset = read_number(query.get("_offset", "0"), "_offset", maximum=2**31)
        filters = {name: read_filter(name, text) for name, text in query.items() if name not in ("_limit", "_offset")}
        items = self._store.find(filters, limit=limit, offset=offset)
        return Response(200, {"items": [asdict(item) for item in items], "total": self._store.count(filters)})


def not_allowed(methods: str) -> Response:
    return Response(405, {"error": f"only {methods} work here"})


def read_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def read_number(text: str, name: str, *, maximum: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12) or int(text) > maximum:
        raise BadRequest(f"{name} must be a whole number from 0 to {maximum}")
    return int(text)


def read_filter(name: str, text: str) -> Any:
    """The value that a query parameter stands for: `?$filter_example`."""
    if name not in FIELDS:
        raise BadRequest(f"{name} is not a field; fields are {', '.join(FIELDS)}")
    sql_type = FIELDS[name].sql_type
    try:
        if sql_type == "BOOLEAN":
            return {"true": 1, "false": 0}[text.lower()]
        if sql_type == "INTEGER":
            return check_size(int(text))
        return float(text) if sql_type == "REAL" else text
    except (KeyError, ValueError):
        raise BadRequest(f"{name} must be {FIELDS[name].expected}") from None


def check_size(number: int) -> int:
    if abs(number) >= 2**63:
        raise ValueError("larger than SQLite's integers")
    return number


def make_server(api: ${Entity}Api, port: int) -> ThreadingHTTPServer:
    """A server on this machine only; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = self.headers.get("Content-Length", "0")
            if not (length.isascii() and length.isdigit()):
                self.send(Response(400, {"error": "Content-Length must be a number"}))
            elif len(length) > 12 or int(length) > MAX_BODY_BYTES:
                self.send(Response(413, {"error": f"the body is larger than {MAX_BODY_BYTES} bytes"}))
            else:
                self.send(api.handle(self.command, self.path, self.rfile.read(int(length))))

        def send(self, response: Response) -> None:
            body = b"" if response.body is None else json.dumps(response.body, ensure_ascii=False).encode()
            self.send_response(response.status)
            if body:
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser(description="REST API for $entities.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--database", default="$entities.sqlite3", help="a file, or :memory:")
    options = parser.parse_args()
    server = make_server(${Entity}Api(${Entity}Store(options.database)), options.port)
    address = f"http://127.0.0.1:{server.server_address[1]}{COLLECTION}"
    print(f"Serving {address}   (Ctrl-C stops)")
    print(f"Try: curl -X POST {address} -d '{json.dumps(EXAMPLE)}'")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("Stopped.")


if __name__ == "__main__":
    main()
'''

TEST_STORE = '''
"""Tests of the model and the store. Run them with: python3 -m unittest -q"""

from __future__ import annotations

import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Any

from model import FIELDS, Invalid${Entity}, check
from store import ${Entity}NotFound, ${Entity}Store

VALID: dict[str, Any] = $valid
OTHER: dict[str, Any] = $other
WRONG: dict[str, Any] = $wrong


class CheckTest(unittest.TestCase):
    def test_valid_values_pass(self) -> None:
        self.assertEqual(check(VALID), VALID)

    def test_every_missing_field_is_named(self) -> None:
        required = {name for name, field in FIELDS.items() if field.required}

        with self.assertRaises(Invalid${Entity}) as caught:
            check({})

        self.assertEqual(set(caught.exception.problems), required)

    def test_a_value_of_the_wrong_kind_is_refused(self) -> None:
        for name, value in WRONG.items():
            with self.subTest(field=name), self.assertRaises(Invalid${Entity}) as caught:
                check({**VALID, name: value})
            self.assertEqual(set(caught.exception.problems), {name})

    def test_an_unknown_field_is_refused(self) -> None:
        with self.assertRaises(Invalid${Entity}):
            check({**VALID, "no_such_field": 1})


class StoreTest(unittest.TestCase):
    def setUp(self) -> None:
        self.store = ${Entity}Store()
        self.addCleanup(self.store.close)

    def test_what_was_created_can_be_read(self) -> None:
        created = self.store.create(VALID)

        self.assertEqual(self.store.get(created.id), created)
        self.assertEqual(created.$first, VALID["$first"])

    def test_an_update_changes_only_the_fields_that_are_sent(self) -> None:
        created = self.store.create(VALID)

        updated = self.store.update(created.id, {"$first": OTHER["$first"]})

        self.assertEqual(updated, replace(created, $first=OTHER["$first"]))

    def test_a_refused_update_changes_nothing(self) -> None:
        created = self.store.create(VALID)

        with self.assertRaises(Invalid${Entity}):
            self.store.update(created.id, WRONG)

        self.assertEqual(self.store.get(created.id), created)

    def test_a_replacement_sets_all_fields(self) -> None:
        created = self.store.create(VALID)

        replaced = self.store.replace(created.id, OTHER)

        self.assertEqual({name: getattr(replaced, name) for name in OTHER}, OTHER)

    def test_a_deleted_row_is_gone(self) -> None:
        created = self.store.create(VALID)

        self.store.delete(created.id)

        with self.assertRaises(${Entity}NotFound):
            self.store.get(created.id)
        with self.assertRaises(${Entity}NotFound):
            self.store.delete(created.id)

    def test_rows_are_found_by_their_fields(self) -> None:
        wanted = self.store.create(VALID)
        self.store.create(OTHER)

        self.assertEqual(self.store.find({"$first": VALID["$first"]}), [wanted])
        self.assertEqual(self.store.count({}), 2)

    def test_rows_outlive_the_process(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "test.sqlite3")
            first = ${Entity}Store(path)
            created = first.create(VALID)
            first.close()

            second = ${Entity}Store(path)
            self.addCleanup(second.close)

            self.assertEqual(second.get(created.id), created)
            second.close()


if __name__ == "__main__":
    unittest.main()
'''

TEST_API = '''
"""Tests of the HTTP API: most call it directly, one goes over a real socket. Run them with: python3 -m unittest -q"""

from __future__ import annotations

import io
import json
import threading
import unittest
from contextlib import redirect_stderr
from typing import Any
from urllib.request import Request, urlopen

from api import $api_names
from store import ${Entity}Store
from test_store import OTHER, VALID, WRONG


class ApiTest(unittest.TestCase):
    def setUp(self) -> None:
        store = ${Entity}Store()
        self.addCleanup(store.close)
        self.api = ${Entity}Api(store)

    def send(self, method: str, target: str, body: Any = None) -> Response:
        return self.api.handle(method, target, b"" if body is None else json.dumps(body).encode())

    def create(self, values: dict[str, Any]) -> str:
        """The path of a new $label."""
        return f"{COLLECTION}/{self.send('POST', COLLECTION, values).body['id']}"

    def test_a_new_${entity_name}_gets_an_id(self) -> None:
        response = self.send("POST", COLLECTION, VALID)

        self.assertEqual(response.status, 201)
        self.assertEqual({**response.body, **VALID}, response.body)
        self.assertEqual(self.send("GET", f"{COLLECTION}/{response.body['id']}").body, response.body)

    def test_invalid_values_are_refused_with_a_reason_for_each_field(self) -> None:
        response = self.send("POST", COLLECTION, {**VALID, **WRONG})

        self.assertEqual(response.status, 422)
        self.assertEqual(set(response.body["problems"]), set(WRONG))
        self.assertEqual(self.send("GET", COLLECTION).body["total"], 0)

    def test_put_replaces_and_patch_changes_a_part(self) -> None:
        path = self.create(VALID)

        self.assertEqual(self.send("PUT", path, OTHER).status, 200)
        patched = self.send("PATCH", path, {"$first": VALID["$first"]})

        self.assertEqual(patched.status, 200)
        self.assertEqual(patched.body["$first"], VALID["$first"])

    def test_delete_removes_it(self) -> None:
        path = self.create(VALID)

        self.assertEqual(self.send("DELETE", path), Response(204))
        self.assertEqual(self.send("GET", path).status, 404)

    def test_the_list_is_filtered_and_cut_into_pages(self) -> None:
        for values in (VALID, OTHER, OTHER):
            self.create(values)

        everything = self.send("GET", COLLECTION).body
        page = self.send("GET", f"{COLLECTION}?_limit=1&_offset=1").body

        self.assertEqual(everything["total"], 3)
        self.assertEqual(page["items"], everything["items"][1:2])
        self.assertEqual(self.send("GET", f"{COLLECTION}?no_such_field=1").status, 400)
        self.assertEqual(self.send("GET", f"{COLLECTION}?_limit=many").status, 400)

    def test_a_body_that_is_no_json_object_is_refused(self) -> None:
        self.assertEqual(self.api.handle("POST", COLLECTION, b"{broken").status, 400)
        self.assertEqual(self.api.handle("POST", COLLECTION, b"[1, 2]").status, 400)

    def test_unknown_paths_and_methods_are_refused(self) -> None:
        self.assertEqual(self.send("GET", "/nothing").status, 404)
        self.assertEqual(self.send("GET", f"{COLLECTION}/999").status, 404)
        self.assertEqual(self.send("GET", f"{COLLECTION}/abc").status, 404)
        self.assertEqual(self.send("DELETE", COLLECTION).status, 405)


class ServerTest(unittest.TestCase):
    def test_it_answers_over_http(self) -> None:
        store = ${Entity}Store()
        self.addCleanup(store.close)
        try:
            server = make_server(${Entity}Api(store), port=0)
        except OSError as error:
            self.skipTest(f"no sockets here: {error}")
        self.addCleanup(server.server_close)
        thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
        thread.start()
        self.addCleanup(server.shutdown)
        address = f"http://127.0.0.1:{server.server_address[1]}{COLLECTION}"

        with redirect_stderr(io.StringIO()):  # the server logs there
            with urlopen(Request(address, data=json.dumps(VALID).encode(), method="POST"), timeout=10) as response:
                self.assertEqual(response.status, 201)
            with urlopen(address, timeout=10) as response:
                self.assertEqual(json.load(response)["total"], 1)


if __name__ == "__main__":
    unittest.main()
'''

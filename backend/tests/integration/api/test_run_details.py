import io
import zipfile

import httpx
import pytest

from shadowgraph.core.json import sha256
from tests.support.api import V1, create, require_problem
from tests.support.moves import Moves

FILES = {"snake/game.py": b"print('snake')\n", "README.md": b"# Snake\n"}


async def test_steps_come_in_the_order_in_which_they_began(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    claim = await moves.claim(run["id"])
    await moves.step(claim, "planner", superstep=2)
    await moves.step(claim, "researcher", superstep=1)
    await moves.step(claim, "coder", superstep=3, error={"code": "node_failed", "message": "no"})

    answer = (await client.get(f"{V1}/runs/{run['id']}/steps")).json()

    assert [(step["node"], step["status"], step["attempt"]) for step in answer["items"]] == [
        ("researcher", "finished", 1),
        ("planner", "finished", 1),
        ("coder", "failed", 1),
    ]
    assert answer["next_cursor"] is None
    assert answer["items"][0]["started_at"] < answer["items"][0]["finished_at"]
    assert answer["items"][0]["summary"] == "researcher done"
    assert answer["items"][2]["error"]["type"] == "/errors/node_failed"


async def test_files_are_listed_by_path_with_their_digests(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    await moves.keep(await moves.claim(run["id"]), FILES)

    answer = (await client.get(f"{V1}/runs/{run['id']}/artifacts")).json()

    assert [(item["path"], item["size"], item["sha256"]) for item in answer["items"]] == [
        (path, len(body), sha256(body)) for path, body in sorted(FILES.items())
    ]
    for item in answer["items"]:
        assert (await client.get(item["link"])).content == FILES[item["path"]]


async def test_a_file_is_tagged_with_its_digest(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    await moves.keep(await moves.claim(run["id"]), FILES)
    path = f"{V1}/runs/{run['id']}/artifacts/snake/game.py"

    response = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": response.headers["etag"]})

    assert response.headers["etag"].strip('"') == sha256(FILES["snake/game.py"])[:32]
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-disposition"] == "inline; filename=\"game.py\"; filename*=UTF-8''game.py"
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("media_type", "content_type", "disposition"),
    [
        ("text/html", "text/html; charset=utf-8", "attachment"),
        ("image/svg+xml", "image/svg+xml", "attachment"),
        ("application/javascript", "application/javascript", "attachment"),
        ("text/html; charset=x\r\nSet-Cookie: a=b", "text/html; charset=utf-8", "attachment"),
        ("nonsense\r\nSet-Cookie: a=b", "application/octet-stream", "attachment"),
        ("image/png", "image/png", "inline"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_file_never_runs_with_the_rights_of_this_site(
    client: httpx.AsyncClient, moves: Moves, media_type: str, content_type: str, disposition: str
) -> None:
    run = await create(client)
    await moves.keep(await moves.claim(run["id"]), {"page": b"<script>alert(1)</script>"}, media_type)

    response = await client.get(f"{V1}/runs/{run['id']}/artifacts/page")

    assert response.headers["content-type"] == content_type
    assert response.headers["content-disposition"].startswith(disposition)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "path", ["missing.py", "../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "a%00.py", "game.py", ""]
)
async def test_a_file_that_the_run_does_not_have_is_not_found(
    client: httpx.AsyncClient, moves: Moves, path: str
) -> None:
    run = await create(client)
    await moves.keep(await moves.claim(run["id"]), FILES)

    response = await client.get(httpx.URL(f"http://localhost{V1}/runs/{run['id']}/artifacts/{path}"))

    assert response.status_code == 404
    assert response.json()["code"] in ("artifact_not_found", "not_found")


async def test_all_files_come_in_one_archive_that_is_the_same_each_time(
    client: httpx.AsyncClient, moves: Moves
) -> None:
    run, twin = await create(client), await create(client)
    await moves.keep(await moves.claim(run["id"]), FILES)
    await moves.keep(await moves.claim(twin["id"]), dict(reversed(FILES.items())))

    response = await client.get(f"{V1}/runs/{run['id']}/artifacts.zip")
    other = await client.get(f"{V1}/runs/{twin['id']}/artifacts.zip")
    again = await client.get(
        f"{V1}/runs/{run['id']}/artifacts.zip", headers={"If-None-Match": response.headers["etag"]}
    )

    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
    assert response.headers["content-type"] == "application/zip"
    assert run["id"] in response.headers["content-disposition"]
    assert response.content == other.content
    assert (again.status_code, again.content) == (304, b"")


async def test_a_run_without_files_gives_an_empty_archive(client: httpx.AsyncClient) -> None:
    run = await create(client)

    response = await client.get(f"{V1}/runs/{run['id']}/artifacts.zip")

    assert zipfile.ZipFile(io.BytesIO(response.content)).namelist() == []


async def test_the_json_export_has_everything_but_the_texts_of_calls(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    claim = await moves.claim(run["id"])
    await moves.step(claim, "coder")
    await moves.attempt(claim)
    await moves.keep(claim, FILES)
    await moves.complete(claim)

    response = await client.get(f"{V1}/runs/{run['id']}/export.json")

    export = response.json()
    assert response.headers["content-disposition"].startswith("attachment")
    assert export["format"] == "shadowgraph.run.v1"
    assert export["run"] == (await client.get(f"{V1}/runs/{run['id']}")).json()
    assert [step["node"] for step in export["steps"]] == ["coder"]
    assert [event["type"] for event in export["events"]] == ["run.queued", "run.started", "run.finished"]
    assert {artifact["path"] for artifact in export["artifacts"]} == FILES.keys()
    assert [(call["provider"], call["prompt_tokens"], call["cost_usd"]) for call in export["llm_attempts"]] == [
        ("offline", 10, 0)
    ]
    assert export["tool_calls"] == []


async def test_the_report_reads_like_a_page(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client, "Build a *snake* game")
    claim = await moves.claim(run["id"])
    await moves.step(claim, "coder")
    await moves.keep(claim, FILES)
    await moves.complete(claim, {"answer": "Here it is: ```python\nprint()\n```"})

    response = await client.get(f"{V1}/runs/{run['id']}/export.md")

    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.text.startswith("# Build a \\*snake\\* game\n")
    assert "| Status | COMPLETED |" in response.text
    assert "````\nHere it is: ```python" in response.text
    assert "snake/game.py" in response.text
    assert "| 1 | coder | 1 | finished | 1.0 | coder done |" in response.text


async def test_the_report_of_a_failed_run_says_why(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    await moves.fail(await moves.claim(run["id"]), {"code": "provider_auth", "message": "refused", "step": "coder"})

    report = (await client.get(f"{V1}/runs/{run['id']}/export.md")).text

    assert "## Error\n\n`provider_auth` in step coder" in report
    assert "refused" in report
    assert "## Result" not in report


async def test_a_route_without_parameters_refuses_them(client: httpx.AsyncClient) -> None:
    run = await create(client)

    response = await client.get(f"{V1}/runs/{run['id']}/steps", params={"limit": 5})

    require_problem(response, 422, "invalid_request")

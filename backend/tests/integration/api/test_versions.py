"""Versions, snapshots and releases over HTTP."""

import asyncio
import logging
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.models.runs import runs
from shadowgraph.models.snapshots import snapshots
from shadowgraph.models.versions import versions
from shadowgraph.queue.message import Wake
from shadowgraph.runs.repository import require_run
from shadowgraph.versioning.archive import MAX_ARCHIVE_BYTES, read_archive, write_archive
from shadowgraph.versioning.snapshot import Snapshot
from tests.support.api import V1, ApiParts, client_of, pointers, require_problem
from tests.support.releases import Releases, snapshot_number
from tests.support.snapshots import make_snapshot

AGENT = f"{V1}/workflows/agent"
ZIP = {"Content-Type": "application/zip"}
FIRST = make_snapshot()


async def upload(
    client: httpx.AsyncClient, snapshot: Snapshot = FIRST, workflow: str = "agent", **parameters: Any
) -> httpx.Response:
    return await client.post(
        f"{V1}/workflows/{workflow}/versions", content=write_archive(snapshot), headers=ZIP, params=parameters
    )


async def added(client: httpx.AsyncClient, *numbers: int) -> list[dict[str, Any]]:
    found = []
    for number in numbers:
        response = await upload(client, snapshot_number(number))
        assert response.status_code == 201, response.text
        found.append(response.json())
    return found


async def edit(client: httpx.AsyncClient, files: dict[str, Any], base: str = "v1", **fields: Any) -> httpx.Response:
    return await client.post(f"{AGENT}/versions", json={"base_version": base, "files": files, **fields})


async def post(client: httpx.AsyncClient, path: str, key: str | None = None, **body: Any) -> httpx.Response:
    return await client.post(path, json=body, headers={"Idempotency-Key": key} if key else {})


async def count(parts: ApiParts, table: Any) -> int:
    async with parts.database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(table)) or 0


# --- adding versions ------------------------------------------------------------------------------------------------------------


async def test_an_archive_becomes_a_version_and_the_first_is_active(client: httpx.AsyncClient) -> None:
    response = await upload(client, message="first", commit="abcdef1", dirty=True, python="3.11", shadowgraph="0.1.0")

    version = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"{V1}/versions/{version['id']}"
    assert (version["label"], version["state"], version["message"]) == ("v1", "active", "first")
    assert version["provenance"] == {"commit": "abcdef1", "dirty": True, "python": "3.11", "shadowgraph": "0.1.0"}
    assert version["nodes"] == dict(FIRST.manifest.nodes)
    assert (await client.get(response.headers["location"])).json() == version


async def test_the_same_archive_again_is_the_same_version(client: httpx.AsyncClient) -> None:
    first, again = await upload(client), await upload(client, message="again")

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


async def test_two_uploads_of_the_same_at_once_make_one_version(client: httpx.AsyncClient, parts: ApiParts) -> None:
    responses = await asyncio.gather(*(upload(client) for _ in range(4)))

    assert sorted(response.status_code for response in responses) == [200, 200, 200, 201]
    assert await count(parts, versions) == 1


async def test_an_edited_prompt_becomes_a_draft(client: httpx.AsyncClient) -> None:
    await upload(client)

    response = await edit(client, {"prompts/write.md": "Write briefly.\n"}, message="shorter")

    version = response.json()
    assert (response.status_code, version["label"], version["state"]) == (201, "v2", "draft")
    assert version["snapshot_digest"] == make_snapshot({"prompts/write.md": "Write briefly.\n"}).digest
    assert version["message"] == "shorter"
    nodes = dict(FIRST.manifest.nodes)
    assert {node for node, digest in version["nodes"].items() if nodes[node] != digest} == {"write"}


async def test_edited_parameters_become_a_draft_and_limits_stay_out(client: httpx.AsyncClient) -> None:
    await upload(client)
    text = "[agents.write]\ntemperature = 0.5\ntools = ['web_search']\n[workflow.agent]\ntimeout_s = 5\n"

    response = await edit(client, {"shadowgraph.toml": text})

    assert response.status_code == 201, response.text
    manifest = (await client.get(response.json()["links"]["snapshot"])).json()["manifest"]
    assert manifest["agents"]["write"]["temperature"] == "0.5"
    assert "web_search" in manifest["tools"]
    back = await edit(client, {"shadowgraph.toml": None}, base="v2")
    assert (back.status_code, back.json()["label"]) == (200, "v1")


@pytest.mark.parametrize(
    ("files", "pointer", "said"),
    [
        ({"graph.py": "x = 1\n"}, "graph.py", "is no prompt"),
        ({"../up.md": "x"}, "../up.md", "is no prompt"),
        ({"prompts/../../up.md": "x"}, "prompts/../../up.md", "cannot be used as a file name"),
        ({"prompts/plan.md": "Plan ${tsak}.\n"}, "prompts/plan.md:1", "there is no variable 'tsak'; it has task"),
        ({"shadowgraph.toml": "[agents.write]\ntools = ['fly']\n"}, "shadowgraph.toml", "there is no tool 'fly'"),
        ({"shadowgraph.toml": "[agents.write\n"}, "shadowgraph.toml", "is not TOML"),
        ({"shadowgraph.toml": "[agents.write]\nmood = 1\n"}, "shadowgraph.toml", "mood"),
        ({"shadowgraph.toml": "[agents.write]\nprompt = 'prompts/no.md'\n"}, "shadowgraph.toml", "there is no prompt"),
        ({"prompts/write.md": "a\x00b"}, "prompts/write.md", "NUL"),
        ({"prompts/write.md": "x" * (1 << 20) + "y"}, "prompts/write.md", "a file may have"),
    ],
)
async def test_an_edit_that_cannot_be_is_refused_with_its_place_and_nothing_is_stored(
    client: httpx.AsyncClient, parts: ApiParts, files: dict[str, Any], pointer: str, said: str
) -> None:
    await upload(client)

    problem = require_problem(await edit(client, files), 422, "invalid_snapshot")

    assert list(pointers(problem)) == [pointer]
    assert said in problem["errors"][0]["detail"]
    assert await count(parts, snapshots) == 1


async def test_a_secret_in_a_prompt_is_refused_and_not_repeated(client: httpx.AsyncClient, parts: ApiParts) -> None:
    await upload(client)
    secret = "gsk_" + "aB1" * 10

    response = await edit(client, {"prompts/write.md": f"Hello\n{secret}\n"})

    problem = require_problem(response, 422, "secret_in_snapshot")
    assert list(pointers(problem)) == ["prompts/write.md:2"]
    assert secret not in response.text
    assert await count(parts, snapshots) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"files": {}}, "/base_version"),
        ({"base_version": "v1"}, "/files"),
        ({"base_version": "v1", "files": {}, "colour": 1}, "/colour"),
        ({"base_version": "v1", "files": {"a": 1}}, "/files/a"),
        ({"base_version": "", "files": {}}, "/base_version"),
        ({"base_version": "v1", "files": [], "message": "x"}, "/files"),
        ({"base_version": "v1", "files": {}, "message": "x" * 2_001}, "/message"),
    ],
)
async def test_an_edit_of_another_shape_is_refused(client: httpx.AsyncClient, body: Any, pointer: str) -> None:
    problem = require_problem(await client.post(f"{AGENT}/versions", json=body), 422, "invalid_request")

    assert pointer in list(pointers(problem))


async def test_what_goes_with_an_archive_does_not_go_with_json(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{AGENT}/versions?commit=abcdef1", json={"base_version": "v1", "files": {}})

    assert list(pointers(require_problem(response, 422, "invalid_request"))) == ["?commit"]


async def test_bodies_of_another_kind_are_refused(client: httpx.AsyncClient) -> None:
    async def send(body: bytes, kind: str | None) -> httpx.Response:
        return await client.post(f"{AGENT}/versions", content=body, headers={"Content-Type": kind} if kind else {})

    require_problem(await send(b"{}", None), 415, "unsupported_media_type")
    require_problem(await send(b"{}", "text/plain"), 415, "unsupported_media_type")
    require_problem(await send(b"{", "application/json"), 422, "malformed_json")
    require_problem(await send(b"", "application/json"), 422, "empty_body")
    require_problem(await send(b"no zip", "application/zip"), 422, "invalid_snapshot")
    require_problem(await send(b"x" * (MAX_ARCHIVE_BYTES + 1), "application/zip"), 413, "body_too_large")


async def test_an_archive_may_be_larger_than_other_bodies(client: httpx.AsyncClient) -> None:
    long = {f"prompts/p{number}.md": "word \n" * 60_000 for number in range(2)}

    assert (await upload(client, make_snapshot(long))).status_code == 201


async def test_an_archive_of_another_workflow_or_with_a_flipped_bit_is_refused(
    client: httpx.AsyncClient, parts: ApiParts
) -> None:
    flipped = bytearray(write_archive(FIRST))
    flipped[flipped.find(b"You write")] ^= 1

    other = require_problem(await upload(client, workflow="other"), 422, "invalid_snapshot")
    torn = await client.post(f"{AGENT}/versions", content=bytes(flipped), headers=ZIP)

    assert list(pointers(other)) == ["langgraph.json"]
    require_problem(torn, 422, "invalid_snapshot")
    assert await count(parts, versions) == 0


async def test_new_code_is_refused_where_others_can_reach_the_server(parts: ApiParts) -> None:
    exposed: dict[str, Any] = {"host": "0.0.0.0", "insecure_bind": True}
    async with client_of(parts.services()) as local, client_of(parts.services(**exposed)) as client:
        require_problem(await upload(client), 403, "code_upload_refused")
        await upload(local)
        assert (await edit(client, {"prompts/write.md": "Write.\n"})).status_code == 201
        assert (await upload(client, snapshot_number(3))).status_code == 201
        changed = make_snapshot({"helper.py": "import os\n"})
        require_problem(await upload(client, changed), 403, "code_upload_refused")
    async with client_of(parts.services(**exposed, allow_code_upload=True)) as client:
        assert (await upload(client, changed)).status_code == 201


# --- reading --------------------------------------------------------------------------------------------------------------------


async def test_versions_are_listed_newest_first_page_by_page(client: httpx.AsyncClient) -> None:
    await added(client, 1, 2, 3)

    first = (await client.get(f"{AGENT}/versions?limit=2")).json()
    rest = (await client.get(f"{AGENT}/versions?limit=2&cursor={first['next_cursor']}")).json()

    assert [item["label"] for item in first["items"]] == ["v3", "v2"]
    assert [(item["label"], item["state"]) for item in rest["items"]] == [("v1", "active")]
    assert rest["next_cursor"] is None
    assert (await client.get(f"{V1}/workflows/nothing/versions")).json() == {"items": [], "next_cursor": None}
    require_problem(await client.get(f"{AGENT}/versions?cursor=x"), 422, "bad_cursor")


async def test_a_version_is_found_by_id_label_and_digest(client: httpx.AsyncClient) -> None:
    [one] = await added(client, 1)

    for name in (one["id"], "v1", one["snapshot_digest"]):
        assert (await client.get(f"{V1}/versions/{name}")).json() == one
    for name in ("v9", "ver_x", "0" * 64, "a%00b"):
        require_problem(await client.get(f"{V1}/versions/{name}"), 404, "version_not_found")
    await upload(client, make_snapshot(workflow="other"), workflow="other")
    problem = require_problem(await client.get(f"{V1}/versions/v1"), 422, "ambiguous_version")
    assert problem["workflows"] == ["agent", "other"]
    assert (await client.get(f"{V1}/versions/v1?workflow=agent")).json() == one


async def test_unfinished_runs_of_a_version_are_counted(client: httpx.AsyncClient, parts: ApiParts) -> None:
    releases = Releases(parts.database)
    [one, _] = await releases.deploy_many(2)
    for _ in range(2):
        await releases.pin(one)

    items = (await client.get(f"{AGENT}/versions")).json()["items"]

    assert {item["label"]: item["unfinished_runs"] for item in items} == {"v1": 2, "v2": 0}


async def test_a_snapshot_is_shown_exported_and_verified(client: httpx.AsyncClient, parts: ApiParts) -> None:
    version = (await upload(client)).json()

    shown = (await client.get(version["links"]["snapshot"], params={"verify": True})).json()
    exported = await client.get(version["links"]["export"])
    cached = await client.get(version["links"]["export"], headers={"If-None-Match": exported.headers["etag"]})

    assert shown["manifest"]["files"]["helper.py"]["size"] == 6
    assert shown["verification"] == {"ok": True, "problems": []}
    assert read_archive(exported.content) == FIRST
    assert exported.headers["content-type"] == "application/zip"
    assert cached.status_code == 304
    assert (await upload(client, read_archive(exported.content))).status_code == 200
    async with parts.database.write() as connection:
        await connection.execute(update(snapshots).values(purged_at=parts.services().clock.now()))
    assert not (await client.get(version["links"]["snapshot"], params={"verify": True})).json()["verification"]["ok"]
    require_problem(await client.get(version["links"]["export"]), 409, "version_purged")
    require_problem(await client.get(f"{V1}/snapshots/{'0' * 64}"), 404, "snapshot_not_found")
    require_problem(await client.get(f"{V1}/snapshots/x"), 404, "snapshot_not_found")


async def test_a_file_of_a_snapshot_is_shown_as_text(client: httpx.AsyncClient) -> None:
    path = (await upload(client)).json()["links"]["snapshot"]

    found = await client.get(f"{path}/files/prompts/plan.md")

    assert (found.text, found.headers["content-type"]) == ("You plan ${task}.\n", "text/plain; charset=utf-8")
    require_problem(await client.get(f"{path}/files/prompts/none.md"), 404, "snapshot_file_not_found")


async def test_two_versions_are_compared(client: httpx.AsyncClient) -> None:
    await upload(client)
    digest = (await edit(client, {"prompts/write.md": "You write briefly.\n"})).json()["snapshot_digest"]

    by_label = (await client.get(f"{V1}/snapshots/diff?a=v1&b=v2")).json()
    by_digest = (await client.get(f"{V1}/snapshots/diff?a={FIRST.digest}&b={digest}")).json()

    assert by_label == by_digest
    assert by_label["facets"] == ["data"]
    assert by_label["nodes"] == [{"node": "write", "change": "changed", "parts": ["prompts"]}]
    assert by_label["prompts"][0]["words"][1] == {"change": "added", "text": " briefly"}
    assert by_label["requires"] == "nothing"
    await upload(client, make_snapshot(workflow="other"), workflow="other")
    other = make_snapshot(workflow="other").digest
    require_problem(await client.get(f"{V1}/snapshots/diff?a={digest}&b={other}"), 422, "different_workflows")
    require_problem(await client.get(f"{V1}/snapshots/diff?a=v1&b=v2"), 422, "ambiguous_version")
    require_problem(await client.get(f"{V1}/snapshots/diff?a=v1"), 422, "invalid_request")


async def test_without_versioning_nothing_is_said_of_versions(parts: ApiParts) -> None:
    async with client_of(parts.services(versioning_enabled=False)) as client:
        for path in (f"{AGENT}/versions", f"{AGENT}/release", f"{V1}/versions/v1", f"{V1}/snapshots/{'0' * 64}"):
            require_problem(await client.get(path), 404, "versioning_disabled")
        require_problem(await upload(client), 404, "versioning_disabled")


# --- releases -------------------------------------------------------------------------------------------------------------------


async def test_a_release_is_promoted_and_rolled_back(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one, two = await added(client, 1, 2)

    promoted = (await post(client, f"{AGENT}/promote", version="v2", reason="better", expected_revision=1)).json()
    states = {item["label"]: item["state"] for item in (await client.get(f"{AGENT}/versions")).json()["items"]}
    back = (await post(client, f"{AGENT}/rollback")).json()

    assert promoted["release"] == {
        **promoted["release"],
        "workflow": "agent",
        "revision": 2,
        "active": {"id": two["id"], "label": "v2", "snapshot_digest": two["snapshot_digest"]},
        "previous": {"id": one["id"], "label": "v1", "snapshot_digest": one["snapshot_digest"]},
        "candidate": None,
    }
    assert (promoted["event"]["action"], promoted["event"]["reason"], promoted["moved"]) == ("promote", "better", {})
    assert promoted["release"]["hash"] == promoted["event"]["hash"]
    assert any(promoted["event"]["hash"] in record.getMessage() for record in caplog.records)
    assert states == {"v1": "retired", "v2": "active"}
    assert (back["release"]["active"]["label"], back["release"]["revision"]) == ("v1", 3)
    assert (await client.get(f"{AGENT}/release")).json() == back["release"]
    assert (await client.get(f"{V1}/versions/v2")).json()["withdrawn"] is True


async def test_refusals_say_how_the_release_stands(client: httpx.AsyncClient) -> None:
    one, _ = await added(client, 1, 2)

    stale = await post(client, f"{AGENT}/promote", version="v2", expected_revision=7)
    same = await post(client, f"{AGENT}/promote", version="v1")

    for response, code in ((stale, "revision_conflict"), (same, "already_active")):
        problem = require_problem(response, 409, code)
        assert (problem["revision"], problem["active_version"]) == (1, one["id"])
    require_problem(await post(client, f"{AGENT}/rollback"), 409, "no_good_version")
    require_problem(await post(client, f"{AGENT}/rollback", to="v2"), 409, "never_active")
    require_problem(await post(client, f"{AGENT}/promote", version="v9"), 404, "version_not_found")
    require_problem(await post(client, f"{V1}/workflows/no/promote", version="v1"), 404, "version_not_found")
    require_problem(await post(client, f"{V1}/workflows/no/rollback"), 404, "release_not_found")
    require_problem(await client.get(f"{V1}/workflows/no/release"), 404, "release_not_found")
    require_problem(await client.get(f"{V1}/workflows/no/release/events"), 404, "release_not_found")


async def test_a_withdrawn_version_needs_force_and_force_a_reason(client: httpx.AsyncClient) -> None:
    await added(client, 1, 2)
    await post(client, f"{V1}/versions/v2/withdraw", reason="too long")

    require_problem(await post(client, f"{AGENT}/promote", version="v2"), 409, "version_withdrawn")
    problem = require_problem(await post(client, f"{AGENT}/promote", version="v2", force=True), 422, "invalid_request")
    forced = await post(client, f"{AGENT}/promote", version="v2", force=True, reason="undo")

    assert list(pointers(problem)) == ["/reason"]
    assert forced.json()["release"]["active"]["label"] == "v2"


async def test_versions_are_withdrawn_kept_and_revoked(client: httpx.AsyncClient) -> None:
    await added(client, 1, 2)

    kept = await post(client, f"{V1}/versions/v1/keep")
    again = await post(client, f"{V1}/versions/v1/keep")
    revoked = await post(client, f"{V1}/versions/v2/revoke", reason="leaks")

    assert (kept.json()["event"]["action"], again.json()["event"]) == ("keep", None)
    assert (await client.get(f"{V1}/versions/v1")).json()["keep"] is True
    shown = (await client.get(f"{V1}/versions/v2")).json()
    assert (shown["state"], shown["revoke_reason"], revoked.status_code) == ("revoked", "leaks", 200)
    require_problem(await post(client, f"{AGENT}/promote", version="v2"), 409, "version_revoked")
    require_problem(await post(client, f"{V1}/versions/v1/withdraw"), 409, "version_in_use")
    require_problem(await post(client, f"{V1}/versions/v1/revoke"), 409, "no_good_version")
    assert (await post(client, f"{V1}/versions/v1/keep", keep=False)).json()["event"]["action"] == "keep"


async def test_the_same_key_twice_is_one_change(client: httpx.AsyncClient) -> None:
    await added(client, 1, 2, 3)

    first = await post(client, f"{AGENT}/promote", key="k1", version="v2")
    await post(client, f"{AGENT}/promote", key="k2", version="v3")
    again = await post(client, f"{AGENT}/promote", key="k1", version="v2")

    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["event"] == first.json()["event"]
    assert again.json()["release"]["active"]["label"] == "v3"
    reused = await post(client, f"{AGENT}/promote", key="k1", version="v1")
    require_problem(reused, 422, "idempotency_key_reused")
    elsewhere = await post(client, f"{V1}/versions/v2/keep", key="k1")
    require_problem(elsewhere, 422, "idempotency_key_reused")


async def test_two_operators_at_once_get_one_change_and_one_refusal(client: httpx.AsyncClient) -> None:
    await added(client, 1, 2, 3)

    responses = await asyncio.gather(
        *(post(client, f"{AGENT}/promote", version=label, expected_revision=1) for label in ("v2", "v3"))
    )

    [won] = [response for response in responses if response.status_code == 200]
    [lost] = [response for response in responses if response.status_code == 409]
    assert lost.json()["active_version"] == won.json()["release"]["active"]["id"]


async def test_runs_under_way_are_moved_and_told(client: httpx.AsyncClient, parts: ApiParts) -> None:
    releases = Releases(parts.database)
    _, two = await releases.deploy_many(2)
    await releases.promote(two)
    run, nudges = await releases.pin(two), parts.nudges.count

    async with parts.wakeups.subscribe(run.id) as wakes:
        back = (await post(client, f"{AGENT}/rollback", in_flight="restart")).json()
        seen = await asyncio.wait_for(anext(wakes), 5)

    shown = (await client.get(f"{V1}/runs/{run.id}")).json()
    assert (back["moved"], back["event"]["moved_runs"], back["event"]["in_flight"]) == ({"QUEUED": 1}, 1, "restart")
    assert (shown["status"], shown["reason"]) == ("QUEUED", "restarted")
    assert seen == Wake(run_id=run.id, seq=(await releases.run(run)).event_seq)
    assert parts.nudges.count > nudges
    async with parts.database.read() as connection:
        assert await connection.scalar(select(runs.c.version_id)) is None


async def test_changes_are_listed_newest_first_and_the_chain_is_checked(
    client: httpx.AsyncClient, parts: ApiParts
) -> None:
    await added(client, 1, 2)
    for label in ("v2", "v1", "v2"):
        await post(client, f"{AGENT}/promote", version=label)

    first = (await client.get(f"{AGENT}/release/events?limit=3&verify=1")).json()
    rest = (await client.get(f"{AGENT}/release/events?limit=3&cursor={first['next_cursor']}")).json()

    assert [event["revision"] for event in (*first["items"], *rest["items"])] == [4, 3, 2, 1]
    assert first["verification"] == {"ok": True, "checked": 4, "problems": []}
    assert (rest["verification"], rest["next_cursor"]) == (None, None)


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("promote", {}, "/version"),
        ("promote", {"version": "v1", "in_flight": "explode"}, "/in_flight"),
        ("promote", {"version": "v1", "expected_revision": 0}, "/expected_revision"),
        ("promote", {"version": "v1", "colour": 1}, "/colour"),
        ("rollback", {"to": ""}, "/to"),
        ("rollback", {"reason": "a\x00"}, "/reason"),
    ],
)
async def test_changes_of_another_shape_are_refused(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], pointer: str
) -> None:
    problem = require_problem(await client.post(f"{AGENT}/{path}", json=body), 422, "invalid_request")

    assert list(pointers(problem)) == [pointer]


async def test_a_score_is_not_served_yet(client: httpx.AsyncClient) -> None:
    problem = require_problem(await post(client, f"{AGENT}/promote", version="v1", if_score=0.9), 422, "not_served_yet")

    assert list(pointers(problem)) == ["/if_score"]


async def test_parameters_of_agents_survive_export_and_import(client: httpx.AsyncClient) -> None:
    snapshot = make_snapshot(agents={"write": AgentSettings(temperature=0.25, model="default")})
    version = (await upload(client, snapshot)).json()

    assert read_archive((await client.get(version["links"]["export"])).content) == snapshot


# --- runs of a version ----------------------------------------------------------------------------------------------------------


async def start(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(f"{V1}/runs", json={"workflow": "agent", "input": {}, **fields})


@pytest.mark.parametrize("name", ["label", "id", "snapshot_digest"])
async def test_a_request_may_say_which_version_its_run_is_one_of(
    client: httpx.AsyncClient, parts: ApiParts, name: str
) -> None:
    _, second = await added(client, 1, 2)

    accepted = await start(client, version=second[name])

    assert accepted.status_code == 202, accepted.text
    assert accepted.json()["version"] == (await client.get(accepted.headers["location"])).json()["version"] == "v2"
    async with parts.database.read() as connection:
        run = await require_run(connection, accepted.json()["id"])
    assert (run.version_id, run.snapshot_digest) == (second["id"], second["snapshot_digest"])
    assert (await client.get(f"{AGENT}/versions")).json()["items"][0]["runs"] == 1


async def test_a_version_that_cannot_run_starts_no_run(client: httpx.AsyncClient, parts: ApiParts) -> None:
    await added(client, 1, 2)
    await upload(client, snapshot_number(1, "other"), "other")
    other = (await client.get(f"{V1}/workflows/other/versions")).json()["items"][0]["id"]
    await post(client, f"{V1}/versions/v2/revoke?workflow=agent", reason="it leaks")

    require_problem(await start(client, version="v2"), 409, "version_revoked")
    require_problem(await start(client, version="v9"), 404, "version_not_found")
    require_problem(await start(client, version=other), 404, "version_not_found")
    assert await count(parts, runs) == 0


async def test_runs_are_found_by_their_version(client: httpx.AsyncClient) -> None:
    first, second = await added(client, 1, 2)
    by_version = {name: (await start(client, version=name)).json()["id"] for name in ("v1", "v2")}
    await start(client)

    async def found(*names: str) -> set[str]:
        page = await client.get(f"{V1}/runs", params={"version": list(names)})
        return {run["id"] for run in page.json()["items"]}

    assert await found("v1") == await found(first["id"]) == {by_version["v1"]}
    assert await found("v1", second["id"]) == set(by_version.values())
    assert await found("v9") == set()

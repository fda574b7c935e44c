"""How a new version comes in: as an archive, or as other texts for the prompts of a version that is there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.json_bodies import UnsupportedMediaType, parse_json, require_json_type
from shadowgraph.api.schemas.versions import NewVersion, UploadParameters
from shadowgraph.api.services import ApiServices
from shadowgraph.core.errors import Forbidden
from shadowgraph.engine.loading.errors import BadProject
from shadowgraph.engine.loading.options import OPTIONS_FILE, agents_in
from shadowgraph.runs.service import LOCAL_OWNER
from shadowgraph.versioning import repository, service
from shadowgraph.versioning.archive import read_archive
from shadowgraph.versioning.editing import Edit, edit_snapshot
from shadowgraph.versioning.errors import invalid, place, refuse
from shadowgraph.versioning.files import GRAPHS_FILE
from shadowgraph.versioning.registered import registered_tools
from shadowgraph.versioning.snapshot import Snapshot
from shadowgraph.versioning.store import BlobFiles

ARCHIVE_TYPE = "application/zip"


class CodeUploadRefused(Forbidden):
    """Code that is new here, on a server that others can reach."""

    code = "code_upload_refused"


@dataclass(frozen=True, slots=True)
class Upload:
    snapshot: Snapshot
    new: service.NewVersion


async def receive(request: Request, services: ApiServices, workflow: str, parameters: UploadParameters) -> Upload:
    """Everything is checked; nothing is stored.

    Errors: `InvalidSnapshot`, `SecretInSnapshot`, `CodeUploadRefused`, `UnsupportedMediaType`; those of a JSON body; `VersionNotFound`.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == ARCHIVE_TYPE:
        return await _receive_archive(await request.body(), services, workflow, parameters)
    try:
        require_json_type(content_type)
    except UnsupportedMediaType as error:
        raise UnsupportedMediaType(error.message, hint=f"send JSON, or an archive as {ARCHIVE_TYPE}") from error
    return await _receive_edit(await request.body(), services, workflow, parameters)


async def _receive_archive(body: bytes, services: ApiServices, workflow: str, parameters: UploadParameters) -> Upload:
    snapshot = await asyncio.to_thread(read_archive, body)
    if snapshot.manifest.workflow != workflow:
        refuse([place(GRAPHS_FILE, f"has the workflow {snapshot.manifest.workflow!r}, not {workflow!r}")])
    async with services.database.read() as connection:
        await _require_known_code(connection, services, snapshot)
    provenance = parameters.model_dump(exclude={"message"}, exclude_none=True)
    return Upload(snapshot, service.NewVersion(parameters.message or "", LOCAL_OWNER, provenance))


async def _require_known_code(connection: AsyncConnection, services: ApiServices, snapshot: Snapshot) -> None:
    """Errors: `CodeUploadRefused`."""
    settings = services.settings
    if settings.is_loopback or settings.allow_code_upload:
        return
    manifest = snapshot.manifest
    if not await repository.load_manifests(connection, manifest.workflow, code=manifest.facets["code"], limit=1):
        raise CodeUploadRefused("this archive has code that no version of this workflow has")


async def _receive_edit(body: bytes, services: ApiServices, workflow: str, parameters: UploadParameters) -> Upload:
    wanted = _parse_edit(body, parameters)
    edit = Edit({path: text for path, text in wanted.files.items() if path != OPTIONS_FILE}, _agents(wanted))
    async with services.database.read() as connection:
        base = await service.require_version(connection, wanted.base_version, workflow=workflow)
        snapshot = await service.load_snapshot(connection, blob_files(services), base.snapshot_digest)
    edited = await asyncio.to_thread(edit_snapshot, snapshot, edit, registered=registered_tools())
    return Upload(edited, service.NewVersion(wanted.message, LOCAL_OWNER, {"base_version": base.id}))


def _parse_edit(body: bytes, parameters: UploadParameters) -> NewVersion:
    """Errors: `RequestValidationError`; those of a JSON body."""
    beside = sorted(parameters.model_fields_set)
    if beside:
        raise RequestValidationError([_error(("query", beside[0]), "goes with an archive only")])
    try:
        return NewVersion.model_validate(parse_json(body))
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from error


def _error(where: Sequence[str], message: str) -> dict[str, Any]:
    return {"type": "value_error", "loc": where, "msg": message, "input": None}


def _agents(wanted: NewVersion) -> Any:
    """Errors: `InvalidSnapshot`. None: the base's."""
    if OPTIONS_FILE not in wanted.files:
        return None
    try:
        return agents_in(wanted.files[OPTIONS_FILE] or "")
    except BadProject as error:
        raise invalid([place(OPTIONS_FILE, error.message.removeprefix(f"{OPTIONS_FILE}: "))]) from error


def blob_files(services: ApiServices) -> BlobFiles:
    return BlobFiles(services.settings.snapshots)

"""Every error code of snapshots, versions and releases: its status, what it means and what to do."""

from collections.abc import Mapping

RELEASE_ERRORS: Mapping[str, tuple[int, str, str, str]] = {
    "invalid_snapshot": (
        422,
        "The snapshot is not sound",
        "A file cannot be part of it, an archive or manifest is not what it says, parameters name what is not there, or a prompt has a variable "
        "that its code does not fill in. `errors` names each place: a path in the project, with its line where there is one. Nothing was stored.",
        "Correct the named places.",
    ),
    "secret_in_snapshot": (
        422,
        "There is a secret in it",
        "A line looks like a key or a password; `errors` names each. Versions are stored, exported and shown. Nothing was stored.",
        "Keep it in the environment. When it is none, say so in its line: pragma: allowlist secret",
    ),
    "snapshot_not_found": (
        404,
        "Snapshot not found",
        "There is no snapshot with this digest.",
        "GET /api/v1/workflows/{name}/versions shows the digest of each version.",
    ),
    "snapshot_file_not_found": (
        404,
        "File not found",
        "The snapshot has no file with this path.",
        "The manifest lists its files: GET /api/v1/snapshots/{digest}",
    ),
    "snapshot_damaged": (
        500,
        "A stored snapshot is damaged",
        "What is stored is not what its digest says; `errors` names each file. Nothing of it was used.",
        "Register the same content again (versions deploy, versions import), or restore the database from a backup.",
    ),
    "different_workflows": (
        422,
        "They belong to two workflows",
        "Only versions of one workflow can be compared.",
        "Compare versions of one workflow.",
    ),
    "version_not_found": (
        404,
        "Version not found",
        "There is no version with this id, label or digest.",
        "GET /api/v1/workflows/{name}/versions lists those that there are.",
    ),
    "ambiguous_version": (
        422,
        "Several workflows may have it",
        "A label such as v3 means a version within a workflow, and several workflows have versions; `workflows` names them.",
        "Add ?workflow=NAME, or name the version by its id.",
    ),
    "release_not_found": (
        404,
        "The workflow has no version",
        "Nothing was deployed for this workflow yet, or there is no such workflow.",
        "Start a worker that serves it, or deploy it: shadowgraph versions deploy DIR",
    ),
    "versioning_disabled": (
        404,
        "There are no versions here",
        "This server was started with VERSIONING_ENABLED=false.",
        "Start it without that setting.",
    ),
    "code_upload_refused": (
        403,
        "New code may not be uploaded here",
        "The server can be reached by others, there are no API keys yet, and the version has code that no version here has. Nothing was stored.",
        "Deploy from the server's own machine, or set ALLOW_CODE_UPLOAD=1 where something in front checks who calls. Prompts and parameters can be "
        "changed without that.",
    ),
    "revision_conflict": (
        409,
        "The release has changed",
        "Somebody else changed it; `revision` and `active_version` say how it stands now. Nothing was changed.",
        "Look at GET /api/v1/workflows/{name}/release again, and then decide.",
    ),
    "already_active": (
        409,
        "It is active already",
        "The version is the active one; `revision` says since which change at the latest.",
        "There is nothing to do.",
    ),
    "version_withdrawn": (
        409,
        "The version was withdrawn",
        "A rollback left it, or a person withdrew it.",
        "Promote it with force and a reason if you mean it, or choose another one.",
    ),
    "version_revoked": (
        409,
        "The version was revoked",
        "A revoked version is never active again.",
        "Choose another version, or deploy a new one.",
    ),
    "version_purged": (
        409,
        "The files of the version were collected",
        "It was not in use for long, so only its record is left.",
        "Register the same content again: versions deploy, or versions import.",
    ),
    "version_in_use": (
        409,
        "The version is in use",
        "It is active, or the candidate.",
        "Roll back, or promote another one; the version that a rollback leaves is withdrawn by it.",
    ),
    "never_active": (
        409,
        "The version was never active",
        "A rollback goes to a version that was active before.",
        "Promote it instead.",
    ),
    "no_good_version": (
        409,
        "There is nothing to roll back to",
        "No other version was active that is neither withdrawn nor revoked.",
        "Promote a version: GET /api/v1/workflows/{name}/versions lists them.",
    ),
}

"""Every error code of the API: its status, what it means and what to do. `GET /errors/{code}` shows it, and the schema quotes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shadowgraph.api.release_error_docs import RELEASE_ERRORS
from shadowgraph.api.run_error_docs import RUN_ERRORS

ERRORS_PATH = "/errors"


@dataclass(frozen=True, slots=True)
class ErrorDoc:
    status: int | None
    """None: runs fail with it, requests do not."""
    title: str
    meaning: str
    remedy: str


_DOCS = {
    "internal": ErrorDoc(
        500,
        "Something went wrong in the server",
        "The server met a defect of its own. Nothing that the request asked for was stored, unless a reply said so before.",
        "Try again; if it stays, report it with the request_id: the server's log has the details under it.",
    ),
    "payload_missing": ErrorDoc(
        500,
        "A stored text is missing",
        "A row refers to a body that is no longer in the database.",
        "Restore the database from a backup; report it with the request_id.",
    ),
    "database_unavailable": ErrorDoc(
        503,
        "The database does not answer",
        "The database is away or too busy. Nothing was stored.",
        "Try again after Retry-After. GET /readyz says what is wrong and how to mend it.",
    ),
    "schema_outdated": ErrorDoc(
        503,
        "The database has an older schema",
        "The database was not migrated to what this build needs.",
        "Run: shadowgraph migrate",
    ),
    "not_ready": ErrorDoc(
        503,
        "The server is not ready",
        "A part that the server needs does not answer; `checks` names it and says how to mend it.",
        "Mend the named part; GET /readyz answers 200 then.",
    ),
    "route_not_found": ErrorDoc(
        404,
        "There is no such route",
        "No route has this name.",
        "GET /routes lists them; PUT /routes/{name} makes one.",
    ),
    "route_changed": ErrorDoc(
        409,
        "The route was changed by somebody else",
        "Two changes of the same route came at the same moment; the other one holds.",
        "Look at the route and, if it is still wanted, send the change again.",
    ),
    "budget_still_exceeded": ErrorDoc(
        409,
        "The budget still has no room",
        "The run stopped at a call for which a budget had no room, and it has none yet; `missing_usd` is what its limit lacks.",
        "Raise the limit with PATCH /budgets/{id} (budget_id names it), then resume the run.",
    ),
    "budget_not_found": ErrorDoc(
        404,
        "There is no such budget",
        "No budget has this id.",
        "GET /budgets lists them; those of single runs with ?subject=run.",
    ),
    "budget_exists": ErrorDoc(
        409,
        "There is such a budget already",
        "A budget has this subject, name, window and action; `budget_id` names it.",
        "Change its limit with PATCH /budgets/{id}.",
    ),
    "budget_unfit": ErrorDoc(
        422,
        "The budget's parts do not go together",
        "A budget of everything has no name; every other one names what it limits.",
        "Correct subject and name.",
    ),
    "budget_changed": ErrorDoc(
        412,
        "The budget is not as you know it",
        "It was changed since the ETag that If-Match names. Nothing was changed now.",
        "GET it again, look, and send the new ETag.",
    ),
    "price_not_found": ErrorDoc(
        404,
        "Nobody has set a price for this model",
        "There is no override for this provider and model; the price list may still know it.",
        "GET /prices lists the overrides.",
    ),
    "costs_disabled": ErrorDoc(
        409,
        "Cost tracking is switched off",
        "The server runs with COST_TRACKING_ENABLED=false: no budget holds, and sums are not shown. Calls are written down all the same.",
        "Unset COST_TRACKING_ENABLED and start the server again.",
    ),
    "queue_full": ErrorDoc(
        429,
        "Too many runs are waiting",
        "As many runs wait for a worker as MAX_QUEUED_RUNS allows. Nothing was stored.",
        "Try again after Retry-After, start more workers, or raise MAX_QUEUED_RUNS.",
    ),
    "too_many_runs": ErrorDoc(
        429,
        "You have too many runs under way",
        "As many of your runs wait or run as MAX_RUNS_PER_OWNER allows. Nothing was stored.",
        "Try again after Retry-After, when some of them have ended.",
    ),
    "queue_too_old": ErrorDoc(
        429,
        "The queue stands still",
        "The oldest run of this workflow has waited for a worker for longer than MAX_QUEUE_AGE_S: a new one would only wait behind it. Nothing "
        "was stored.",
        "Look whether workers of this workflow are running, start more, or raise MAX_QUEUE_AGE_S.",
    ),
    "not_found": ErrorDoc(404, "Nothing is here", "No such path.", "GET /docs lists all paths."),
    "run_not_found": ErrorDoc(
        404, "Run not found", "There is no run with this id.", "GET /api/v1/runs lists the runs; ids begin with run_."
    ),
    "artifact_not_found": ErrorDoc(
        404,
        "File not found",
        "The run has no file with this path.",
        "GET /api/v1/runs/{run_id}/artifacts lists its files.",
    ),
    "workflow_not_found": ErrorDoc(
        404,
        "Workflow not found",
        "No worker has registered this workflow.",
        "GET /api/v1/workflows lists those that are.",
    ),
    "method_not_allowed": ErrorDoc(
        405, "Method not allowed", "The path exists, but not with this method.", "The Allow header names the methods."
    ),
    "wrong_state": ErrorDoc(
        409,
        "The run's state forbids it",
        "The verb does not fit the state of the run now; `state` says which it is, `possible` what can be done.",
        "Read the run again and choose from `possible`.",
    ),
    "thread_busy": ErrorDoc(
        409,
        "The thread is busy",
        "Another run of this thread is not finished; `run_id` names it. Nothing was stored.",
        'Wait for that run, cancel it, or send "on_busy": "enqueue" to wait in line.',
    ),
    "thread_not_found": ErrorDoc(
        404, "Thread not found", "No run has this thread id.", "GET /api/v1/threads lists the threads."
    ),
    "interaction_not_found": ErrorDoc(
        404,
        "Question not found",
        "There is no such question, or it belongs to another run.",
        "GET /api/v1/interactions lists the open ones.",
    ),
    "already_answered": ErrorDoc(
        409,
        "The question is closed",
        "Somebody answered it before, or its run went on without an answer. An answer is used once.",
        "Read the run again; `who` and `answered_at` say whose answer counted.",
    ),
    "ambiguous_answer": ErrorDoc(
        422,
        "Several questions are open",
        "The run asks more than one question; `interaction_ids` names them.",
        "Send the interaction_id of the question that you answer.",
    ),
    "checkpoint_not_found": ErrorDoc(
        404,
        "Checkpoint not found",
        "The run has no checkpoint with this id.",
        "GET /api/v1/runs/{run_id}/checkpoints lists its checkpoints.",
    ),
    "invalid_answer": ErrorDoc(
        422,
        "The answer does not fit the question",
        "The question carries a JSON schema, and the value does not fit it; `errors` names each place.",
        "Send a value that fits the schema of the question.",
    ),
    "thread_continues": ErrorDoc(
        409,
        "A later run continues this one",
        "A later run of the thread, named by `run_id`, began with the state of the one that is to be deleted. Nothing was deleted.",
        "Delete the later runs first, or the whole thread.",
    ),
    "has_forks": ErrorDoc(
        409,
        "The run has forks",
        "Forks began with a copy of the run's state, so its texts live on in them; `forks` names them. Nothing was deleted.",
        "Delete the forks first, or send cascade=1 to delete them along.",
    ),
    "idempotency_in_progress": ErrorDoc(
        409,
        "A request with this key is under way",
        "Another request with the same Idempotency-Key has not ended yet.",
        "Send the same request again after Retry-After: it gives the same run.",
    ),
    "idempotency_key_reused": ErrorDoc(
        422,
        "The Idempotency-Key belongs to another request",
        "The key came with another body within the last 24 hours.",
        "Send a new key for a new request, or the same body for the same run.",
    ),
    "body_too_large": ErrorDoc(
        413,
        "The request body is too large",
        "A request body may have 256 KB, or what MAX_INPUT_BYTES says.",
        "Shorten it; refer to large data instead of sending it along.",
    ),
    "unsupported_media_type": ErrorDoc(
        415,
        "The body is not declared as JSON",
        "The body must be JSON.",
        "Send the header Content-Type: application/json",
    ),
    "host_not_allowed": ErrorDoc(
        421,
        "The host name is not served here",
        "A server on loopback answers only to loopback names, because any web page can reach it under a name of its own.",
        "Use http://localhost or http://127.0.0.1, or add the name to ALLOWED_HOSTS.",
    ),
    "origin_not_allowed": ErrorDoc(
        403,
        "Another site may not do that",
        "A browser sent this changing request on behalf of a page of another origin.",
        "Add the origin to ALLOWED_ORIGINS when the page is yours.",
    ),
    "insecure_bind": ErrorDoc(
        403,
        "The address can be reached by others",
        "There are no API keys yet, so the server listens on loopback only.",
        "Keep HOST=127.0.0.1, or set SHADOWGRAPH_INSECURE_BIND=1 behind a proxy that checks who calls.",
    ),
    "empty_body": ErrorDoc(
        422, "The body is empty", "This request needs a JSON body.", 'Send for example {"query": "Build a snake game"}'
    ),
    "malformed_json": ErrorDoc(
        422,
        "The body is not JSON",
        "The body cannot be read as UTF-8 JSON; `detail` says where it breaks.",
        "Let a JSON library write the body.",
    ),
    "json_too_deep": ErrorDoc(
        422,
        "The body is nested too deeply",
        "JSON may be nested 64 levels deep.",
        "Flatten it, or send it as a string.",
    ),
    "invalid_request": ErrorDoc(
        422,
        "The request cannot be processed as sent",
        "A field or parameter is missing, unknown, of the wrong type or out of range; `errors` names each place: a JSON pointer into the body, "
        "?name for a query parameter, or the name of a header.",
        "Correct the named places.",
    ),
    "invalid_input": ErrorDoc(
        422,
        "The input does not fit the workflow",
        "The workflow's input schema refuses it; `errors` names each place.",
        "GET /api/v1/workflows/{name} shows the input schema.",
    ),
    "unknown_workflow": ErrorDoc(
        422,
        "There is no such workflow",
        "No worker has registered a workflow with this name.",
        "GET /api/v1/workflows lists those that are.",
    ),
    "not_served_yet": ErrorDoc(
        422,
        "This field is not served yet",
        "The field has a meaning that this version does not keep, so it is refused instead of ignored.",
        "Leave the field out.",
    ),
    "bad_cursor": ErrorDoc(
        422,
        "The cursor is not one of ours",
        "The cursor is not one that this server gave out.",
        "Leave it out to start from the beginning, or use next_cursor as it came.",
    ),
}

ERROR_DOCS: Mapping[str, ErrorDoc] = MappingProxyType(
    {code: ErrorDoc(None, *texts) for code, texts in RUN_ERRORS.items()}
    | {code: ErrorDoc(*doc) for code, doc in RELEASE_ERRORS.items()}
    | _DOCS
)


def title_of(code: str) -> str:
    """Also for codes that have no page, such as those of a node's own errors."""
    return ERROR_DOCS[code].title if code in ERROR_DOCS else code.replace("_", " ").capitalize()


def type_of(code: str) -> str:
    """The address of the page that explains the code; `about:blank` (RFC 9457) where there is none."""
    return f"{ERRORS_PATH}/{code}" if code in ERROR_DOCS else "about:blank"

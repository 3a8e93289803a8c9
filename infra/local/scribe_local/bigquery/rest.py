"""The REST API: https://cloud.google.com/bigquery/docs/reference/rest"""

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scribe_local.bigquery.calls import Call
from scribe_local.bigquery.pages import Page, page_of
from scribe_local.bigquery.refusals import Refused, invalid
from scribe_local.bigquery.service import Service
from scribe_local.bigquery.store import Document
from scribe_local.bigquery.uploads import multipart

# https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query: how long a query is waited for.
_QUERY_TIMEOUT_MS = 10_000
_LONGEST_TIMEOUT_MS = 200_000

_PROJECT = "/bigquery/v2/projects/{project}"
_DATASET = _PROJECT + "/datasets/{dataset}"
_TABLE = _DATASET + "/tables/{table}"


Answered = Document | Response | None
Handler = Callable[[Call], Answered]


def _rows(call: Call) -> Document:
    selected = [name for name in call.query.get("selectedFields", "").split(",") if name]
    return call.service.rows(call.table, page_of(call.query), selected)


def _query(call: Call) -> Document:
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/query"""
    body = call.body
    known = ("query", "useLegacySql", "parameterMode", "queryParameters", "defaultDataset", "maximumBytesBilled")
    given = {key: body[key] for key in known if key in body}
    configuration = {"query": given, "dryRun": bool(body.get("dryRun")), "labels": body.get("labels") or {}}
    reference = {"location": body["location"]} if body.get("location") else {}
    job = call.service.jobs.insert(call.project, {"configuration": configuration, "jobReference": reference})
    made = job["jobReference"]
    if body.get("dryRun"):
        query = job["statistics"]["query"]
        shown = {"jobComplete": True, "schema": query["schema"], "totalBytesProcessed": query["totalBytesProcessed"]}
        return {"kind": "bigquery#queryResponse", "jobReference": made, **shown}
    most = body.get("maxResults")
    whole = bool((body.get("formatOptions") or {}).get("useInt64Timestamp"))
    page = Page(most=None if most is None else int(most), whole_timestamps=whole)
    answer = call.service.jobs.results(
        call.project, made["jobId"], made["location"], page, _seconds(body.get("timeoutMs"))
    )
    return {**answer, "kind": "bigquery#queryResponse"}


def _results(call: Call) -> Document:
    page = page_of(call.query)
    return call.service.jobs.results(
        call.project, call.path["job"], call.location, page, _seconds(call.query.get("timeoutMs"))
    )


def _seconds(milliseconds: object) -> float:
    try:
        asked = int(str(milliseconds)) if milliseconds else _QUERY_TIMEOUT_MS
    except ValueError:
        raise invalid(f"Invalid timeoutMs: {milliseconds}") from None
    return min(asked, _LONGEST_TIMEOUT_MS) / 1000


def _upload(call: Call) -> Answered:
    kind = call.query.get("uploadType")
    if kind == "multipart":
        job, data = multipart(call.headers.get("content-type", ""), call.raw)
        return call.service.jobs.insert(call.project, job, data)
    if kind == "resumable":
        upload_id = call.service.uploads.begin(call.raw)
        at = f"http://{call.headers['host']}/upload/bigquery/v2/projects/{call.project}/jobs"
        headers = {"location": f"{at}?uploadType=resumable&upload_id={upload_id}", "x-guploader-uploadid": upload_id}
        return Response(status_code=200, headers=headers)
    raise invalid(f"Invalid uploadType: {kind}")


def _piece(call: Call) -> Answered:
    upload_id = call.query.get("upload_id", "")
    found = call.service.uploads.add(upload_id, call.headers.get("content-range", ""), call.raw)
    if isinstance(found, int):
        return Response(status_code=308, headers={"range": f"bytes=0-{found - 1}"} if found else {})
    return call.service.jobs.insert(call.project, *found)


_CALLS: list[tuple[str, str, Handler]] = [
    ("GET", _PROJECT + "/datasets", lambda call: call.service.datasets.list(call.project)),
    ("POST", _PROJECT + "/datasets", lambda call: call.service.datasets.insert(call.project, call.body)),
    ("GET", _DATASET, lambda call: call.service.datasets.get(call.dataset)),
    ("PATCH", _DATASET, lambda call: call.service.datasets.patch(call.dataset, call.body, call.match)),
    (
        "DELETE",
        _DATASET,
        lambda call: call.service.datasets.delete(call.dataset, contents=call.query.get("deleteContents") == "true"),
    ),
    ("GET", _DATASET + "/tables", lambda call: call.service.tables.list(call.dataset)),
    ("POST", _DATASET + "/tables", lambda call: call.service.tables.insert(call.dataset, call.body)),
    ("GET", _TABLE, lambda call: call.service.tables.get(call.table)),
    ("PATCH", _TABLE, lambda call: call.service.tables.patch(call.table, call.body, call.match)),
    ("DELETE", _TABLE, lambda call: call.service.tables.delete(call.table)),
    ("GET", _TABLE + "/data", _rows),
    (
        "POST",
        _TABLE + "/insertAll",
        lambda call: call.service.insert_all.insert(call.table, call.body, len(call.raw)),
    ),
    ("GET", _PROJECT + "/jobs", lambda call: call.service.jobs.newest(call.project)),
    ("POST", _PROJECT + "/jobs", lambda call: call.service.jobs.insert(call.project, call.body)),
    (
        "GET",
        _PROJECT + "/jobs/{job}",
        lambda call: call.service.jobs.get(call.project, call.path["job"], call.location),
    ),
    (
        "POST",
        _PROJECT + "/jobs/{job}/cancel",
        lambda call: call.service.jobs.cancel(call.project, call.path["job"], call.location),
    ),
    ("POST", _PROJECT + "/queries", _query),
    ("GET", _PROJECT + "/queries/{job}", _results),
    ("POST", "/upload" + _PROJECT + "/jobs", _upload),
    ("PUT", "/upload" + _PROJECT + "/jobs", _piece),
    ("GET", "/_scribe/health", lambda _: {"status": "healthy"}),
    ("GET", "/_scribe/settings", lambda call: msgspec.structs.asdict(call.service.settings.now)),
    ("PATCH", "/_scribe/settings", lambda call: msgspec.structs.asdict(call.service.settings.change(call.body))),
    ("DELETE", "/_scribe/settings", lambda call: msgspec.structs.asdict(call.service.settings.reset())),
]


def application(service: Service) -> Starlette:
    """The ASGI application."""
    routes = [Route(path, _endpoint(service, handler), methods=[method]) for method, path, handler in _CALLS]
    return Starlette(routes=routes)


def _endpoint(service: Service, handler: Handler) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        raw = await request.body()
        headers = dict(request.headers)
        return await run_in_threadpool(
            _answer, handler, Call(service, dict(request.path_params), dict(request.query_params), headers, raw)
        )

    return answer


def _answer(handler: Handler, call: Call) -> Response:
    try:
        if call.headers.get("content-encoding", "").lower() == "gzip":
            call = Call(call.service, call.path, call.query, call.headers, _unzipped(call.raw))
        found = handler(call)
    except Refused as refused:
        return _json(refused.document(), refused.status)
    if isinstance(found, Response):
        return found
    if found is None:
        return Response(status_code=204)
    # https://cloud.google.com/bigquery/docs/api-performance#partial-response, of which only whole top-level fields.
    wanted = call.query.get("fields")
    if wanted:
        names = {name.partition("/")[0].partition("(")[0] for name in wanted.split(",")}
        found = {name: value for name, value in found.items() if name in names}
    return _json(found, 200)


def _json(document: Document, status: int) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")


def _unzipped(raw: bytes) -> bytes:
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise invalid(f"The body is not gzip: {error}") from None

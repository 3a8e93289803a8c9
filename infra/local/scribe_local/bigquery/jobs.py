"""Jobs: https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs"""

import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scribe_local.bigquery.datasets import Datasets
from scribe_local.bigquery.etags import tagged
from scribe_local.bigquery.load_jobs import LoadJobs, load_order
from scribe_local.bigquery.pages import Page
from scribe_local.bigquery.queries import Answer, Queries
from scribe_local.bigquery.refusals import Refused, duplicate, invalid, not_found, unsupported
from scribe_local.bigquery.settings import LiveSettings
from scribe_local.bigquery.store import Document, Store

KIND = "job"
_DONE = "DONE"

# https://cloud.google.com/bigquery/docs/reference/rest/v2/JobReference
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")

Work = Callable[[], Document]


@dataclass(slots=True)
class _Live:
    """A job of this process."""

    done: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None


class Jobs:
    """Each job runs in a thread of its own; its id is taken for ever, also if it failed."""

    def __init__(
        self, store: Store, datasets: Datasets, loads: LoadJobs, queries: Queries, settings: LiveSettings
    ) -> None:
        self._store = store
        self._datasets = datasets
        self._loads = loads
        self._queries = queries
        self._settings = settings
        self._live: dict[str, _Live] = {}
        self._fail_interrupted()

    def insert(self, project: str, body: Document, data: bytes | None = None) -> Document:
        """Start a job and answer before it is done. Raises `Refused`, and then there is no job."""
        configuration = body.get("configuration") or {}
        if "load" in configuration:
            order = load_order(project, configuration["load"])
            if data is None:
                raise unsupported("load jobs from URIs: send the file with the job")
            location = self._datasets.need(order.table.parent)["location"]
            return self._start(project, body, "LOAD", location, lambda name: self._load(name, order, data))
        if "query" in configuration:
            if configuration.get("dryRun"):
                return self._dry_run(project, body)
            given = configuration["query"]
            return self._start(project, body, "QUERY", None, lambda name: self._query(name, project, given))
        raise unsupported(f"jobs of {', '.join(configuration) or 'no kind'}")

    def get(self, project: str, job_id: str, location: str | None) -> Document:
        """Raises `Refused`."""
        return tagged(self._need(_name(project, location or "US", job_id)))

    def newest(self, project: str) -> Document:
        """The newest first."""
        found = [job for name, job in self._store.documents(KIND).items() if name.startswith(f"{project}:")]
        return {"kind": "bigquery#jobList", "jobs": [{**job, "state": job["status"]["state"]} for job in found[::-1]]}

    def cancel(self, project: str, job_id: str, location: str | None) -> Document:
        """Ask a job to stop; one that has begun its effect goes on."""
        name = _name(project, location or "US", job_id)
        job = self._need(name)
        if name in self._live:
            self._live[name].cancelled.set()
        return {"kind": "bigquery#jobCancelResponse", "job": job}

    def results(self, project: str, job_id: str, location: str | None, page: Page, timeout: float) -> Document:
        """The rows of a query job, waited for up to `timeout` seconds. Raises `Refused`, also for a failed job."""
        name = _name(project, location or "US", job_id)
        job = self._need(name)
        live = self._live.get(name)
        if job["statistics"].get("query") is None and "query" not in job["configuration"]:
            raise invalid(f"Job {name} is not a query job")
        answer: Document = {"kind": "bigquery#getQueryResultsResponse", "jobReference": job["jobReference"]}
        if live is not None and not live.done.wait(timeout):
            return {**answer, "jobComplete": False}
        job = self._need(name)
        if "errorResult" in job["status"]:
            failed = job["status"]["errorResult"]
            raise Refused(_status(failed["reason"]), failed["reason"], failed["message"])
        if live is None or live.answer is None:
            raise not_found(f"the results of job {name}: the server was restarted")
        return {**answer, **_rows(live.answer, page)}

    def _start(
        self, project: str, body: Document, kind: str, location: str | None, work: Callable[[str], Document]
    ) -> Document:
        reference = body.get("jobReference") or {}
        job_id = str(reference.get("jobId") or f"job_{uuid.uuid4().hex}")
        if not _JOB_ID.fullmatch(job_id):
            raise invalid(f'Invalid job ID "{job_id}"')
        asked = reference.get("location")
        if asked and location and asked.upper() != location.upper():
            raise not_found(f"Dataset in location {asked}: it is in {location}")
        place = str(asked or location or "US")
        name = _name(project, place, job_id)
        now = _now()
        job: Document = {
            "kind": "bigquery#job",
            "id": name,
            "jobReference": {"projectId": project, "jobId": job_id, "location": place},
            "configuration": {**body["configuration"], "jobType": kind},
            "status": {"state": "RUNNING"},
            "statistics": {"creationTime": now, "startTime": now},
            "user_email": "local@scribe.invalid",
        }
        with self._store.transaction():
            if self._store.document(KIND, name) is not None:
                raise duplicate(f"Job {name}")
            self._store.put(KIND, name, job)
            self._live[name] = _Live()
        threading.Thread(target=self._work, args=(name, work), name=name, daemon=True).start()
        return tagged(job)

    def _work(self, name: str, work: Callable[[str], Document]) -> None:
        try:
            work(name)
        except Refused as refused:
            self._finish(name, {}, errors=refused.entries(), failed=True)
        except Exception as error:
            message = f"An internal error occurred: {type(error).__name__}: {error}"
            self._finish(name, {}, errors=[{"reason": "internalError", "message": message}], failed=True)
            raise
        finally:
            self._live[name].done.set()

    def _load(self, name: str, order: Any, data: bytes) -> Document:
        if self._live[name].cancelled.wait(self._settings.now.load_job_seconds):
            raise Refused(499, "stopped", "Job execution was cancelled: User requested cancellation")
        # The job is done in the moment that its rows are visible.
        with self._store.transaction():
            statistics, errors = self._loads.run(order, data)
            return self._finish(name, {"load": statistics}, errors=errors)

    def _query(self, name: str, project: str, given: Document) -> Document:
        with self._store.transaction():
            answer = self._queries.run(project, given)
            self._live[name].answer = answer
            return self._finish(name, {"query": _query_statistics(answer), "totalBytesProcessed": "0"})

    def _dry_run(self, project: str, body: Document) -> Document:
        answer = self._queries.run(project, body["configuration"]["query"], dry=True)
        now = _now()
        times = {"creationTime": now, "startTime": now, "endTime": now, "totalBytesProcessed": "0"}
        return tagged(
            {
                "kind": "bigquery#job",
                "jobReference": {"projectId": project, "location": "US"},
                "configuration": {**body["configuration"], "jobType": "QUERY"},
                "status": {"state": _DONE},
                "statistics": {**times, "query": {**_query_statistics(answer), "schema": _schema(answer)}},
            }
        )

    def _finish(
        self, name: str, statistics: Document, *, errors: list[dict[str, str]] | None = None, failed: bool = False
    ) -> Document:
        job = self._need(name)
        status: Document = {"state": _DONE}
        if errors:
            status["errors"] = errors
        if errors and failed:
            status["errorResult"] = errors[0]
        done = {**job, "status": status, "statistics": {**job["statistics"], **statistics, "endTime": _now()}}
        self._store.put(KIND, name, done)
        return done

    def _need(self, name: str) -> Document:
        found = self._store.document(KIND, name)
        if found is None:
            raise not_found(f"Job {name}")
        return found

    def _fail_interrupted(self) -> None:
        message = "The job encountered an error during execution. Retrying the job may solve the problem."
        for name, job in self._store.documents(KIND).items():
            if job["status"]["state"] != _DONE:
                self._finish(name, {}, errors=[{"reason": "backendError", "message": message}], failed=True)


def _rows(answer: Answer, page: Page) -> Document:
    found: Document = {"jobComplete": True, "cacheHit": False, "totalBytesProcessed": "0", "schema": _schema(answer)}
    if answer.changed is not None:
        return {**found, "numDmlAffectedRows": str(answer.changed)}
    return {**found, **page.answer(answer.fields, answer.rows.slice(page.start), answer.rows.num_rows)}


def _schema(answer: Answer) -> Document:
    return {"fields": [field.document() for field in answer.fields]}


def _query_statistics(answer: Answer) -> Document:
    found: Document = {"statementType": answer.kind, "cacheHit": False, "totalBytesProcessed": "0"}
    return found if answer.changed is None else {**found, "numDmlAffectedRows": str(answer.changed)}


def _status(reason: str) -> int:
    """https://cloud.google.com/bigquery/docs/error-messages#errortable"""
    return {"notFound": 404, "duplicate": 409, "quotaExceeded": 403, "internalError": 500, "notImplemented": 501}.get(
        reason, 400
    )


def _name(project: str, location: str, job_id: str) -> str:
    return f"{project}:{location.upper() if location.upper() in ('US', 'EU') else location}.{job_id}"


def _now() -> str:
    return str(time.time_ns() // 1_000_000)

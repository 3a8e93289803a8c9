"""`method: load`: a batch is a load job, whose id tells a repeat."""

import gzip
import hashlib
import io
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import msgspec
from anyio import to_thread
from google.api_core.exceptions import Conflict, NotFound
from google.cloud import bigquery

from scribe_connectors.gcp._errors import Said, judge
from scribe_connectors.gcp.bigquery.rows import RowForm
from scribe_connectors.gcp.bigquery.target import Target, describe
from scribe_export.errors import Misconfigured, PartialFailure, Rejected, SinkError, Throttled, Transient
from scribe_export.model import Batch, Encoded, Usage

PREFIX = "scribe_export_"
_FIRST_LOOK, _LONGEST_PAUSE = 0.2, 10.0
_POSITION = re.compile(r"row starting at position (\d+)")
# The statuses that https://cloud.google.com/bigquery/docs/error-messages gives for a job's reasons (seen 2026-11-23);
# a reason that is not here is the service's own trouble.
_STATUS = {
    "accessDenied": 403,
    "billingNotEnabled": 403,
    "billingTierLimitExceeded": 403,
    "blocked": 403,
    "notFound": 404,
    "jobRateLimitExceeded": 429,
    "quotaExceeded": 429,
    "rateLimitExceeded": 429,
    "resourcesExceeded": 429,
}


@dataclass(frozen=True, slots=True)
class Upload:
    """Lines of JSON as they are uploaded; `starts` are the positions of the rows before compression, `size` is theirs."""

    data: bytes
    starts: tuple[int, ...]
    size: int


class LoadJobs:
    """Uploads a batch with its job, and watches the job to its end.

    The job's id is made of the batch's, so that the service refuses the same batch a second time
    (409), and then the job that it has is looked at. https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def encode(self, batch: Batch, shape: Mapping[str, Any], limit: int) -> Encoded:
        form = RowForm(shape, nested=True)
        lines: list[bytes] = []
        refused: dict[int, Rejected] = {}
        encode = msgspec.json.Encoder().encode
        for index, record in enumerate(batch.records):
            try:
                line = encode(form.row(record)) + b"\n"
                check_size(len(line), limit)
                lines.append(line)
            except Rejected as error:
                refused[index] = error
        plain = b"".join(lines)
        data = gzip.compress(plain, 1, mtime=0) if shape["compression"] == "gzip" else plain
        starts = tuple(accumulate(map(len, lines), initial=0))
        return Encoded(batch, Upload(data, starts[:-1], starts[-1]), refused, len(data))

    def usage(self, encoded: Encoded) -> Usage:
        """A job is one request, however large its upload is and however often it is looked at."""
        upload: Upload = encoded.payload
        kept = {"gcp_bigquery.loaded_bytes": upload.size, "gcp_bigquery.stored_bytes": upload.size}
        return Usage({"requests": 1, "bytes_sent": len(upload.data)}, kept)

    async def write(self, encoded: Encoded) -> str:
        job = await to_thread.run_sync(self._start, encoded)
        clock = self._target.clock
        deadline = clock.monotonic() + self._target.options.job_timeout
        pause = _FIRST_LOOK
        while job.state != "DONE":
            if clock.monotonic() >= deadline:
                raise Throttled(f"job {job.job_id} is still {job.state}; the next attempt looks at it again")
            await clock.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
            job = await to_thread.run_sync(self._get, job.job_id)
        if job.error_result:
            raise await to_thread.run_sync(self._failed, job, encoded)
        return str(job.job_id)

    def _start(self, encoded: Encoded) -> Any:
        batch = encoded.batch
        job_id = job_name(batch, self._target.reference)
        if batch.attempt > 1:
            # Rather than to upload everything again only to hear that it is there.
            try:
                return self._get(job_id)
            except NotFound:
                pass
        data = encoded.payload.data
        try:
            return self._target.connection.client.load_table_from_file(
                io.BytesIO(data),
                self._target.reference,
                size=len(data),
                num_retries=0,
                job_id=job_id,
                # BigQuery runs it where the table is.
                location=self._target.options.location,
                job_config=self._config(),
                timeout=self._target.timeout,
            )
        except Conflict:
            pass
        try:
            return self._get(job_id)
        except NotFound as error:
            raise Transient(f"job {job_id} exists and cannot be found yet: {error.message}") from error

    def _config(self) -> bigquery.LoadJobConfig:
        # The table's own schema holds: a schema given here would have to agree with it in every mode.
        return bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            max_bad_records=0,
            ignore_unknown_values=False,
        )

    def _get(self, job_id: str) -> Any:
        return self._target.connection.client.get_job(
            job_id, location=self._target.location, retry=None, timeout=self._target.timeout
        )

    def _failed(self, job: Any, encoded: Encoded) -> SinkError:
        """A job that failed has written nothing, and its id is used up."""
        found: dict[str, Any] = dict(job.error_result or {})
        reason, message = str(found.get("reason", "")), f"job {job.job_id}: {describe(found)}"
        if reason == "invalid":
            error = self._misfit() or _of_rows(job.errors or (), encoded, message)
        elif reason == "stopped":
            error = Transient(f"{message}; somebody cancelled it")
        else:
            error = judge(Said(_STATUS.get(reason, 503), reason, message))
        error.burned, error.applied = True, "no"
        return error

    def _misfit(self) -> SinkError | None:
        """Whether the table is at fault, before a row is blamed."""
        try:
            self._target.table.look()
        except Misconfigured as error:
            return error
        return None


def job_name(batch: Batch, table: bigquery.TableReference) -> str:
    """Of the batch, its generation and its table: jobs of a project share one space of names."""
    place = hashlib.sha256(str(table).encode()).hexdigest()[:8]
    return f"{PREFIX}{batch.id}_{place}_{batch.generation}"


def _of_rows(errors: Iterable[Mapping[str, Any]], encoded: Encoded, message: str) -> SinkError:
    """The rows that the job names are at fault, by their positions. If it names none the lane finds those that are."""
    starts = encoded.payload.starts
    bad: dict[int, SinkError] = {}
    for error in errors:
        for position in map(int, _POSITION.findall(str(error.get("message", "")))):
            index = bisect_left(starts, position)
            if index < len(starts) and starts[index] == position:
                bad.setdefault(index, Rejected(describe(error), kind="row"))
    if not bad:
        return Transient(message, applied="no")
    rest = Transient("the job failed because of other rows", applied="no")
    return PartialFailure((), {index: bad.get(index, rest) for index in range(len(starts))})


def check_size(size: int, limit: int) -> None:
    """Raise `Rejected` for a row that is too large."""
    if size > limit:
        raise Rejected(f"a row of {size} bytes, and max_row_bytes is {limit}", kind="too_large")

"""The requests of a first write, made offline."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from google.cloud.bigquery_storage_v1 import types

from scribe_connectors.gcp._rehearsal import Answer
from scribe_connectors.gcp.bigquery.insert_rows import body_of
from scribe_connectors.gcp.bigquery.target import Target
from scribe_export.interface import Sink
from scribe_export.model import Encoded, Request


async def requests(offline: Sink, target: Target, encoded: Encoded) -> Sequence[Request]:
    """What `offline`, a sink that was never opened, would send by `target`. The stream's name is the batch's note, or
    ``-`` where none has been made."""
    rest, rpc = target.rest.rehearse(_answer), target.rpc.rehearse(_appended)
    target.table.assume_grown()
    if not encoded.batch.note:
        reference = target.reference
        parent = f"projects/{reference.project}/datasets/{reference.dataset_id}/tables/{reference.table_id}"
        encoded = replace(encoded, batch=replace(encoded.batch, note=f"{parent}/streams/-"))
    await offline.write(encoded)
    await offline.close()
    everyone = tuple(range(len(encoded.batch.records)))
    carried = (
        {body_of(part): part.members for part in encoded.payload}
        if encoded.batch.shape["method"] == "insert_rows"
        else {}
    )
    made = [replace(one, records=carried.get(one.body, everyone)) for one in (*rest.requests, *rpc.requests)]
    return sorted(made, key=lambda one: min(one.records, default=0))


def _answer(request: Request) -> Answer:
    done: dict[str, Any] = {"jobReference": {"projectId": "offline", "jobId": "offline"}, "status": {"state": "DONE"}}
    body = {"configuration": {"load": {}}} | done if "/jobs" in request.target else {}
    # Where a resumable upload goes on.
    return Answer(msgspec.json.encode(body), {"Location": f"{request.target}&upload_id=offline"})


def _appended(*_: Any) -> Any:
    return types.AppendRowsResponse.pb(types.AppendRowsResponse(append_result={"offset": 0}))

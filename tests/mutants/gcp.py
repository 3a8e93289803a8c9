"""Cloud Storage, BigQuery and Pub/Sub: what their answers mean."""

from mutants.mutant import Mutant

INSERT_ROWS = "connectors/scribe_connectors/gcp/bigquery/insert_rows.py"
LOAD = "connectors/scribe_connectors/gcp/bigquery/load.py"
STREAMS = "connectors/scribe_connectors/gcp/bigquery/storage_write.py"
PUBSUB = "connectors/scribe_connectors/gcp/pubsub.py"
PUBSUB_SOURCE = "connectors/scribe_connectors/gcp/pubsub_source.py"

BIGQUERY = "tests/integration/test_bigquery_sink.py"

MUTANTS = (
    Mutant(
        "gcs_put_unconditional",
        "a repeat writes no second generation of an object",
        "reliability B.2 1",
        "connectors/scribe_connectors/gcp/_upload.py",
        '"ifGenerationMatch": generation, **self._query}',
        "**self._query}",
        "tests/integration/test_gcp_storage.py::test_a_repeated_batch_writes_nothing_again[lake/{batch_id}.{ext}]",
    ),
    Mutant(
        "gcs_overwrites_blindly",
        "an overwrite replaces only the object that was looked at",
        "rule 9",
        "connectors/scribe_connectors/gcp/storage.py",
        "generation=found.tag)",
        "generation=str(self._bucket.find(item.key)['generation']))",
        "tests/integration/test_gcp_storage.py::test_an_overwrite_replaces_only_what_was_looked_at",
    ),
    Mutant(
        "insert_id_of_each_attempt",
        "a row that is sent again has the id that it had",
        "reliability B.2 11",
        INSERT_ROWS,
        "hashlib.sha256(ident.encode()).hexdigest().encode()",
        '__import__("uuid").uuid4().hex.encode()',
        f"{BIGQUERY}::test_invalid_rows_are_refused_and_stopped_ones_come_again_with_their_ids",
    ),
    Mutant(
        "row_errors_ignored",
        "a row that BigQuery names as wrong in an answer of 200 is no success",
        "reliability B.2 10",
        INSERT_ROWS,
        'for one in answer.get("insertErrors", ()):',
        'for one in answer.get("errors", ()):',
        f"{BIGQUERY}::test_invalid_rows_are_refused_and_stopped_ones_come_again_with_their_ids",
    ),
    Mutant(
        "stopped_rows_are_refused",
        "good rows beside an invalid one are sent again",
        "reliability B.2 10",
        INSERT_ROWS,
        "    if reason in _NEVER_TRIED:",
        "    if reason in _NEVER_TRIED and not message:",
        f"{BIGQUERY}::test_invalid_rows_are_refused_and_stopped_ones_come_again_with_their_ids",
    ),
    Mutant(
        "load_job_of_each_attempt",
        "a load job that is asked for again is the same job",
        "rule 8",
        LOAD,
        'return f"{PREFIX}{batch.id}_{place}_{batch.generation}"',
        'return f"{PREFIX}{batch.id}_{place}_{batch.generation}_{batch.attempt}"',
        f"{BIGQUERY}::test_a_job_that_runs_on_is_unknown_and_the_next_attempt_watches_the_same",
    ),
    Mutant(
        "load_job_id_used_again",
        "after a load job failed, the batch goes in by another",
        "rule 8",
        LOAD,
        'return f"{PREFIX}{batch.id}_{place}_{batch.generation}"',
        'return f"{PREFIX}{batch.id}_{place}"',
        f"{BIGQUERY}::test_a_used_up_quota_throttles_and_the_batch_goes_in_once_there_is_some",
    ),
    Mutant(
        "running_job_is_done",
        "a load job counts once it has ended",
        "rule 8",
        LOAD,
        'while job.state != "DONE":',
        'while job.state == "PENDING":',
        f"{BIGQUERY}::test_a_job_that_runs_on_is_unknown_and_the_next_attempt_watches_the_same",
    ),
    Mutant(
        "failed_job_is_done",
        "a load job that ended with errors is no success",
        "rule 8",
        LOAD,
        "        if job.error_result:\n",
        "        if job.error_result and not job.errors:\n",
        f"{BIGQUERY}::test_a_row_that_the_table_refuses_is_named_and_the_name_is_burned",
    ),
    Mutant(
        "failed_job_burns_nothing",
        "a load job that failed has used up its id",
        "rule 8",
        LOAD,
        'error.burned, error.applied = True, "no"',
        'error.applied = "no"',
        f"{BIGQUERY}::test_a_row_that_the_table_refuses_is_named_and_the_name_is_burned",
    ),
    Mutant(
        "load_truncates",
        "a load job adds to the table",
        "rule 8",
        LOAD,
        "bigquery.WriteDisposition.WRITE_APPEND",
        "bigquery.WriteDisposition.WRITE_TRUNCATE",
        "tests/contract/test_gcp_bigquery.py::TestLoadJobs::test_concurrent_writes_all_arrive",
    ),
    Mutant(
        "append_without_an_offset",
        "an append that is made again is refused by its offset",
        "reliability B.2 14",
        STREAMS,
        "            offset=0,\n",
        "",
        "tests/integration/test_bigquery_streams.py::test_a_repeat_is_refused_at_its_offset_and_counts_as_written",
    ),
    Mutant(
        "stream_renewed_on_unknown",
        "a stream that may have been written to is not replaced by another",
        "rule 8",
        STREAMS,
        "        if encoded.batch.attempt == 1:\n",
        "        if encoded.batch.attempt:\n",
        "tests/integration/test_bigquery_streams.py"
        "::test_a_stream_that_is_gone_is_made_anew_only_if_nothing_can_have_been_written",
    ),
    Mutant(
        "lost_publish_taken_for_refused",
        "a publish that broke off may have been taken",
        "rule 4",
        "connectors/scribe_connectors/gcp/_rpc_errors.py",
        'applied="no" if code in _DEFINITE else "unknown"',
        'applied="no" if code else "unknown"',
        "tests/integration/test_pubsub_sink.py"
        "::TestErrors::test_a_status_is_judged_by_its_code[StatusCode.UNAVAILABLE-Transient-unknown]",
    ),
    Mutant(
        "order_lost_after_a_failure",
        "of an ordering key nothing is published before what failed",
        "reliability B.2 6",
        PUBSUB,
        'elif (encoded.batch.shape or self.shape())["ordering_key"]:',
        "elif not parts:",
        "tests/integration/test_pubsub_sink.py"
        "::TestErrors::test_of_several_requests_those_that_passed_are_acked[{material}]",
    ),
    Mutant(
        "acked_before_journalled",
        "a message is acknowledged to its subscription only once it is journalled",
        "mutant A",
        PUBSUB_SOURCE,
        "            self._held.add(messages, leased=False)\n",
        "            self._held.add(messages, leased=False)\n            self._held.acknowledge(messages)\n",
        "tests/contract/test_gcp_pubsub.py::TestMessagesReadBack::test_what_was_not_committed_comes_again",
    ),
    Mutant(
        "pushed_message_acked_when_refused",
        "of a delivery that was refused every message comes again",
        "§3, acked or nacked exactly once",
        PUBSUB_SOURCE,
        "            await to_thread.run_sync(partial(self._held.give_back, messages, later=self.context.once))\n",
        "            await to_thread.run_sync(self._held.acknowledge, messages)\n",
        "tests/contract/test_gcp_pubsub.py::TestMessagesReadBack::test_what_was_nacked_comes_again",
    ),
)

"""Object stores, SQS, DynamoDB and Lambda: what their answers mean."""

from mutants.mutant import Mutant

ARCHIVE = "core/scribe_export/archives/sink.py"
S3 = "connectors/scribe_connectors/aws/s3.py"
SQS = "connectors/scribe_connectors/aws/sqs.py"
SQS_SOURCE = "connectors/scribe_connectors/aws/sqs_source.py"
WRITING = "connectors/scribe_connectors/aws/_dynamodb_writing.py"
LAMBDA = "connectors/scribe_connectors/aws/lambda_.py"

OBJECTS = "tests/unit/test_objects.py"

MUTANTS = (
    Mutant(
        "taken_name_is_success",
        "an object with other content under the name is a conflict, never a success",
        "rule 9",
        ARCHIVE,
        "if self._equal(item.key, found, item):",
        "if found.size >= 0:",
        f"{OBJECTS}::test_the_destination_says_what_becomes_of_other_content[dead_letter]",
    ),
    Mutant(
        "conflict_is_silent",
        "a conflict is told",
        "rule 9",
        ARCHIVE,
        '        raise Conflict(f"{item.key} holds other content already")',
        '        return "present", found.tag',
        f"{OBJECTS}::test_the_destination_says_what_becomes_of_other_content[dead_letter]",
    ),
    Mutant(
        "on_conflict_overwrite_ignored",
        "a destination told to overwrite has the newest content",
        "rule 10",
        ARCHIVE,
        'if action == "overwrite":',
        'if action == "overwrite" and not item.per_record:',
        f"{OBJECTS}::test_the_destination_says_what_becomes_of_other_content[overwrite]",
    ),
    Mutant(
        "older_scan_overwrites",
        "an older scan does not overwrite a newer one",
        "rule 10",
        ARCHIVE,
        "if newest is not None and newest > item.order:",
        "if newest is None:",
        f"{OBJECTS}::test_an_older_scan_does_not_overwrite_a_newer_one",
    ),
    Mutant(
        "equality_by_stored_bytes",
        "a repeat is known by the scan's own digest, however it was stored",
        "rule 9",
        ARCHIVE,
        "if found.metadata.get(name) == item.metadata[name]:",
        "if found.size == len(item.data) and self.read(key, found) == item.data:",
        f"{OBJECTS}::test_equal_content_is_judged_by_the_raw_bodys_digest_not_by_the_stored_bytes",
    ),
    Mutant(
        "foreign_object_is_a_conflict",
        "an object that others wrote with the same JSON is enough",
        "rule 9",
        ARCHIVE,
        "data = self.read(key, found) if found.size <= most else None",
        "data = None",
        f"{OBJECTS}::test_a_foreign_object_is_compared_as_json",
    ),
    Mutant(
        "s3_put_unconditional",
        "a repeat writes no second version of an object",
        "rule 9",
        S3,
        'return self._put_object(key, item, IfNoneMatch="*")',
        "return self._put_object(key, item)",
        "tests/integration/test_s3_sink.py::test_a_repeated_batch_leaves_one_version[lake/{batch_id}.{ext}]",
    ),
    Mutant(
        "s3_overwrites_blindly",
        "an overwrite replaces only the object that was looked at",
        "rule 9",
        S3,
        "return self._put_object(item.key, item, IfMatch=found.tag)",
        "return self._put_object(item.key, item)",
        "tests/integration/test_s3_sink.py::test_an_overwrite_replaces_only_what_was_looked_at",
    ),
    Mutant(
        "lost_answer_taken_for_refused",
        "a request whose answer was lost may have been carried out",
        "rule 4",
        "connectors/scribe_connectors/aws/_errors.py",
        "return Transient(str(error)) if isinstance(error, boto.BotoCoreError) else None",
        'return Transient(str(error), applied="no") if isinstance(error, boto.BotoCoreError) else None',
        "tests/integration/test_s3_sink.py::test_a_lost_answer_is_unknown_and_the_repeat_finds_its_own",
    ),
    Mutant(
        "sqs_failed_ignored",
        "a message that SQS names as failed in an answer of 200 is sent again",
        "reliability B.1 9",
        SQS,
        """\
            for one in answer.get("Failed", ())
        }
        silent = [index for index in part.members if index not in taken and index not in errors]""",
        """\
            for one in answer.get("Refused", ())
        }
        silent = [index for index in part.members if index in taken and index in errors]""",
        "tests/faults/test_sqs.py::test_of_a_request_that_fails_in_part_only_what_failed_is_sent_again",
    ),
    Mutant(
        "sqs_silence_is_success",
        "a message that SQS says nothing of is not taken for sent",
        "§2 errors",
        SQS,
        "silent = [index for index in part.members if index not in taken and index not in errors]",
        "silent = [index for index in part.members if index in taken and index in errors]",
        "tests/integration/test_sqs_sink.py::test_a_message_of_which_the_answer_says_nothing_is_unknown[ministack]",
    ),
    Mutant(
        "sqs_deduplication_of_each_attempt",
        "within five minutes a FIFO queue drops the repeat of a message",
        "reliability B.1 11",
        SQS,
        "hashlib.sha256(record.ident.encode()).hexdigest()",
        'hashlib.sha256(f"{record.ident}{id(entry)}".encode()).hexdigest()',
        "tests/integration/test_sqs_sink.py::test_scans_of_a_group_arrive_in_order_and_a_repeat_is_dropped[ministack]",
    ),
    Mutant(
        "sqs_order_lost_after_a_failure",
        "of an ordered queue nothing is sent after what failed",
        "§2 ordered destinations",
        "core/scribe_export/parts.py",
        "self._in_order or (not self._acked and",
        "(not self._acked and",
        "tests/unit/test_parts.py::test_in_order_nothing_is_sent_after_what_failed[None]",
    ),
    Mutant(
        "sqs_message_deleted_at_once",
        "a message is deleted from its queue only once it is journalled",
        "mutant A",
        SQS_SOURCE,
        "        self._held.add(messages)\n        return",
        "        await to_thread.run_sync(self._held.delete, messages)\n        return",
        "tests/contract/test_aws_sqs.py::TestMessagesReadBack::test_what_was_not_committed_comes_again[ministack]",
    ),
    Mutant(
        "sqs_visibility_runs_out",
        "a message stays hidden for as long as the journal is full",
        "reliability B.1 12",
        SQS_SOURCE,
        "if until < soon]",
        "if until < 0]",
        "tests/integration/test_sqs_source.py"
        "::test_what_is_not_journalled_stays_hidden_longer_than_the_timeout_asked_for[ministack]",
    ),
    Mutant(
        "sqs_delete_forgotten",
        "a message whose deletion failed is deleted later",
        "reliability B.1 12",
        SQS_SOURCE,
        "            self._undeleted += failed\n",
        "            self._undeleted = []\n",
        "tests/integration/test_sqs_source.py::test_a_delete_that_failed_is_made_up_for_at_the_end[ministack]",
    ),
    Mutant(
        "dynamodb_unprocessed_ignored",
        "an item that DynamoDB left unprocessed in an answer of 200 is sent again",
        "reliability B.1 13",
        WRITING,
        'return dict.fromkeys(left, Throttled("DynamoDB left this item unprocessed", applied="no"))',
        "return {}",
        "tests/integration/test_dynamodb_sink.py::test_only_what_was_left_unprocessed_is_sent_again[ministack]",
    ),
    Mutant(
        "dynamodb_put_unconditional",
        "an item with other content is not written over",
        "rule 9",
        "connectors/scribe_connectors/aws/_dynamodb_calls.py",
        '{"ConditionExpression": "attribute_not_exists(#k)"}',
        '{"ConditionExpression": "attribute_not_exists(#k) OR attribute_exists(#k)"}',
        "tests/integration/test_dynamodb_sink.py"
        "::test_other_content_is_treated_as_the_destination_says[dead_letter-conditional]",
    ),
    Mutant(
        "dynamodb_taken_key_is_success",
        "an item with other content under the key is a conflict",
        "rule 9",
        WRITING,
        "if self._same(found, entry, entry.key):",
        "if found:",
        "tests/integration/test_dynamodb_sink.py"
        "::test_other_content_is_treated_as_the_destination_says[dead_letter-conditional]",
    ),
    Mutant(
        "function_error_ignored",
        "a function that failed, in an answer of 200, is no success",
        "reliability B.1 16",
        LAMBDA,
        "        if not invocation.failed:\n",
        "        if invocation:\n",
        "tests/integration/test_lambda.py::test_a_function_that_fails_is_no_success_and_its_neighbours_are_done",
    ),
    Mutant(
        "durable_execution_of_another_name",
        "a repeated scan starts no second execution",
        "§1 effect class",
        LAMBDA,
        'settings["DurableExecutionName"] = name',
        'settings["DurableExecutionName"] = f"{name}-{id(event)}"',
        "tests/integration/test_lambda.py::test_an_execution_started_with_another_event_is_a_conflict[dead_letter-1]",
    ),
)

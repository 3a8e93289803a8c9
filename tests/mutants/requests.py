"""Scans on request, and what is delivered without a journal."""

from mutants.mutant import Mutant

JOURNAL = "core/scribe_export/journal/requests.py"
PERFORMING = "core/scribe_export/requests/performing.py"
REPLYING = "core/scribe_export/requests/replying.py"
CONCLUDING = "core/scribe_export/unbuffered/concluding.py"
HELD_BACK = "core/scribe_export/feed.py"

REQUESTS = "tests/faults/test_requests.py"
UNBUFFERED = "tests/integration/test_unbuffered.py"

MUTANTS = (
    Mutant(
        "performed_twice_after_a_crash",
        "a scan that a crash caught is performed again only if that was asked for",
        "§2 scan requests",
        PERFORMING,
        '        if self._options.on_unknown == "error":',
        '        if self._options.on_unknown != "error":',
        f"{REQUESTS}::test_a_scan_that_a_crash_caught_is_performed_again_only_if_that_was_asked_for[error]",
    ),
    Mutant(
        "start_not_journalled",
        "that a scan is being performed is on the disk before the scanner is asked",
        "§2 scan requests",
        PERFORMING,
        "            await self._store.do(lambda db: start(db, request_id))\n",
        "",
        f"{REQUESTS}::test_a_scan_that_a_crash_caught_is_performed_again_only_if_that_was_asked_for[error]",
    ),
    Mutant(
        "unknown_request_tried_again",
        "a scan that may have been performed is not performed again unasked",
        "§2 scan requests",
        PERFORMING,
        'if may_come_again and (surely_not or self._options.on_unknown == "retry"):',
        "if may_come_again:",
        "tests/faults/test_requests.py::test_a_scan_whose_answer_was_lost_is_not_performed_again_unasked",
    ),
    Mutant(
        "redelivered_request_is_new",
        "a request that its queue delivers again is known",
        "§2 scan requests",
        JOURNAL,
        "INSERT OR IGNORE INTO request",
        "INSERT OR REPLACE INTO request",
        f"{REQUESTS}::test_requests_are_performed_routed_and_answered_in_the_guides_format",
    ),
    Mutant(
        "reply_before_it_is_done",
        "a reply is sent once the scan is done",
        "§2 scan requests",
        JOURNAL,
        "WHERE source=? AND owed=1 AND state IN ('done', 'failed') ORDER BY id LIMIT ?",
        "WHERE source=? AND owed=1 ORDER BY id LIMIT ?",
        f"{REQUESTS}::test_requests_are_performed_routed_and_answered_in_the_guides_format",
    ),
    Mutant(
        "reply_taken_for_confirmed",
        "a reply that was not confirmed is sent again",
        "§2 scan requests",
        REPLYING,
        "        settled = [row for index, row in enumerate(rows) if index in failure.acked or index in refused]",
        "        settled = [row for index, row in enumerate(rows) if row]",
        "tests/integration/test_unbuffered_edges.py"
        "::test_a_reply_that_was_sent_beside_one_that_fails_lets_its_request_go",
    ),
    Mutant(
        "request_letter_lost",
        "a request that can never be performed is a dead letter",
        "§2 scan requests",
        JOURNAL,
        "    if row is not None and row.source:\n",
        "    if row is not None and not row.source:\n",
        f"{REQUESTS}::test_a_request_that_can_never_be_performed_is_answered_dead_lettered_and_can_be_replayed",
    ),
    Mutant(
        "unbuffered_acks_early",
        "with buffer: none a message is acknowledged when every destination has it",
        "§4 buffer",
        HELD_BACK,
        "        if self._concluder is None:\n",
        "        if self._concluder is None or delivery.answer:\n",
        f"{UNBUFFERED}::test_a_message_waits_for_the_slowest_destination_and_leaves_no_state",
    ),
    Mutant(
        "unbuffered_acks_what_is_dead",
        "with buffer: none a message that a destination can never take is not acknowledged away",
        "§4 buffer",
        CONCLUDING,
        "for index, outcome in news.items() if outcome.known and not outcome.dead}",
        "for index, outcome in news.items() if outcome.known}",
        f"{UNBUFFERED}::test_without_one_it_is_refused_and_its_neighbours_are_not",
    ),
    Mutant(
        "unbuffered_acks_what_is_undecided",
        "with buffer: none what is undecided at the end is given back",
        "§4 buffer",
        CONCLUDING,
        "await self._answer(source, delivery, dict.fromkeys(watch.waiting, UNDECIDED))",
        "await self._answer(source, delivery, dict.fromkeys(watch.waiting, KEPT))",
        f"{UNBUFFERED}::test_what_is_undecided_at_the_end_is_given_back",
    ),
    Mutant(
        "unbuffered_letter_unconfirmed",
        "with buffer: none a dead letter counts once its destination has it",
        "§4 buffer",
        CONCLUDING,
        "        if dead and self._post:\n",
        "        if dead and self._post and len(dead) > 1:\n",
        f"{UNBUFFERED}::test_what_no_destination_takes_is_a_document_at_the_one_for_dead_letters",
    ),
    Mutant(
        "unbuffered_decides_before_a_lane",
        "with buffer: none a message is decided when no destination is still before it",
        "§4 buffer",
        "core/scribe_export/journal/fates.py",
        "if seq in held or any(seq > sealed.get(bit, seq) or _within(ranges[bit], seq) for bit in bits(mask))",
        "if seq in held or all(seq > sealed.get(bit, seq) or _within(ranges[bit], seq) for bit in bits(mask))",
        f"{UNBUFFERED}::test_a_message_waits_for_the_slowest_destination_and_leaves_no_state",
    ),
)

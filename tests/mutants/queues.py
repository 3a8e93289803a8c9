"""Redis, RabbitMQ and SCRIBE's own interfaces."""

from mutants.mutant import Mutant

LIST = "connectors/scribe_connectors/redis/_list.py"
STREAM = "connectors/scribe_connectors/redis/_stream.py"
PUBLISHING = "connectors/scribe_connectors/rabbitmq/_publishing.py"
INBOX = "connectors/scribe_connectors/rabbitmq/_inbox.py"
POLLING = "connectors/scribe_connectors/scribe/source.py"
WEBSOCKET = "connectors/scribe_connectors/scribe/websocket.py"

CONFIRMS = "tests/integration/test_rabbitmq_confirms.py"
POLLED = "tests/integration/test_scribe_source.py"

MUTANTS = (
    Mutant(
        "popped_like_brpop",
        "what a consumer took and did not journal before it died is recovered",
        "F-31",
        LIST,
        "            if bodies:\n",
        "            await self._forget(bodies)\n            if bodies:\n",
        "tests/contract/test_redis.py::TestElementsTaken::test_what_was_not_committed_comes_again",
    ),
    Mutant(
        "dead_consumers_keep_theirs",
        "what a dead process took is taken over",
        "F-31",
        LIST,
        "            moved = await self._move_back(",
        "            moved = 0 and await self._move_back(",
        "tests/integration/test_redis_source.py::test_what_a_dead_process_took_is_taken_over_after_its_lease[list]",
    ),
    Mutant(
        "living_consumers_lose_theirs",
        "what a living process holds is left to it",
        "F-31",
        STREAM,
        '"XAUTOCLAIM", self._name, self._group, self._consumer, self._lease_ms,',
        '"XAUTOCLAIM", self._name, self._group, self._consumer, 0,',
        "tests/integration/test_redis_source.py::test_what_a_living_process_holds_is_left_to_it[stream]",
    ),
    Mutant(
        "deleted_entries_pass_silently",
        "entries that were trimmed before they were read are told as missed",
        "§2, nothing is lost silently",
        STREAM,
        "            self._lose(len(gone))\n",
        "",
        "tests/integration/test_redis_source.py::test_entries_that_are_deleted_before_they_were_read_are_missed",
    ),
    Mutant(
        "published_unconfirmed_to_rabbitmq",
        "a message counts once the broker confirmed it",
        "reliability B.3 RabbitMQ",
        PUBLISHING,
        '        return Transient("the broker did not confirm it in time")',
        "        return None",
        f"{CONFIRMS}::test_a_confirm_that_never_comes_is_not_awaited_for_ever",
    ),
    Mutant(
        "unroutable_is_delivered",
        "a message that reaches no queue is not taken for delivered",
        "reliability B.3 RabbitMQ",
        PUBLISHING,
        "        mandatory=True,\n",
        "        mandatory=False,\n",
        "tests/integration/test_rabbitmq_sink.py::test_an_unroutable_message_is_held_or_dead_as_asked_and_never_acked",
    ),
    Mutant(
        "late_confirm_sent_again",
        "what the broker confirms late is not sent a second time",
        "§1 effect class",
        PUBLISHING,
        "        return not sent.channel.is_closed\n",
        "        return sent.channel.is_closed\n",
        f"{CONFIRMS}::test_what_a_broker_confirms_late_is_awaited_and_not_sent_again",
    ),
    Mutant(
        "acknowledges_what_is_not_journalled",
        "one acknowledgement for many covers none that is not journalled",
        "mutant A",
        INBOX,
        "multiple = not self._unacked or min(self._unacked) > tags[-1]",
        "multiple = len(tags) > 0",
        "tests/integration/test_rabbitmq_source.py"
        "::test_one_acknowledgement_covers_all_before_it_and_none_that_is_not_journalled",
    ),
    Mutant(
        "rabbitmq_message_not_persistent",
        "a broker that restarts still has the messages that it confirmed",
        "reliability B.3 RabbitMQ",
        "connectors/scribe_connectors/rabbitmq/sink.py",
        "_PERSISTENT = 2",
        "_PERSISTENT = 1",
        "tests/integration/test_rabbitmq_sink.py::test_a_message_is_persistent_says_what_it_is_and_is_the_one_foretold",
    ),
    Mutant(
        "marked_before_committed",
        "a poll that was not committed is read again",
        "mutant C",
        POLLING,
        "        if not await handed.taken():\n",
        "        if not await handed.taken() and not handed.marks:\n",
        f"{POLLED}::test_a_nacked_delivery_comes_again_and_nothing_after_it_is_handed_over",
    ),
    Mutant(
        "unfetched_scan_skipped",
        "a scan whose document cannot be fetched now is fetched later",
        "reliability B.3 REST",
        POLLING,
        "                    self._postponed.add(marked, wanted[marked], answer)\n",
        "                    size += 0\n",
        f"{POLLED}::test_a_scan_whose_document_cannot_be_fetched_delays_no_other_and_is_not_skipped",
    ),
    Mutant(
        "late_scans_overlooked",
        "a scan that appears below newer ones is found",
        "reliability B.3 REST",
        "connectors/scribe_connectors/scribe/_newest.py",
        "if short or most or all(map(known, list(found)[-tail:])):",
        "if short or most or any(map(known, found)):",
        f"{POLLED}::test_scans_that_appear_late_below_newer_ones_are_found",
    ),
    Mutant(
        "gap_is_silent",
        "scans that the API no longer lists raise an alarm",
        "§2, nothing is lost silently",
        POLLING,
        "            self.missed(hint)\n",
        "",
        "tests/integration/test_scribe_gaps.py::test_a_list_full_of_unknown_scans_raises_the_alarm_once",
    ),
    Mutant(
        "socket_without_catching_up",
        "what completes while the WebSocket is away comes by the history",
        "reliability B.3 WebSocket",
        WEBSOCKET,
        "if live.behind or not seen.started or clock.monotonic() >= due:",
        "if not seen.started:",
        "tests/integration/test_scribe_websocket.py"
        "::test_what_is_completed_while_the_socket_is_away_comes_by_the_history",
    ),
    Mutant(
        "socket_brings_twice",
        "frames that come twice bring each scan once",
        "rule 10",
        WEBSOCKET,
        "                if marked not in seen:\n",
        "                if marked:\n",
        "tests/integration/test_scribe_websocket.py::test_events_of_scans_committed_before_a_restart_bring_nothing",
    ),
    Mutant(
        "measured_twice",
        "a scan that may have been performed is not asked for again",
        "§2 scan requests",
        "connectors/scribe_connectors/scribe/client.py",
        'isinstance(error, SinkError) and error.applied == "no"',
        "isinstance(error, SinkError)",
        "tests/integration/test_scribe_client.py::test_a_scan_that_may_have_been_performed_is_never_repeated[answer0]",
    ),
)

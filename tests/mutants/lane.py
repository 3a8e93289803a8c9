"""From a source's delivery to a destination's answer."""

from mutants.mutant import Mutant

VERDICT = "core/scribe_export/lane/verdict.py"
SETTLING = "core/scribe_export/lane/settling.py"
SENDING = "core/scribe_export/lane/sending.py"
QUEUE = "core/scribe_export/lane/queue.py"
LANE = "core/scribe_export/lane/lane.py"
FEED = "core/scribe_export/feed.py"
RULES = "core/scribe_export/routing/rules.py"

ISOLATION = "tests/faults/test_isolation.py"
VERDICTS = "tests/unit/test_lane_verdicts.py"
MODEL = "tests/faults/test_ledger_model.py::test_the_ledger_keeps_every_promise_in_any_order_of_events"

MUTANTS = (
    Mutant(
        "ack_before_commit",
        "a source is acknowledged only after its scans are on the disk",
        "mutant A",
        FEED,
        "            taken = await self._intake.commit(",
        """\
            await delivery.ack()
            delivery = Delivery(delivery.incoming, delivery.checkpoint)
            taken = await self._intake.commit(""",
        "tests/faults/test_sync_order.py"
        "::test_a_source_is_acked_after_the_sync_and_a_batch_is_sent_after_the_sync_of_its_sealing",
    ),
    Mutant(
        "nack_forgotten",
        "a delivery that was not taken is given back to its source",
        "§3, acked or nacked exactly once",
        FEED,
        "        await delivery.nack()\n",
        "        await anyio.lowlevel.checkpoint()\n",
        "tests/unit/test_feed.py::test_what_the_journal_does_not_take_is_given_back",
    ),
    Mutant(
        "cursor_before_rows",
        "a source's cursor moves in the commit of the scans that it passes over, and never without them",
        "mutant C",
        "core/scribe_export/intake.py",
        "        waited = False\n",
        """\
        await self._store.do(
            lambda db: ingest(db, [], conflicts=self._conflicts, source=origin.source, checkpoint=checkpoint)
        )
        waited = False
""",
        "tests/unit/test_feed.py::test_a_commit_that_fails_moves_no_cursor",
    ),
    Mutant(
        "a_second_source_doubles",
        "a scan that two sources bring is delivered once",
        "rule 10",
        "core/scribe_export/identify.py",
        'scan_id = f"{origin.scope}:{fields.scan_id}" if origin.scope else fields.scan_id',
        'scan_id = f"{origin.scope or origin.source}:{fields.scan_id}"',
        "tests/integration/test_scribe_database_source.py"
        "::test_the_api_and_the_database_of_one_scanner_bring_each_scan_once",
    ),
    Mutant(
        "scope_ignored",
        "equal ids of two scanners are two scans",
        "rule 10",
        "core/scribe_export/identify.py",
        'scan_id = f"{origin.scope}:{fields.scan_id}" if origin.scope else fields.scan_id',
        "scan_id = fields.scan_id",
        "tests/unit/test_feed.py::test_equal_ids_of_two_scopes_are_two_scans",
    ),
    Mutant(
        "otherwise_takes_all",
        "otherwise gets what no other rule matched, and nothing else",
        "§4 rules",
        RULES,
        "return RoutingDecision(tuple(matched) or self._otherwise, failed)",
        "return RoutingDecision((*matched, *self._otherwise), failed)",
        "tests/unit/test_rules.py::test_otherwise_takes_what_matched_no_rule_and_what_only_failed",
    ),
    Mutant(
        "rule_that_fails_matches_nothing",
        "a rule that raises for a scan is told, and never taken for a no",
        "§2 errors, class rule",
        RULES,
        "                failed[destination] = _why(error, names, values, unread)\n",
        "                _why(error, names, values, unread)\n",
        "tests/unit/test_rules.py::test_a_timestamp_that_is_none_fails_only_the_rules_that_use_it",
    ),
    Mutant(
        "rule_of_a_number_matches",
        "only true is a match",
        "§4 rules",
        RULES,
        "            if result is True:",
        "            if result:",
        "tests/unit/test_rules.py"
        "::test_a_rule_on_a_whole_scan[scan.tags-failed: the rule gave a list, not true or false]",
    ),
    Mutant(
        "shape_of_today",
        "a batch is encoded as it was sealed, whatever the options say by then",
        "rule 3",
        SENDING,
        "        shape=batch.shape,\n",
        "",
        "tests/faults/test_frozen_options.py"
        "::test_a_batch_is_named_and_encoded_as_it_was_sealed_whatever_the_options_say_by_then[a batch]",
    ),
    Mutant(
        "refused_is_sent_all_the_same",
        "a record that can never be accepted is taken out before the write",
        "rule 5",
        SENDING,
        "if refused := fitted.encoded.refused:",
        "if (refused := fitted.encoded.refused) and len(refused) == batch.count:",
        MODEL,
    ),
    Mutant(
        "pointer_before_its_claim",
        "a pointer is sent only after the whole scan lies in its store",
        "§4 claim check",
        LANE,
        "if fitted.claims and self._claims and (waiting :=",
        "if fitted.claims and not self._claims and (waiting :=",
        "tests/faults/test_oversize.py"
        "::test_a_claim_checked_scan_lies_whole_in_the_store_and_its_pointer_leads_there[records]",
    ),
    Mutant(
        "unknown_taken_for_refused",
        "a write whose answer was lost may have been applied",
        "rule 4",
        SETTLING,
        'unknown = outcome.raised_in == "write" and (',
        'unknown = outcome.raised_in == "encode" and (',
        MODEL,
    ),
    Mutant(
        "unknown_of_before_forgotten",
        "a no of one attempt says nothing of the attempts before it",
        "rule 4",
        VERDICT,
        "unknown = batch.unknown or bug or",
        "unknown = bug or",
        f"{VERDICTS}::test_what_may_have_been_applied_is_known_only_whole[failed now, unknown before]",
    ),
    Mutant(
        "unmentioned_taken_for_refused",
        "a record that a partial failure does not mention may have been applied",
        "§2 errors",
        SETTLING,
        "unknown = unmentioned > 0 or any(",
        "unknown = any(",
        f"{VERDICTS}::test_what_a_partial_failure_does_not_mention_may_have_been_applied",
    ),
    Mutant(
        "burned_forgotten",
        "a batch whose name was used up without effect goes again under a new one",
        "rule 8",
        SETTLING,
        "isinstance(outcome.error, SinkError) and outcome.error.burned:",
        "isinstance(outcome.error, SinkError) and not outcome.error.burned:",
        MODEL,
    ),
    Mutant(
        "outage_is_poison",
        "while a destination takes nothing, nothing becomes a dead letter",
        "rule 7",
        VERDICT,
        "    if not bug and not evidence.other_got_through:",
        "    if not bug and evidence.alone:",
        f"{ISOLATION}::test_nothing_is_dead_while_every_batch_draws_a_500[batches]",
    ),
    Mutant(
        "poison_takes_its_neighbours",
        "one scan that can never be written costs no other",
        "rule 7",
        VERDICT,
        '    if divisible:\n        return Verdict("divide", kind)\n',
        "",
        f"{ISOLATION}::test_a_batch_surely_not_applied_is_divided_until_one_scan_is_at_fault",
    ),
    Mutant(
        "a_trial_proves_nothing",
        "a batch is at fault only after a different one got through",
        "rule 7",
        QUEUE,
        "return Evidence(other_got_through=since_last or (lately and only_this), alone=alone)",
        "return Evidence(other_got_through=True, alone=alone)",
        f"{ISOLATION}::test_a_batch_with_an_unknown_outcome_dies_whole_and_only_when_others_got_through",
    ),
    Mutant(
        "denied_is_charged",
        "wrong credentials cost a batch no attempt",
        "§2 errors, Misconfigured",
        VERDICT,
        'return Verdict("again", error.kind, charge=False)\n',
        'return Verdict("again", error.kind)\n',
        f"{ISOLATION}::test_a_misconfigured_destination_holds_everything_and_charges_nothing",
    ),
    Mutant(
        "denied_in_part_is_charged",
        "wrong credentials that met part of a batch cost it no attempt",
        "§2 errors, Misconfigured",
        SETTLING,
        "            charge=misconfigured is None,\n",
        "",
        f"{VERDICTS}::test_wrong_credentials_for_some_of_a_batch_cost_it_no_attempt",
    ),
    Mutant(
        "throttled_is_charged",
        "a service that asks for less makes nothing a dead letter",
        "§2 errors, Throttled",
        VERDICT,
        'return Verdict("again", error.kind, charge=False, speaks_against=False)',
        'return Verdict("again", error.kind, speaks_against=False)',
        f"{VERDICTS}::test_a_service_that_asks_for_less_speaks_against_no_batch_and_costs_no_attempt",
    ),
    Mutant(
        "throttled_presses_on",
        "a service that asks for less is sent less at once",
        "§2 errors, Throttled",
        LANE,
        "        if done.throttled:\n",
        "        if done.throttled and done.got_through:\n",
        f"{ISOLATION}::test_a_throttled_lane_sends_less_at_once_and_then_more_again",
    ),
    Mutant(
        "one_breaker_for_all",
        "a dead destination delays no other",
        "§2 promise",
        "core/scribe_export/assembly.py",
        "            breaker=self._breaker(options.breaker),\n",
        '            breaker=self.__dict__.setdefault("shared", self._breaker(options.breaker)),\n',
        f"{ISOLATION}::test_the_backlog_of_an_hours_outage_drains_in_order_and_nothing_is_dead[1]",
    ),
    Mutant(
        "order_not_kept",
        "of an ordering key one batch is out at a time",
        "§2 ordered destinations",
        QUEUE,
        "            if batch.partition not in self._out:",
        "            if batch.id not in self._out:",
        "tests/faults/test_order.py::test_retries_keep_the_order_within_a_key_and_keys_go_side_by_side",
    ),
    Mutant(
        "half_open_lets_all_through",
        "a destination that was down is tried with one batch",
        "§2 breaker",
        "core/scribe_export/patterns/circuit.py",
        "            if self._state is CircuitState.HALF_OPEN and self._probing:",
        "            if self._state is CircuitState.HALF_OPEN and not self._probing:",
        "tests/unit/test_circuit_breaker.py::test_half_open_lets_exactly_one_call_through_and_its_success_closes",
    ),
    Mutant(
        "place_taken_at_each_attempt",
        "a stream is taken once for a batch, and every attempt goes to it",
        "rule 1",
        LANE,
        "if takes_places(self.sink) and not batch.note:",
        "if takes_places(self.sink):",
        "tests/faults/test_order.py::test_a_place_is_taken_once_and_is_there_at_every_attempt_also_after_a_restart",
    ),
    Mutant(
        "corrupt_counts_as_delivered",
        "a scan whose body was damaged after sealing is a dead letter, and never counted as delivered",
        "§2, sha256 before every send",
        LANE,
        "            if fetched.corrupt:\n                return Refused(",
        "            if fetched.corrupt and not fetched.records:\n                return Refused(",
        f"{ISOLATION}::test_a_body_damaged_after_its_batch_was_sealed_is_dead_and_its_neighbours_are_delivered",
    ),
)

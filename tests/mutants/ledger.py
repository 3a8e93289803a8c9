"""Batches, dead letters, collecting and receipts: what is sent again, and what an operator finds afterwards."""

from mutants.mutant import Mutant

BATCHES = "core/scribe_export/journal/batches.py"
SETTLE = "core/scribe_export/journal/settle.py"
COLLECT = "core/scribe_export/journal/collect.py"
DEAD = "core/scribe_export/journal/dead.py"
MODEL = "tests/faults/test_ledger_model.py::test_the_ledger_keeps_every_promise_in_any_order_of_events"

MUTANTS = (
    Mutant(
        "name_rendered_at_sending",
        "every attempt at a batch has the same name",
        "rule 1",
        BATCHES,
        'return self.partition.replace("{batch_id}", self.batch_id)',
        'return self.partition.replace("{batch_id}", f"{self.batch_id}-{self.attempts}")',
        MODEL,
    ),
    Mutant(
        "two_journals_share_a_batch",
        "no two hosts give their batches the same name",
        "rule 1",
        BATCHES,
        'hashlib.sha256(f"{journal}\\n{destination}\\n".encode())',
        'hashlib.sha256(f"{destination}\\n".encode())',
        "tests/unit/test_journal_seal.py::test_no_two_journals_name_their_batches_alike",
    ),
    Mutant(
        "unknown_divided",
        "a batch that may have been applied is only ever sent as it was",
        "rule 4",
        BATCHES,
        "return self.by_record or not self.unknown",
        "return self.by_record or self.count > 1",
        "tests/unit/test_lane_verdicts.py"
        "::test_what_may_have_been_applied_is_known_only_whole[refused now, unknown before]",
    ),
    Mutant(
        "restart_forgets_unknown",
        "a batch that was out when the process died counts as perhaps applied",
        "rule 4",
        "core/scribe_export/journal/destinations.py",
        "UPDATE batch SET unknown=1 WHERE state='open'",
        "UPDATE batch SET unknown=0 WHERE state='open'",
        "tests/unit/test_journal_refusals.py::test_a_batch_that_a_restart_finds_open_may_have_been_applied",
    ),
    Mutant(
        "unknown_rest_renamed",
        "what a partial failure left unknown goes again under the same name",
        "rule 4",
        SETTLE,
        "if not batch.by_record and (unknown or batch.unknown) and len(done) < len(members):",
        "if not batch.by_record and not members:",
        "tests/unit/test_journal_receipts.py::test_a_batch_known_only_whole_stays_whole_after_a_partial_failure[acked0]",
    ),
    Mutant(
        "dies_in_part",
        "a batch that was tried, and is known only whole, dies whole",
        "rule 6",
        SETTLE,
        "if not batch.divisible and (batch.attempts or corrupt):",
        "if not batch.divisible and corrupt:",
        "tests/unit/test_journal_refusals.py::test_a_batch_that_was_tried_dies_whole[1]",
    ),
    Mutant(
        "generation_raised_on_unknown",
        "a load job of which nobody knows whether it ran keeps its id",
        "rule 8",
        SETTLE,
        "    burned = burned and not unknown\n",
        "    burned = burned or unknown\n",
        MODEL,
    ),
    Mutant(
        "letter_without_a_reason",
        "every dead letter says why",
        "rule 14",
        SETTLE,
        "[(destination, seq, kind, error[:ERROR_LENGTH], now) for seq, (kind, error) in refused.items()]",
        '[(destination, seq, kind, "", now) for seq, (kind, error) in refused.items()]',
        "tests/unit/test_journal_refusals.py::test_a_batch_that_no_attempt_is_known_of_gives_up_only_what_was_refused",
    ),
    Mutant(
        "replayed_in_part",
        "one scan of a batch that may have been applied cannot be sent alone",
        "rule 6",
        DEAD,
        """\
    if not batch.divisible:
        raise JournalError(
            f"batch {batch.batch_id} may have been applied whole, so""",
        """\
    if not batch.count:
        raise JournalError(
            f"batch {batch.batch_id} may have been applied whole, so""",
        MODEL,
    ),
    Mutant(
        "replay_in_another_name",
        "a replay of a whole batch has the name that the batch had",
        "rule 6",
        DEAD,
        "SET state='open', explicit=1,",
        "SET state='open', batch_id=batch_id || '-again', explicit=1,",
        MODEL,
    ),
    Mutant(
        "collected_before_a_slow_lane",
        "a body stays until the slowest destination has it",
        "rule 11",
        COLLECT,
        "sealed if first is None else min(sealed, first - 1)",
        "sealed",
        MODEL,
    ),
    Mutant(
        "collected_dead_letters",
        "a dead letter has its payload until an operator's word",
        "rules 11 and 14",
        COLLECT,
        'for table in ("delivery", "member"):',
        'for table in ("member",):',
        MODEL,
    ),
    Mutant(
        "collected_dead_batches",
        "a batch that died has its scans until an operator's word",
        "rules 11 and 14",
        COLLECT,
        "FROM batch WHERE state='dead' AND NOT explicit",
        "FROM batch WHERE state='none' AND NOT explicit",
        MODEL,
    ),
    Mutant(
        "history_forgets_ids_in_use",
        "a scan that came before is known again while any of its versions is kept",
        "rule 10",
        COLLECT,
        "next.version > scan.version)",
        "next.version < scan.version)",
        "tests/unit/test_journal_receipts.py::test_a_scan_is_known_by_its_id_as_long_as_any_version_of_it_is",
    ),
    Mutant(
        "receipts_not_chained",
        "a receipt that was changed or removed is noticed",
        "rule 15",
        "core/scribe_export/journal/receipts.py",
        "hashlib.sha256(before + ",
        "hashlib.sha256(",
        "tests/unit/test_journal_receipts.py::test_a_receipt_changed_removed_or_put_in_is_seen",
    ),
    Mutant(
        "partial_delivery_without_a_receipt",
        "what arrived of a batch has its receipt",
        "rule 15",
        SETTLE,
        "    if done:\n        write_receipt(",
        "    if len(done) > batch.count:\n        write_receipt(",
        "tests/unit/test_journal_receipts.py::test_a_partial_delivery_has_a_receipt_of_those_that_arrived",
    ),
    Mutant(
        "route_bit_used_again",
        "a new destination gets no scan that was meant for another",
        "rule 11",
        "core/scribe_export/journal/destinations.py",
        "if bit not in used and not mask >> bit & 1:",
        "if bit not in used:",
        "tests/unit/test_journal_opening.py::test_a_new_destination_gets_no_bit_that_a_scan_still_holds",
    ),
)

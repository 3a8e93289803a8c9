"""The ledger against a model of what it owes."""

import pytest
from faults.machine import LedgerMachine
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

QUICK = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.generate],
)


@pytest.mark.fault("F-04")
def test_the_ledger_keeps_every_promise_in_any_order_of_events() -> None:
    run_state_machine_as_test(LedgerMachine, settings=QUICK)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.fault("F-04")
def test_the_ledger_keeps_every_promise_over_many_orders_of_events() -> None:
    run_state_machine_as_test(LedgerMachine, settings=settings(QUICK, max_examples=1500, stateful_step_count=50))

"""The model has teeth: it finds each ledger that has one rule broken."""

import pytest
from faults.machine import LedgerMachine
from faults.mutants import MUTANTS
from faults.simulated import Broken
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

THOROUGH = settings(
    max_examples=400,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.fault("F-04")
@pytest.mark.parametrize("name", MUTANTS)
def test_a_ledger_with_a_broken_rule_is_found(name: str) -> None:
    with MUTANTS[name](), pytest.raises(Broken):
        run_state_machine_as_test(LedgerMachine, settings=THOROUGH)

"""All mutants, in the order of a scan's way."""

from mutants import aws, gcp, journal, lane, ledger, operation, queues, requests

MUTANTS = (
    *journal.MUTANTS,
    *ledger.MUTANTS,
    *lane.MUTANTS,
    *aws.MUTANTS,
    *gcp.MUTANTS,
    *queues.MUTANTS,
    *requests.MUTANTS,
    *operation.MUTANTS,
)

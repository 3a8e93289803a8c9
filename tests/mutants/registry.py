"""All mutants, in the order of a scan's way."""

from mutants import aws, gcp, journal, lane, operation, queues, requests

MUTANTS = (
    *journal.MUTANTS,
    *lane.MUTANTS,
    *aws.MUTANTS,
    *gcp.MUTANTS,
    *queues.MUTANTS,
    *requests.MUTANTS,
    *operation.MUTANTS,
)

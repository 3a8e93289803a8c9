"""All mutants, in the order of a scan's way."""

from mutants import aws, gcp, journal, lane, queues

MUTANTS = (*journal.MUTANTS, *lane.MUTANTS, *aws.MUTANTS, *gcp.MUTANTS, *queues.MUTANTS)

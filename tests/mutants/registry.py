"""All mutants, in the order of a scan's way."""

from mutants import journal

MUTANTS = (*journal.MUTANTS,)

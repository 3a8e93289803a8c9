"""A lane is everything about one destination, alone: its cursor, sealed batches, retries, breaker and counters.

`lane` is the loop that decides what is sent next, `cut` divides waiting scans into batches, `sending` makes one attempt,
`verdict` says what an outcome means for a batch, `head` holds the scans just journalled for all lanes to share.
"""

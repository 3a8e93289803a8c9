"""Scans stored under names: what sinks and sources over buckets and folders have in common.

`sink` and `form` write them, `source` and `reading` read them back, `codec` is what both know of their bytes.
"""

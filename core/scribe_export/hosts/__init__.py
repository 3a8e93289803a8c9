"""Where a platform runs the exporter and brings what there is: AWS Lambda, Cloud Run, Cloud Functions.

Nothing on such a host's disk is trusted: an event is acknowledged after the destinations confirmed what it brought.
"""

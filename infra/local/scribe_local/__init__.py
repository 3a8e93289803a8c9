"""Servers that stand in for SCRIBE and the clouds on one machine, for the demo and the tests."""

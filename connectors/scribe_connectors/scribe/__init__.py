"""Connectors for the SCRIBE scanner itself."""

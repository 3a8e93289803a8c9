"""Connectors for Amazon Web Services."""

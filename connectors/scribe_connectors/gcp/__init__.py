"""Connectors for Google Cloud."""

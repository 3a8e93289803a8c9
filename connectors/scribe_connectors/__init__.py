"""Connectors of scribe-export, one module a service."""

"""Scans on request: journalled before their acknowledgement, performed by the config's scanner, and answered."""

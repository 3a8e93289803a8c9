"""The seven services of the local cloud: started, furnished, written to by an export.yaml, and read back."""

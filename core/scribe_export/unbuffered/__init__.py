"""`buffer: none`: nothing outlasts the process, so a source is acknowledged when every destination has confirmed."""

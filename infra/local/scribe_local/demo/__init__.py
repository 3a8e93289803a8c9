"""`demo`: the exporter at work on this machine, while what it talks to dies and it is killed itself.

`story` tells it act by act: `world` is what runs around the exporter, `exporter` the process itself, `watch` what its
journal says meanwhile, `screen` what a person sees, and `readback` what really arrived.
"""

from scribe_local.demo.command import command

__all__ = ["command"]

"""Which destinations a scan goes to: `rule` is one CEL expression, `rules` all of a config's, `router` their bits."""

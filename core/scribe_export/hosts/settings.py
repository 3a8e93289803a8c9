"""What a host is told by its environment."""

from collections.abc import Mapping

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.config import Config
from scribe_export.errors import ConfigError, Problem
from scribe_export.options import parse_duration

_LEVELS = ("debug", "info", "warning", "error")
CONFIG = "SCRIBE_EXPORT_CONFIG"
"""Names the config; a relative path starts where the platform starts the program."""
LOG_LEVEL = "SCRIBE_EXPORT_LOG_LEVEL"
"""debug, info (the default), warning or error."""
PUSH_DEADLINE = "SCRIBE_EXPORT_PUSH_DEADLINE"
"""How long a push may take, such as 50s: less than the subscription's acknowledgement deadline. 8s if not set."""


def config_of(environ: Mapping[str, str]) -> Config:
    """The config that the environment names, with logging set up as it says. Raises `ConfigError`."""
    level = environ.get(LOG_LEVEL) or "info"
    if level not in _LEVELS:
        raise _wrong(LOG_LEVEL, f"must be {', '.join(_LEVELS[:-1])} or {_LEVELS[-1]}")
    logs.configure(level)
    path = environ.get(CONFIG)
    if not path:
        raise _wrong(CONFIG, "is not set; have it name the config, such as export.yaml")
    return checked(configuration.load(path, environ))


def push_deadline(environ: Mapping[str, str]) -> float:
    """Seconds. Raises `ConfigError`."""
    try:
        return parse_duration(environ.get(PUSH_DEADLINE) or "8s")
    except ValueError as error:
        raise _wrong(PUSH_DEADLINE, str(error)) from None


def _wrong(name: str, why: str) -> ConfigError:
    return ConfigError([Problem(f"environment variable {name}", 1, 1, "", why)])


def checked(config: Config) -> Config:
    """The config, if a serverless host can do what it says. Raises `ConfigError`."""
    asking = [name for name, built in config.sources.items() if built.options.delivers == "requests"]
    if asking and config.scanner and config.scanner.options.on_unknown != "retry":
        message = (
            f"a serverless host keeps no record of requests: after a crash those of {asking[0]} are delivered again and "
            "performed again; if they may be, say on_unknown: retry"
        )
        raise ConfigError([config.problem("scanner.on_unknown", message)])
    return config

"""What a host is told by its environment."""

from collections.abc import Mapping

from scribe_export import config as configuration
from scribe_export import logs
from scribe_export.config import Config
from scribe_export.config.buffering import lost_letters, performed_again
from scribe_export.errors import ConfigError, Problem
from scribe_export.interface import Triggered
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
    problems = []
    for name, built in config.sources.items():
        if not issubclass(built.connector, Triggered):
            continue  # of no use here, as where the same file is run by hand
        why = performed_again(built.options, config.scanner)
        if not why and built.options.acknowledging:
            why = lost_letters(built.options, config.dead_letter)
        if why:
            problems.append(config.problem(f"sources.{name}", f"in a serverless host {why}"))
    if problems:
        raise ConfigError(problems)
    return config

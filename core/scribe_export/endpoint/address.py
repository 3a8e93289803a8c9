"""Where the endpoint listens, as the operator writes it."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

PATTERN = r"^(\[[0-9A-Fa-f:.%\w]+\]|[A-Za-z0-9._-]+):\d{1,5}$"
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """`host` is a name or an address, without the brackets of IPv6; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return shown(self.host, self.port)


def parse_address(text: str) -> Address:
    """From ``HOST:PORT``; raises ValueError with what to write instead."""
    if "/" in text:
        raise ValueError("is HOST:PORT alone, like 127.0.0.1:9464, without http:// and without a path")
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("needs a host and a port, like 127.0.0.1:9464")
    if not host:
        raise ValueError(f'names no host; write "127.0.0.1:{port}", or "0.0.0.0:{port}" for all of this machine\'s')
    if host.startswith("[") and host.endswith("]"):
        host = _ipv6(host[1:-1])
    elif ":" in host:
        raise ValueError("an IPv6 address stands in brackets, like [::1]:9464")
    elif not re.fullmatch(r"[A-Za-z0-9._-]+", host):
        raise ValueError("the host is a name or an address, like localhost, 127.0.0.1 or [::1]")
    if not (port.isascii() and port.isdigit()) or int(port) > _HIGHEST_PORT:
        raise ValueError(f"the port must be a number from 0 to {_HIGHEST_PORT}")
    return Address(host, int(port))


def check_address(text: str) -> str:
    """The text itself; raises as `parse_address`."""
    parse_address(text)
    return text


def shown(host: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an address, as a socket tells its own, is reached from this machine alone."""
    return ip_address(host.partition("%")[0]).is_loopback


def _ipv6(host: str) -> str:
    try:
        IPv6Address(host)
    except ValueError:
        raise ValueError("holds no IPv6 address between its brackets") from None
    return host

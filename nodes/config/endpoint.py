"""HOST:PORT, as configuration and command line write it: ``127.0.0.1:14600``, ``[::1]:14600``."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from protocols.errors import ConfigError

DEFAULT_PORT: Final = 14_600
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_SCOPE: Final = re.compile(r"%[A-Za-z0-9._-]+\Z")
_DIGITS_AND_DOTS: Final = re.compile(r"[0-9.]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen or to connect."""

    host: str
    """Host name, IPv4 address, or IPv6 address without brackets."""
    port: int
    """0 to 65535; 0, for listening only, lets the system choose."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that ``text`` names; ConfigError says in one line what is wrong with it."""
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port):
        raise ConfigError("write HOST:PORT, for example 127.0.0.1:14600 or [::1]:14600")
    if int(port) > 65_535:
        raise ConfigError("a port is at most 65535")
    return Endpoint(_host(host), int(port))


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        return _address(text[1:-1], 6)
    if ":" in text:
        raise ConfigError("an IPv6 address stands in brackets, for example [::1]:14600")
    if _DIGITS_AND_DOTS.fullmatch(text):
        return _address(text, 4)
    name = text.removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ConfigError("this is no host name and no address")
    return text


def _address(text: str, version: int) -> str:
    bare = _SCOPE.sub("", text)
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        address = None
    if address is None or address.version != version or "%" in bare:  # ipaddress takes anything as a scope
        raise ConfigError(f"this is no IPv{version} address")
    return text

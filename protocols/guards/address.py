"""Where a datagram came from, as the core sees it: opaque, comparable, and encoded without ambiguity.

Carriers make addresses and take them back; the core compares them (roaming), keys cookies with
:func:`encode_address` and token buckets with :func:`source_key`. None of this travels.
"""

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocols.errors import UsageError
from specs.registry import KEY_ID_BYTES

_PREFIX_64_BYTES: Final = 8


class AddressKind(IntEnum):
    """What the host part is."""

    IPV4 = 1
    IPV6 = 2
    RELAY = 3
    """The outer peer of a relay channel, by key id, and a flow."""
    LOCAL = 4
    """A name in an in-memory network or of a pipe."""


@dataclass(frozen=True, slots=True)
class Address:
    """One end of a carrier. Make it with the functions below, which check the parts."""

    kind: AddressKind
    """What ``host`` is."""
    host: bytes
    """4 or 16 bytes of IP address, 16 of key id, or a name in UTF-8."""
    port: int
    """UDP or TCP port, or number of the relay flow; u32."""
    scope: int = 0
    """IPv6 zone index of link-local addresses, which only the carrier needs; u32."""

    def __str__(self) -> str:
        """Text for operators and logs."""
        if self.kind is AddressKind.IPV4:
            return f"{ipaddress.IPv4Address(self.host)}:{self.port}"
        if self.kind is AddressKind.IPV6:
            zone = f"%{self.scope}" if self.scope else ""
            return f"[{ipaddress.IPv6Address(self.host)}{zone}]:{self.port}"
        if self.kind is AddressKind.RELAY:
            return f"relay {self.host.hex()} flow {self.port}"
        return f"{self.host.decode(errors='replace')}:{self.port}"


def ip_address(host: str, port: int, scope: int = 0) -> Address:
    """The address of a socket. An IPv4-mapped one (RFC 4291, 2.5.5.2) is the IPv4 one, on any socket."""
    try:
        parsed = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise UsageError("this is no IP address") from None
    if not 0 <= port <= 0xFFFF or not 0 <= scope <= 0xFFFF_FFFF:
        raise UsageError("a port is a u16, a scope a u32")
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            return Address(AddressKind.IPV6, parsed.packed, port, scope)
        parsed = parsed.ipv4_mapped
    return Address(AddressKind.IPV4, parsed.packed, port)


def relay_address(key_id: bytes, flow: int) -> Address:
    """A flow of the relay channel of an outer peer."""
    if len(key_id) != KEY_ID_BYTES or not 0 <= flow <= 0xFFFF_FFFF:
        raise UsageError("a relay address is a key id and a u32")
    return Address(AddressKind.RELAY, key_id, flow)


def local_address(name: str, port: int = 0) -> Address:
    """A name in a network that has no IP addresses."""
    host = name.encode()
    if len(host) > 0xFF or not 0 <= port <= 0xFFFF_FFFF:
        raise UsageError("a local address is a name of at most 255 bytes and a u32")
    return Address(AddressKind.LOCAL, host, port)


def encode_address(address: Address) -> bytes:
    """Kind, length-prefixed host, port and scope: two addresses never share their bytes."""
    head = bytes((address.kind, len(address.host)))
    return b"".join((head, address.host, address.port.to_bytes(4, "big"), address.scope.to_bytes(4, "big")))


def source_key(address: Address) -> bytes:
    """Whom a token bucket counts: an IPv4 address, an IPv6 /64, a relay flow, a local name.

    /64 because one host of a network can use every address of it (RFC 4862). The port does not count on IP,
    where one host has all of them; the flow does on a relay.
    """
    kind = bytes((address.kind,))
    if address.kind is AddressKind.IPV6:
        return kind + address.host[:_PREFIX_64_BYTES]
    if address.kind is AddressKind.RELAY:
        return kind + address.host + address.port.to_bytes(4, "big")
    return kind + address.host

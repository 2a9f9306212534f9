"""What a handler gets, and what it returns."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from nodes.https.body import Body
from protocols.guards.address import Address, local_address

_NOBODY: Final = local_address("nobody")


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose head has been checked (specs/http-front.md)."""

    method: str
    """GET, POST, PUT or DELETE."""
    path: str
    """Starts with a slash; letters, digits and few marks (HF-5), never percent signs; without the query."""
    headers: Mapping[str, str]
    """By name in lower case; each name stands once."""
    peer_certificate: bytes | None
    """DER, verified by TLS against the context of the server; None where that does not ask for one."""
    body: Body = field(default_factory=lambda: Body.of(b""))
    """What follows the head."""
    query: str = ""
    """What stands behind the question mark."""
    peer: Address = _NOBODY
    """Where it comes from."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a handler returns."""

    status: int
    """200 to 599, but not 205 and 304."""
    body: bytes | AsyncIterator[bytes] = b""
    """Bytes, or pieces as they become available: these go out in chunks, each at once, until the iterator ends, the
    peer goes away or the server closes; an iterator with ``aclose`` is closed then."""
    content_type: str = "application/octet-stream"
    """Of a body that is there."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """What else the head says (``Retry-After`` ...); never what is ours: length, connection, date."""


Handler = Callable[[Request], Awaitable[Response]]
"""Runs once per request, many at a time.

What it raises: :class:`~nodes.https.errors.HttpError` answers with its status; the peer's errors (``protocols.errors``)
with 400, authentication and policy with 403, storage with 503, everything else with 500.
"""

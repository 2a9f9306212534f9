"""The client: one connection is kept for requests, each stream has one of its own."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from nodes.config.endpoint import Endpoint
from nodes.https.limits import ClientLimits
from nodes.service import Service


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """What the server has answered, whatever its status is."""

    status: int
    """200 to 599."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    """All of it, within the limits."""


class ClientStream(AsyncIterator[bytes]):
    """A response with status 200, piece by piece as it arrives; it ends when the server has ended it."""

    headers: Mapping[str, str]

    async def __anext__(self) -> bytes:
        """Return the next piece. LinkTimeoutError after ``ClientLimits.stall_s``, TruncatedError when it breaks off."""
        raise NotImplementedError


class HttpsClient(Service):
    """``async with HttpsClient(endpoint, context) as client: answer = await client.request("GET", "/v1/health")``."""

    def __init__(
        self,
        endpoint: Endpoint,
        context: ssl.SSLContext,
        server_hostname: str | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        """``server_hostname`` is the name that the certificate must have; the host of ``endpoint`` by default."""
        self._endpoint = endpoint
        self._context = context
        self._server_hostname = server_hostname or endpoint.host
        self._limits = limits or ClientLimits()

    async def request(
        self, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> ClientResponse:
        """Ask, and return the answer; many may ask, one after the other, on the one connection that is kept.

        A connection that has gone since the last request is opened anew. What happened with a request that breaks off
        is not known; it is repeated here only for GET, PUT and DELETE, only once, and only on a kept connection.

        Errors, each with one line: ConfigError (nobody there), TlsError (certificates), LinkTimeoutError,
        TruncatedError (it broke off), MalformedError and ProtocolViolationError (this is no server of ours).
        """
        raise NotImplementedError

    def stream(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[ClientStream]:
        """Ask on a connection of its own, and give the pieces of the answer; StatusError unless its status is 200.

        Errors as in :meth:`request`. Leaving the block closes the connection, which ends the stream at the server.
        """
        raise NotImplementedError

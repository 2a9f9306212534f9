"""The body of a request, read while it arrives: nobody holds more of it than the handler asks for."""

from collections.abc import AsyncIterator, Awaitable, Callable

import trio

from nodes.https.errors import HttpError


class Body:
    """Read it whole with :meth:`read`, or in pieces with ``async for``; once."""

    def __init__(self, content_length: int, receive: Callable[[], Awaitable[bytes]]) -> None:
        """``receive`` returns the next piece, and nothing at the end."""
        self.content_length = content_length
        """How many bytes the peer has announced; exactly these arrive, or the request fails."""
        self._receive = receive

    @classmethod
    def of(cls, data: bytes) -> "Body":
        """Return a body that has arrived already."""
        pieces = [data] if data else []

        async def receive() -> bytes:
            await trio.lowlevel.checkpoint()
            return pieces.pop() if pieces else b""

        return cls(len(data), receive)

    async def read(self, limit_bytes: int) -> bytes:
        """Return all of it; HttpError 413, before a byte is read, if it is longer than ``limit_bytes``."""
        if self.content_length > limit_bytes:
            raise HttpError(413)
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces, each of at least one byte, as they arrive."""
        while piece := await self._receive():
            yield piece

"""What goes out on one connection: responses, whole or as they become available (HF-28, HF-33, HF-36)."""

from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import trio

from nodes.https.errors import TlsError
from nodes.https.house import House
from nodes.https.messages import Response
from nodes.https.tls import TlsStream
from protocols.errors import UsageError
from protocols.http1.server import ServerConnection

_PIECE_BYTES: Final = 65_536
_ALWAYS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=31536000",
}
_OURS: Final = frozenset(
    ("connection", "content-length", "content-type", "date", "server", "transfer-encoding", *map(str.lower, _ALWAYS)),
)


class PeerGoneError(Exception):
    """Nobody is there to take the rest: closed, broken, or too slow."""


def plain(status: int) -> Response:
    """Return the response that says a status, and nothing else."""
    text = "" if status == HTTPStatus.NO_CONTENT else f"{status} {HTTPStatus(status).phrase}\n"
    return Response(status, text.encode("ascii"), "text/plain; charset=utf-8")


class Outgoing:
    """The writing half of a connection."""

    def __init__(self, house: House, tls: TlsStream, machine: ServerConnection) -> None:
        self._house = house
        self._tls = tls
        self._machine = machine
        self.begun = False
        """Whether an answer has begun to go out, so that there is no other."""

    async def answer(self, response: Response) -> None:
        """Send a whole response; PeerGoneError if nobody takes it, UsageError if it is none."""
        body = response.body
        if not isinstance(body, bytes):
            raise UsageError("an answer without pieces is meant")
        data = self._machine.answer(response.status, self._headers(response, has_body=bool(body)), body)
        self.begun = True
        await self._send(data)

    async def stream(self, response: Response, pieces: AsyncIterator[bytes]) -> None:
        """Send a response piece by piece, until there are no more, the peer goes away, or the server closes.

        PeerGoneError if nobody takes it. What the iterator raises passes: the response breaks off then.
        """
        head = self._machine.begin(response.status, self._headers(response, has_body=True))
        self.begun = True
        try:
            await self._send(head)
            await self._pieces(pieces)
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
        await self._send(self._machine.end())

    async def _pieces(self, pieces: AsyncIterator[bytes]) -> None:
        gone, error = False, None
        async with trio.open_nursery() as nursery:

            async def end_when_they_go() -> None:
                nonlocal gone
                await self._until_they_say_something()
                gone = True
                nursery.cancel_scope.cancel()

            async def end_when_we_close() -> None:
                await self._house.closing.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(end_when_they_go)
            nursery.start_soon(end_when_we_close)
            try:
                async for piece in pieces:
                    await self._send(self._machine.piece(piece))
            except Exception as caught:  # noqa: BLE001  # raised again below, out of the nursery's group
                error = caught
            nursery.cancel_scope.cancel()
        if error is not None:
            raise error
        if gone:
            raise PeerGoneError

    async def _until_they_say_something(self) -> None:
        """Return at the end of the stream, and at any byte too: during a response nobody has anything to say."""
        try:
            await self._tls.receive(1)
        except (TlsError, trio.ClosedResourceError):
            return

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            for start in range(0, len(data), _PIECE_BYTES):
                with trio.fail_after(self._house.limits.write_s):
                    await self._tls.send(view[start : start + _PIECE_BYTES])
        except trio.TooSlowError:
            self._house.counters.timed_out += 1
            raise PeerGoneError from None
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise PeerGoneError from None

    def _headers(self, response: Response, *, has_body: bool) -> Mapping[str, str]:
        taken = _OURS & {name.lower() for name in response.headers}
        if taken:
            raise UsageError(f"these fields are the server's: {', '.join(sorted(taken))}")
        date = formatdate(self._house.wall_clock(), usegmt=True)
        kind = {"Content-Type": response.content_type} if has_body else {}
        return {"Date": date, **kind, **_ALWAYS, **response.headers}

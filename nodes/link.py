"""A link as the user of a node holds it: typed messages, requests with answers, whole objects, back-pressure.

What nobody takes waits in an :class:`~nodes.inbox.Inbox` and behind it in the core, so a slow reader slows a reliable
sender down and loses only what is unreliable. What is full holds back its own: an object its bytes, commands the
commands; control passes everything (CH-5).
"""

import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Self

import trio

from nodes.inbox import Inbox
from nodes.runner import Pump
from nodes.wakeup import Wakeup
from protocols.channels import Held
from protocols.errors import AerolinkError, LinkTimeoutError, QueueFullError, TruncatedError, UsageError
from protocols.events import (
    AcceptBulk,
    AnswerReceived,
    BulkAccepted,
    BulkChunkReceived,
    BulkEnded,
    BulkOffered,
    BulkReceived,
    BulkStatus,
    ChannelEvent,
    DownReason,
    EndBulk,
    LinkDown,
    LinkUp,
    OfferBulk,
    Sendable,
    SendCommand,
)
from protocols.link.connection import Connection
from protocols.link.stats import LinkStats
from specs.registry import ChannelId, CloseCode, Role

_HASHED_INLINE_BYTES: Final = 1 << 20
"""What takes longer to hash than a millisecond or two goes to a thread."""
_GOODBYE_S: Final = 1.0
_MAX_WAITING_BYTES: Final = 1_048_576
"""Bytes of an object that wait for the user; beyond, they wait in the core."""
_ERRORS: Final[dict[DownReason, type[AerolinkError]]] = {
    DownReason.TRUNCATED: TruncatedError,
    DownReason.TIMEOUT: LinkTimeoutError,
}


class LinkClosedError(UsageError):
    """The link is down; ``Link.down`` says why."""


class IncomingObject:
    """An object that the peer offers on a ``bulk`` channel."""

    def __init__(self, link: "Link", offer: BulkOffered) -> None:
        self.offer: Final = offer
        """Name, size and hash, as the peer says; the name is never a path."""
        self.received_bytes = 0
        """For progress."""
        self._link = link
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wakeup = Wakeup()
        self._complete = False
        self._status: BulkStatus | None = None

    async def read_all(self, max_bytes: int) -> bytes:
        """Take the whole object into memory and confirm it; UsageError when larger, LinkClosedError."""
        if self.offer.size_bytes > max_bytes:
            self.end(BulkStatus.REFUSED)
            raise UsageError(f"the peer offers {self.offer.size_bytes} bytes, {max_bytes} are allowed")
        parts = [chunk async for chunk in self.chunks()]
        self.end(BulkStatus.OK)
        return b"".join(parts)

    def chunks(self, prefix: bytes = b"") -> AsyncIterator[bytes]:
        """Accept, and iterate over the bytes in order; call :meth:`end` with OK when they are stored.

        ``prefix`` is what is here already from an earlier attempt. Ends after the whole hash was right;
        LinkClosedError when the link or the transfer ends before.
        """
        self._link.send_now(AcceptBulk(self.offer.channel, self.offer.transfer, prefix))
        return _Chunks(self)

    async def next_chunk(self) -> bytes | None:
        """Return the next bytes after :meth:`chunks` has accepted; None after the last."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._chunks:
            if self._complete:
                return None
            if self._status is not None or self._link.down is not None:
                raise LinkClosedError(f"the transfer of {self.offer.size_bytes} bytes did not finish")
            await self._wakeup.wait()
        chunk = self._chunks.popleft()
        self.received_bytes += len(chunk)
        self._waiting_bytes -= len(chunk)
        self._link.progress()
        await trio.lowlevel.cancel_shielded_checkpoint()
        return chunk

    def end(self, status: BulkStatus) -> None:
        """Confirm (OK), refuse or cancel."""
        if status is not BulkStatus.OK:
            self._chunks.clear()  # nobody will take them
            self._waiting_bytes = 0
        self._link.send_now(EndBulk(self.offer.channel, self.offer.transfer, True, status))

    def on_event(self, event: BulkChunkReceived | BulkReceived | BulkEnded | None) -> None:
        """Take news of this transfer (None: the link is down)."""
        if isinstance(event, BulkChunkReceived):
            self._chunks.append(event.data)
            self._waiting_bytes += len(event.data)
        elif isinstance(event, BulkReceived):
            self._complete = True
        elif isinstance(event, BulkEnded):
            self._status = event.status
        self._wakeup.set()

    @property
    def is_full(self) -> bool:
        """Whether as many bytes wait to be taken as may."""
        return self._waiting_bytes > _MAX_WAITING_BYTES


class _Chunks:
    """No generator: whoever breaks out of the loop leaves nothing behind that must be closed."""

    def __init__(self, incoming: IncomingObject) -> None:
        self._incoming = incoming

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._incoming.next_chunk()
        if chunk is None:
            raise StopAsyncIteration
        return chunk


class Link:
    """Made by a node; valid until :attr:`down` is set."""

    def __init__(self, connection: Connection, pump: Pump, up: LinkUp) -> None:
        self.up: Final = up
        """Suite, handshake time, channel binding."""
        self.down: LinkDown | None = None
        """Why the link ended; None while it is up."""
        self._connection = connection
        self._pump = pump
        self._inbox: Inbox[IncomingObject] = Inbox()
        self._readable = Wakeup()
        self._writable = Wakeup()
        self._answers: dict[tuple[ChannelId, int], Callable[[bytes | None], None]] = {}
        self._outgoing: dict[tuple[ChannelId, int], Callable[[BulkStatus | None], None]] = {}
        self._incoming: dict[tuple[ChannelId, int], IncomingObject] = {}
        self._full: set[tuple[ChannelId, int]] = set()
        self._objects_held = Held(transfers=self._full)
        self._all_held = Held(commands=True, transfers=self._full)
        self._ended = trio.Event()
        pump.on_progress[connection] = self.progress

    def __repr__(self) -> str:
        return f"<Link to {self.role.name} {self.key_id.hex()}{'' if self.down is None else ' (down)'}>"

    @property
    def key_id(self) -> bytes:
        """The peer."""
        return self._connection.key_id

    @property
    def role(self) -> Role:
        """The peer's role."""
        return self._connection.role

    def stats(self) -> LinkStats:
        """Return a snapshot of every counter."""
        return self._connection.stats()

    @property
    def dropped(self) -> int:
        """Messages of ``control``, ``state`` and ``stream`` given up here because nobody took them in time."""
        return self._inbox.dropped

    @property
    def stale(self) -> int:
        """Messages of ``control`` that waited here until their lifetime was over (CH-14)."""
        return self._inbox.stale

    @property
    def control_stale_since(self) -> float | None:
        """Since when every control message that arrived was too old (CH-12); None after one that was not.

        Nothing within an association heals a path that became slower for good, or a peer whose clock stood still. A
        node that needs control, and sees this last, closes the link and makes it anew.
        """
        return self._connection.channels.control_stale_since

    # --- sending --------------------------------------------------------------------------------

    def send_now(self, message: Sendable) -> int:
        """Queue a message without waiting; returns its id. LinkClosedError, QueueFullError, UsageError."""
        if self.down is not None:
            raise self._closed(self.down)
        number = self._connection.send(message, trio.current_time())
        self._pump.turn()
        return number

    async def send(self, message: Sendable) -> int:
        """Queue a message, and wait for room when its queue is full; returns its id."""
        await trio.lowlevel.checkpoint_if_cancelled()
        number = await self._send(message)
        await trio.lowlevel.cancel_shielded_checkpoint()
        return number

    async def _send(self, message: Sendable) -> int:
        """Queue a message; nothing else runs between that and the return."""
        while True:
            try:
                return self.send_now(message)
            except QueueFullError:
                await self._writable.wait()

    async def request(self, data: bytes, channel: ChannelId = ChannelId.COMMAND) -> bytes:
        """Send a command and return its answer; exactly once at the peer. LinkClosedError when the link ends."""
        done = trio.Event()
        answer: list[bytes | None] = []

        def settle(data: bytes | None) -> None:
            answer.append(data)
            done.set()

        key = (channel, await self._send(SendCommand(channel, data)))
        self._answers[key] = settle
        try:
            await done.wait()
        finally:
            self._answers.pop(key, None)
        if answer[0] is None:
            raise LinkClosedError("the link ended before the answer came")
        return answer[0]

    async def send_object(self, name: str, data: bytes | memoryview, channel: ChannelId = ChannelId.LOG) -> BulkStatus:
        """Transfer an object whole; return how it ended. LinkClosedError when the link ends before."""
        done = trio.Event()
        outcome: list[BulkStatus | None] = []

        def settle(status: BulkStatus | None) -> None:
            outcome.append(status)
            done.set()

        digest = await _sha256(data)
        key = (channel, await self._send(OfferBulk(channel, name, data, digest)))
        self._outgoing[key] = settle
        try:
            await done.wait()
        except trio.Cancelled:
            if self.down is None:
                self.send_now(EndBulk(channel, key[1], False, BulkStatus.CANCELLED))
            raise
        finally:
            self._outgoing.pop(key, None)
        if outcome[0] is None:
            raise LinkClosedError("the link ended before the transfer did")
        return outcome[0]

    async def flush(self) -> None:
        """Wait until everything that may be sent now has been handed to the carrier."""
        await self._pump.flush()

    async def close(self, code: CloseCode = CloseCode.NORMAL) -> None:
        """Close with an authenticated goodbye, and wait until it is out (at most a second)."""
        self._connection.close(code)
        self._pump.turn()
        with trio.move_on_after(_GOODBYE_S):
            await self._pump.flush()

    # --- receiving ------------------------------------------------------------------------------

    async def receive(self) -> ChannelEvent | IncomingObject:
        """Return the next message; LinkClosedError when the link is down and all has been taken."""
        await trio.lowlevel.checkpoint_if_cancelled()  # not later: what has been taken must not be lost
        waited = False
        while (message := self._inbox.take(trio.current_time())) is None:
            if self.down is not None:
                self._readable.set()  # for whoever else waits
                raise self._closed(self.down)
            self._readable.is_set = False
            await self._pump.wait(self._readable)
            waited = True
        self.progress()
        if self._inbox:
            self._readable.set()
        if not waited:
            await trio.lowlevel.cancel_shielded_checkpoint()
        return message

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChannelEvent | IncomingObject:
        try:
            return await self.receive()
        except LinkClosedError:
            raise StopAsyncIteration from None

    async def wait_down(self) -> LinkDown:
        """Wait for the end of the link and say why."""
        await self._ended.wait()
        assert self.down is not None  # noqa: S101  # set before the event
        return self.down

    def _closed(self, down: LinkDown) -> LinkClosedError:
        error = LinkClosedError(f"the link is down: {down.reason.value}")
        cause = _ERRORS.get(down.reason)
        error.__cause__ = None if cause is None else cause(down.reason.value)
        return error

    # --- from the node --------------------------------------------------------------------------

    def end(self, down: LinkDown) -> None:
        """Note the end; who waits is told."""
        if self.down is not None:
            return
        self.progress()
        self.down = down
        self._pump.on_progress.pop(self._connection, None)
        for settle in tuple(self._answers.values()):
            settle(None)
        for finish in tuple(self._outgoing.values()):
            finish(None)
        for incoming in tuple(self._incoming.values()):
            incoming.on_event(None)
        self._readable.set()
        self._writable.set()
        self._ended.set()

    def progress(self) -> None:
        """Take messages out of the core as far as there is room for them, and open its windows by that."""
        taken = False
        now = trio.current_time()
        if self._full:
            self._full &= {key for key, each in self._incoming.items() if each.is_full}
        while (event := self._connection.next_message(now, self._held())) is not None:
            taken = True
            self._route(event)
        self._writable.set()
        if taken:
            self._pump.wake()

    def _held(self) -> Held:
        return self._all_held if self._inbox.is_full else self._objects_held

    def _route(self, event: ChannelEvent) -> None:
        if isinstance(event, AnswerReceived):
            settle = self._answers.get((event.channel, event.reply_to))
            if settle is not None:
                settle(event.data)
            return
        if isinstance(event, BulkAccepted):
            return
        if isinstance(event, BulkEnded) and not event.incoming:
            finish = self._outgoing.get((event.channel, event.transfer))
            if finish is not None:
                finish(event.status)
            return
        if isinstance(event, BulkChunkReceived | BulkReceived | BulkEnded):
            self._on_transfer((event.channel, event.transfer), event)
            return
        if isinstance(event, BulkOffered):
            offered = self._incoming[event.channel, event.transfer] = IncomingObject(self, event)
            self._inbox.put(offered)
        else:
            self._inbox.put(event)
        self._readable.set()

    def _on_transfer(self, key: tuple[ChannelId, int], event: BulkChunkReceived | BulkReceived | BulkEnded) -> None:
        incoming = self._incoming.get(key)
        if incoming is None:
            return
        incoming.on_event(event)
        if incoming.is_full:
            self._full.add(key)
        if isinstance(event, BulkEnded):
            del self._incoming[key]
            self._inbox.remove(incoming)


async def _sha256(data: bytes | memoryview) -> bytes:
    if len(data) <= _HASHED_INLINE_BYTES:
        return hashlib.sha256(data).digest()
    digest = await trio.to_thread.run_sync(hashlib.sha256, data)  # releases the interpreter lock
    return digest.digest()

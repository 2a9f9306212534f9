"""A link as the user of a node holds it: typed messages, requests with answers, whole objects, back-pressure.

What nobody takes waits in an :class:`~nodes.inbox.Inbox` and behind it in the core, so a slow reader slows a reliable
sender down and loses only what is unreliable. What is full holds back its own: an object its bytes, commands the
commands; control passes everything (CH-5).
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Self, cast

import trio

from nodes.errors import LinkClosedError
from nodes.inbox import Inbox
from nodes.incoming import IncomingObject
from nodes.runner import Pump
from nodes.wakeup import Wakeup
from protocols.channels import Held
from protocols.errors import AerolinkError, LinkTimeoutError, QueueFullError, TruncatedError
from protocols.events import (
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
    RelayMessage,
    RelayReceived,
    Sendable,
    SendCommand,
    StreamReceived,
)
from protocols.link.connection import Connection
from protocols.link.stats import LinkStats
from specs.registry import ChannelClass, ChannelId, CloseCode, Role

_HASHED_INLINE_BYTES: Final = 1 << 20
"""What takes longer to hash than a millisecond or two goes to a thread."""
_GOODBYE_S: Final = 1.0
_PART_MESSAGES: Final = 4_096
"""What ``send_many`` offers to a queue at once, after its first offer."""
_ERRORS: Final[dict[DownReason, type[AerolinkError]]] = {
    DownReason.TRUNCATED: TruncatedError,
    DownReason.TIMEOUT: LinkTimeoutError,
}


class Link:
    """Made by a node; valid until :attr:`down` is set."""

    def __init__(self, connection: Connection, pump: Pump, up: LinkUp) -> None:
        self.up: Final = up
        """Suite, handshake time, channel binding."""
        self.down: LinkDown | None = None
        """Why the link ended; None while it is up."""
        self.on_relay: Callable[[RelayMessage], None] | None = None
        """Given what arrives on relay channels, which no user sees; while it is None, that is dropped."""
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
        self._holds_back = False
        """Whether the core may keep messages for which there was no room."""
        self._waits_for_room = 0
        self._ended: trio.Event | None = None
        connection.channels.on_room = self._writable.set
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

    @property
    def has_relay(self) -> bool:
        """Whether it has a relay channel, so that the peer may be a neighbour (specs/5-relay.md)."""
        return self._connection.channels.service(ChannelId.RELAY) is ChannelClass.RELAY

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
        pump = self._pump
        if not pump.is_clear:
            number = self._connection.send(message, pump.now())
            pump.push()
            return number
        number, packet = self._connection.send_alone(message, pump.now())
        if packet is None:
            pump.push()
        else:
            pump.hand_over(packet)
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
                await self._room()

    async def _room(self) -> None:
        """Wait until something has left a queue."""
        self._waits_for_room += 1
        try:
            await self._writable.wait()
        finally:
            self._waits_for_room -= 1

    async def send_many(self, channel: ChannelId, messages: Sequence[bytes]) -> None:
        """Queue messages in order, and wait for room as often as it takes; nothing is dropped for want of it.

        ``channel`` is of class ``stream`` (messages that fit share payloads, CH-43) or ``command``. UsageError,
        MessageTooLargeError (then nothing was queued), LinkClosedError. When it is cancelled, or the link ends, a
        first part of the messages may have been sent.
        """
        service = self._connection.channels.service(channel)
        if service is ChannelClass.COMMAND:
            for data in messages:
                await self.send(SendCommand(channel, data))
            return
        await trio.lowlevel.checkpoint_if_cancelled()
        done, waited = 0, False
        while done < len(messages):
            if self.down is not None:
                raise self._closed(self.down)
            # All of them first, so that all are checked before one leaves.
            part = messages[done : done + _PART_MESSAGES] if done else messages
            taken = self._connection.send_many(channel, part, self._pump.now())
            self._pump.push()
            done += taken
            if taken < len(part):
                await self._room()
                waited = True
        if not waited:
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def request(self, data: bytes, channel: ChannelId = ChannelId.COMMAND) -> bytes:
        """Send a command and return its answer; exactly once at the peer. LinkClosedError when the link ends."""
        done = Wakeup()
        answer: list[bytes | None] = []

        def settle(data: bytes | None) -> None:
            answer.append(data)
            done.set()

        key = (channel, await self._send(SendCommand(channel, data)))
        self._answers[key] = settle
        try:
            while not answer:
                await self._pump.wait(done)
        finally:
            self._answers.pop(key, None)
        if answer[0] is None:
            raise LinkClosedError("the link ended before the answer came")
        return answer[0]

    async def send_object(
        self, name: str, data: bytes | memoryview, channel: ChannelId = ChannelId.LOG, *, sha256: bytes | None = None
    ) -> BulkStatus:
        """Transfer an object whole; return how it ended. LinkClosedError when the link ends before.

        ``sha256``: of the data, for who knows it already (32 bytes); the receiver checks it in any case.
        """
        done = trio.Event()
        outcome: list[BulkStatus | None] = []

        def settle(status: BulkStatus | None) -> None:
            outcome.append(status)
            done.set()

        digest = await _sha256(data) if sha256 is None else sha256
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
        await self._arrival()
        while (message := self._inbox.take(self._pump.now())) is None:  # what was there has grown stale (CH-14)
            await self._arrival()
        self._was_read()
        return message

    async def receive_many(self) -> list[ChannelEvent | IncomingObject]:
        """Return all messages that are there, the most urgent first, and at least one; LinkClosedError as above."""
        await self._arrival()
        while not (messages := self._inbox.take_all(self._pump.now())):
            await self._arrival()
        self._was_read()
        return messages

    async def _arrival(self) -> None:
        """Wait until the inbox holds something. A checkpoint, and none behind it: what is taken then is not lost."""
        if self._inbox:
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        while not self._inbox:
            if self.down is not None:
                self._readable.set()  # for whoever else waits
                raise self._closed(self.down)
            self._readable.is_set = False
            await self._pump.wait(self._readable)

    def _was_read(self) -> None:
        """Let in what the core kept because there was no room, and wake who else waits for a message."""
        self.taken()
        if self._inbox:
            self._readable.set()

    def taken(self) -> None:
        """Something was taken: let in what the core kept for want of room, if it did."""
        if self._holds_back:
            self.progress()
            self._pump.turn()

    async def wait(self, ready: Wakeup) -> None:
        """Wait until ``ready`` may have been set; the pump's way."""
        await self._pump.wait(ready)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChannelEvent | IncomingObject:
        try:
            return await self.receive()
        except LinkClosedError:
            raise StopAsyncIteration from None

    async def wait_down(self) -> LinkDown:
        """Wait for the end of the link and say why."""
        if self._ended is None:
            self._ended = trio.Event()
            if self.down is not None:
                self._ended.set()
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
        if self._ended is not None:
            self._ended.set()

    def progress(self) -> None:
        """Take messages out of the core as far as there is room for them, and open its windows by that."""
        now = self._pump.now()
        if self._full:
            self._full &= {key for key, each in self._incoming.items() if each.is_full}
        while events := self._connection.next_messages(now, self._held()):
            first = events[0]
            if isinstance(first, StreamReceived):
                self._inbox.put_stream(cast("Sequence[StreamReceived]", events))
                self._readable.set()
            else:
                self._route(first)
        self._holds_back = bool(self._full) or self._inbox.is_full
        if self._waits_for_room:
            self._writable.set()

    def _held(self) -> Held:
        return self._all_held if self._inbox.is_full else self._objects_held

    def _route(self, event: ChannelEvent) -> None:
        if isinstance(event, AnswerReceived):
            settle = self._answers.get((event.channel, event.reply_to))
            if settle is not None:
                settle(event.data)
            return
        if isinstance(event, RelayReceived):
            if self.on_relay is not None:
                self.on_relay(event.message)
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

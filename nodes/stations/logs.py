"""Sealed logs from one hop to the next: offered, sent whole or resumed, and let go only when the next one has them.

The receiver answers an offer with ``DONE`` when it has the log already and ``STARTED`` when it wants it; then the log
travels on the ``log`` channel, and the receiver confirms it when it is durable. After a break both begin again: the
store knows how much of it is here. Who offers, offers every log that its cloud has not acknowledged, on every new
link: a neighbour that lost one is offered it again (specs/8-sealed-logs.md).
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import trio

from nodes.errors import LinkClosedError
from nodes.incoming import IncomingObject
from nodes.link import Link
from nodes.ports import LogEntry, LogState, LogStore, LogWriter
from protocols.errors import AerolinkError, LocalError, MalformedError, PeerError, UsageError
from protocols.events import BulkStatus
from protocols.maps import pack_map
from protocols.messages import MessageTable
from specs.airlink.command import Answer, LogOffer, Result
from specs.airlink.numbers import Direction
from specs.registry import ChannelId

_BUFFER_BYTES: Final = 262_144
"""So much is written at once."""
_AGAIN_S: Final = 5.0
"""Until a log that the neighbour could not take is offered again."""

Tell = Callable[[str], None]
Ask = Callable[[LogOffer], Awaitable[Answer | None]]
"""Sends an offer, and gives the neighbour's answer; None for one that says nothing."""


class LogDesk:
    """The logs of a station, and a bell that rings when one has come."""

    def __init__(self, store: LogStore) -> None:
        self.store: Final = store
        """Where they are."""
        self._bell = trio.Event()
        self._taking: set[bytes] = set()

    def ring(self) -> None:
        """Say that a log has come, or that one may go."""
        self._bell.set()
        self._bell = trio.Event()

    @property
    def bell(self) -> trio.Event:
        """The next ring; take it before you look at the store."""
        return self._bell

    # --- towards the cloud ----------------------------------------------------------------------

    async def hand_over(self, link: Link, ask: Ask, tell: Tell) -> None:
        """Offer every log that is here to the neighbour, now and when one comes; LinkClosedError at the link's end."""
        settled: set[bytes] = set()
        while True:
            bell = self.bell
            is_done = True
            for entry in await self.store.all():
                if entry.stored and entry.state is not LogState.ACKNOWLEDGED and entry.sha256 not in settled:
                    if await self._offered(entry, link, ask, tell):
                        settled.add(entry.sha256)
                    else:
                        is_done = False
            with trio.move_on_after(float("inf") if is_done else _AGAIN_S):
                await bell.wait()

    async def _offered(self, entry: LogEntry, link: Link, ask: Ask, tell: Tell) -> bool:
        """Return whether the neighbour has it now; LinkClosedError.

        A neighbour takes its time, and meanwhile the cloud's receipt may come, after which the content is gone.
        """
        try:
            return await self._offer(entry, link, ask, tell)
        except LinkClosedError:
            raise
        except LocalError as error:
            tell(f"log {entry.flight_id.hex()[:8]}: not handed over: {error}")
            return False

    async def _offer(self, entry: LogEntry, link: Link, ask: Ask, tell: Tell) -> bool:
        name = entry.flight_id.hex()
        details = pack_map({"drone_id": entry.drone_id, "flight_id": entry.flight_id})
        answer = await ask(LogOffer(name, entry.size_bytes, entry.sha256, details))
        if answer is None or answer.result not in {Result.DONE, Result.STARTED}:
            tell(f"log {name[:8]}: the neighbour does not take it now")
            return False
        if answer.result is Result.STARTED:
            async with self.store.content(entry.sha256) as content:
                status = await link.send_object(name, content, sha256=entry.sha256)
            if status is not BulkStatus.OK:
                tell(f"log {name[:8]}: the transfer ended with {status.name.lower()}")
                return False
        if entry.state is LogState.RECEIVED:
            await self._mark(entry.sha256, LogState.HANDED_OVER)
        tell(f"log {name[:8]}: handed over, {entry.size_bytes:,} bytes")
        return True

    async def acknowledge(self, flight_id: bytes, sha256: bytes) -> bool:
        """Let go of a log that the cloud has; False when it is not known here."""
        entry = await self.store.find(sha256)
        if entry is None or entry.flight_id != flight_id:
            return False
        if entry.state is not LogState.ACKNOWLEDGED:
            await self._mark(sha256, LogState.ACKNOWLEDGED)
        return True

    async def _mark(self, sha256: bytes, state: LogState) -> None:
        entry = await self.store.find(sha256)
        if entry is not None and entry.state is not LogState.ACKNOWLEDGED:
            await self.store.mark(sha256, state)
            self.ring()

    # --- from the drone's side ------------------------------------------------------------------

    async def answer(self, offer: LogOffer) -> Answer:
        """Answer an offer."""
        try:
            entry = await self.store.find(offer.sha256)
        except AerolinkError:
            return Answer(Result.FAILED, "the store cannot be read")
        return Answer(Result.STARTED if entry is None or _is_given_away(entry) else Result.DONE)

    async def answer_untrusted(self, channel: ChannelId, data: bytes, table: MessageTable[Any]) -> Answer:
        """Answer a request of the drone's side: of all that it may ask, offers alone are anything."""
        try:
            message = table.decode_untrusted(channel, data, Direction.DOWN)
        except MalformedError:
            return Answer(Result.INVALID)
        return await self.answer(message) if isinstance(message, LogOffer) else Answer(Result.UNSUPPORTED)

    async def take(self, incoming: IncomingObject, tell: Tell, refuse: Tell) -> None:
        """Take a log whole; what came of it stays for the next attempt when the link ends.

        ``refuse`` is told of what no honest neighbour sends: each has looked at what it passes on.
        """
        sha256 = incoming.offer.sha256
        if sha256 in self._taking:
            incoming.end(BulkStatus.REFUSED)
            return
        self._taking.add(sha256)
        try:
            await self._take(incoming)
        except LinkClosedError:  # what is here stays
            if incoming.status is BulkStatus.HASH_MISMATCH:
                refuse("what came, now and perhaps earlier, is not what was offered")
        except PeerError:
            refuse("what came is no sealed log")
            _end(incoming, BulkStatus.REFUSED)
        except LocalError as error:
            tell(f"a log is not taken: {error}")
            _end(incoming, BulkStatus.REFUSED)
        else:
            tell(f"log {incoming.offer.name[:8]}: here, {incoming.offer.size_bytes:,} bytes")
            _end(incoming, BulkStatus.OK)
            self.ring()
        finally:
            self._taking.discard(sha256)

    async def _take(self, incoming: IncomingObject) -> None:
        offer = incoming.offer
        entry = await self.store.find(offer.sha256)
        if entry is not None and not _is_given_away(entry):
            raise UsageError("it is here already")  # another link was faster: the next offer is answered so
        writer = await self.store.receive(offer.sha256, offer.size_bytes)
        try:
            await _copy(incoming, writer)
            await writer.finish()
        except LinkClosedError:
            if incoming.status is BulkStatus.HASH_MISMATCH:  # wrong bytes, now or earlier, and nobody knows which:
                await writer.discard()  # kept, they would spoil every later attempt
            raise
        finally:
            with trio.CancelScope(shield=True):
                await writer.aclose()


async def _copy(incoming: IncomingObject, writer: LogWriter) -> None:
    async with writer.prefix() as prefix:
        chunks = incoming.chunks(prefix)  # its bytes are hashed while they are given
        incoming.received_bytes = len(prefix)
        buffered: list[bytes] = []
        size = 0
        try:
            async for chunk in chunks:
                buffered.append(chunk)
                size += len(chunk)
                if size >= _BUFFER_BYTES:
                    whole, buffered, size = b"".join(buffered), [], 0
                    await writer.write(whole)
        except (LinkClosedError, trio.Cancelled):
            with trio.CancelScope(shield=True):  # a path that breaks often must bring a log nearer each time
                await writer.write(b"".join(buffered))
            raise
        await writer.write(b"".join(buffered))


def _is_given_away(entry: LogEntry) -> bool:
    """Whether a log was handed over and its room used for others (SL-44): who still has it may give it to us again."""
    return not entry.stored and entry.state is not LogState.ACKNOWLEDGED


def _end(incoming: IncomingObject, status: BulkStatus) -> None:
    with suppress(AerolinkError):  # the link has gone: the next offer is answered from the store
        incoming.end(status)


def ask_over(link: Link, table: MessageTable[Any]) -> Ask:
    """Send offers over a link, as messages of its table."""

    async def ask(offer: LogOffer) -> Answer | None:
        data = await link.request(table.encode(offer))
        try:
            answer = table.decode_untrusted(ChannelId.COMMAND, data, Direction.UP)
        except MalformedError:
            return None
        return answer if isinstance(answer, Answer) else None

    return ask

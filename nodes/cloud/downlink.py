"""Downlinks: durable messages until they are acknowledged, relay messages as long as there is room (CL-30 to CL-41)."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from nodes.cloud.events import DownlinkChanged, OnEvent
from nodes.cloud.hop import CloudHop
from nodes.cloud.limits import CloudLimits
from nodes.cloud.ports import CloudRecords, QueueState
from protocols.cloudlink import KEEPALIVE, encode, encode_message_record, encode_relay_record, relay_batches
from protocols.errors import PolicyError, QueueFullError, StorageError
from protocols.events import RelayMessage
from protocols.maps import Packable, pack_map
from specs.cloudlink import DownlinkMessage

_AT_ONCE: Final = 16

OnHop = Callable[[CloudHop], None]
"""Called on the loop when a device can be reached by relay messages; give it to a relay, or set ``on_message``."""
Check = Callable[[], Awaitable[bool]]
"""Whether the certificate that asked for a downlink is still good."""


class NeverGivenError(PolicyError):
    """A number that no message of this device has had (CL-33)."""

    advice = "If the cloud was restored from a backup, nothing: the device begins anew. Else compare versions."


@dataclass(slots=True)
class _Line:
    """What waits for a device."""

    last: int
    """The highest number that was given."""
    messages: int
    """How many are not acknowledged, at most: counted again when the queue seems full."""
    size_bytes: int
    """Their bodies."""
    lock: trio.Lock = field(default_factory=trio.Lock)
    """Held while a number is given."""
    stream: "DownlinkStream | None" = None
    """Who reads now."""


class Downlinks:
    """The downlinks of all devices."""

    def __init__(
        self,
        records: CloudRecords,
        limits: CloudLimits,
        *,
        clock_ms: Callable[[], int],
        on_event: OnEvent,
        on_hop: OnHop,
    ) -> None:
        self._records = records
        self._limits = limits
        self._clock_ms = clock_ms
        self._on_event = on_event
        self._on_hop = on_hop
        self._lines: dict[str, _Line] = {}
        self._leaving: list[DownlinkStream] = []
        self._opening = trio.Lock()

    async def send(self, device: str, topic: str, body: Mapping[str, Packable]) -> int:
        """Queue a message, durably, and return its number; QueueFullError, UsageError, StorageError."""
        encoded = encode(DownlinkMessage(topic, self._clock_ms(), pack_map(body)))
        line = await self._line(device)
        async with line.lock:
            if self._is_full(line, len(encoded)):
                _count(line, await self._records.queue_state(device))
            if self._is_full(line, len(encoded)):
                raise QueueFullError("the downlink queue of this device is full: wait until it has been here")
            line.last = await self._records.enqueue(device, encoded)
            line.messages += 1
            line.size_bytes += len(encoded)
        if line.stream is not None:
            line.stream.wake()
        return line.last

    async def acknowledge(self, device: str, sequence: int) -> None:
        """Forget messages; NeverGivenError, StorageError."""
        line = await self._line(device)
        if sequence > line.last:
            raise NeverGivenError("no message had this number")
        await self._records.acknowledge(device, sequence)

    async def stream(self, device: str, after: int, check: Check) -> "DownlinkStream":
        """Return the response of a downlink, which takes the place of an older one; NeverGivenError, StorageError."""
        line = await self._line(device)
        if after > line.last:
            raise NeverGivenError("no message had this number")
        if line.stream is not None:
            line.stream.end()
        stream = DownlinkStream(self, device, after, self._limits, check)
        line.stream = stream
        self._on_event(DownlinkChanged(device, is_up=True))
        self._on_hop(stream.hop)
        return stream

    def receive_relay(self, device: str, messages: tuple[RelayMessage, ...]) -> None:
        """Hand relay messages of a device to its hop; without a downlink they are lost (CL-41)."""
        line = self._lines.get(device)
        if line is not None and line.stream is not None:
            line.stream.hop.receive(messages)

    def is_up(self, device: str) -> bool:
        """Whether a device has a downlink now."""
        line = self._lines.get(device)
        return line is not None and line.stream is not None

    def end(self, device: str) -> None:
        """End the downlink of a device that was revoked."""
        line = self._lines.get(device)
        if line is not None and line.stream is not None:
            line.stream.end()

    def end_all(self) -> None:
        """End every downlink: the cloud closes. What waits for a relay still goes, goodbyes among it."""
        for line in tuple(self._lines.values()):
            if line.stream is not None:
                self._leaving.append(line.stream)
                line.stream.end(last_words=True)

    async def gone(self) -> None:
        """Wait until the responses that :meth:`end_all` has ended are over; a device that does not read keeps us."""
        for stream in self._leaving:
            await stream.over.wait()

    # --- for the streams --------------------------------------------------------------------------

    async def records_after(self, device: str, after: int) -> list[tuple[int, bytes]]:
        """Return the next messages as records, each with its number; nothing if there are none."""
        if after >= (await self._line(device)).last:
            return []
        queued = await self._records.queued(device, after, _AT_ONCE)
        return [(each.sequence, encode_message_record(each.sequence, each.body)) for each in queued]

    def ended(self, stream: "DownlinkStream") -> None:
        """Take a stream out of its line."""
        line = self._lines[stream.device]
        if line.stream is stream:
            line.stream = None
        self._on_event(DownlinkChanged(stream.device, is_up=line.stream is not None))

    async def _line(self, device: str) -> _Line:
        async with self._opening:
            line = self._lines.get(device)
            if line is None:
                state = await self._records.queue_state(device)
                line = self._lines[device] = _Line(state.last, state.messages, state.size_bytes)
            return line

    def _is_full(self, line: _Line, size_bytes: int) -> bool:
        full = line.messages >= self._limits.queue_messages
        return full or line.size_bytes + size_bytes > self._limits.queue_bytes


def _count(line: _Line, state: QueueState) -> None:
    line.messages, line.size_bytes = state.messages, state.size_bytes


class DownlinkStream(AsyncIterator[bytes]):
    """The body of one downlink response: whole records, as they come up; one reader."""

    def __init__(self, owner: Downlinks, device: str, after: int, limits: CloudLimits, check: Check) -> None:
        self.device: Final = device
        """Whose it is."""
        self.hop: Final = CloudHop(device, self._send)
        """The relay's way to the device."""
        self.over: Final = trio.Event()
        """Everything has been read, or nobody reads any more."""
        self._owner = owner
        self._after = after
        self._limits = limits
        self._check = check
        self._relay: deque[RelayMessage] = deque(maxlen=limits.relay_messages)
        self._wakeup = trio.Event()
        self._ended = False
        self._is_new = True

    def wake(self) -> None:
        """Look again for what there is to send."""
        self._wakeup.set()

    def end(self, *, last_words: bool = False) -> None:
        """End the response, and the hop with it; ending twice does nothing. ``last_words``: after what waits."""
        if not self._ended:
            self._ended = True
            self.hop.down()
            if not last_words:
                self._relay.clear()
            self.wake()
            self._owner.ended(self)

    async def aclose(self) -> None:
        """End it: the device has gone."""
        self.over.set()
        self.end()  # before it waits: who is cancelled here must not leave a downlink behind that is none
        await trio.lowlevel.checkpoint()

    async def __anext__(self) -> bytes:
        """Return one or more whole records."""
        if self._is_new:  # tells the device that it is there
            self._is_new = False
            return KEEPALIVE
        while not self._ended:
            self._wakeup = trio.Event()
            if not await self._check():  # before each record: a connection may be older than a revocation (KL-64)
                self.end()
            elif found := self._relayed() or await self._messages():
                return found
            else:
                with trio.move_on_after(self._limits.keepalive_s) as quiet:
                    await self._wakeup.wait()
                if quiet.cancelled_caught and await self._check():
                    return KEEPALIVE
        if last_words := self._relayed():
            return last_words
        self.over.set()
        raise StopAsyncIteration

    def _relayed(self) -> bytes:
        messages = tuple(self._relay)
        self._relay.clear()
        return b"".join([encode_relay_record(batch) for batch in relay_batches(messages)])

    async def _messages(self) -> bytes:
        try:
            records = await self._owner.records_after(self.device, self._after)
        except StorageError:  # the device asks again, and then the alarm is raised
            self.end()
            return b""
        if records:
            self._after = records[-1][0]
        return b"".join([record for _, record in records])

    def _send(self, message: RelayMessage) -> None:
        self._relay.append(message)  # the oldest goes where there is no room
        self.wake()

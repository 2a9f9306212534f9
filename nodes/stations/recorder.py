"""The drone's flight recorder: what was flown is sealed to the cloud, signed, and put among the logs.

Without a key of a cloud a flight cannot be sealed, and unsealed it is never written: it waits in memory, bounded, until
a cloud has given its key, and is lost when the drone is switched off before (specs/8-sealed-logs.md).
"""

import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from nodes.flight import FlightDigest, FlightFrame, encode_flight
from nodes.ports import DroneSealing, LogEntry
from nodes.stations.logs import LogDesk
from protocols.errors import AerolinkError
from protocols.sealing import CloudKey, LogSealer, SigningKeys

_FLIGHT_ID_BYTES: Final = 16
_MAX_WAITING: Final = 8
"""Flights that wait for a key, or for room; for one more the shortest is lost: who reaches an autopilot's port may say
*armed* and *disarmed* in turn, and push a real flight out."""
_AGAIN_S: Final = 30.0
"""Until a flight that could not be stored is sealed again."""


@dataclass(frozen=True, slots=True)
class RecordedFlight:
    """A flight that is over."""

    source: str
    """``model`` or the name of the log."""
    frames: Sequence[FlightFrame] = field(repr=False)
    """All of it."""
    skipped_bytes: int = 0
    """Bytes of the log that belong to no good frame."""
    id: bytes = field(default_factory=lambda: secrets.token_bytes(_FLIGHT_ID_BYTES))
    """16 bytes, random."""

    def digest(self) -> FlightDigest:
        """What the cloud must find in it."""
        return FlightDigest.of(self.frames)


KnownAs = Callable[[bytes], Awaitable[bytes]]
"""Gives the drone's key id as a cloud, by its key id, knows it."""


class Recorder:
    """Seals flights, one after the other."""

    def __init__(self, known_as: KnownAs, keys: DroneSealing, desk: LogDesk, tell: Callable[[str], None]) -> None:
        self._known_as = known_as
        self._keys = keys
        self._desk = desk
        self._tell = tell
        self._waiting: deque[RecordedFlight] = deque()
        self._bell = trio.Event()
        self._last: tuple[RecordedFlight, CloudKey, list[bytes]] | None = None

    def add(self, flight: RecordedFlight) -> None:
        """Take a flight; it is sealed as soon as there is a key."""
        if len(self._waiting) == _MAX_WAITING:
            self._waiting.remove(min(self._waiting, key=lambda each: len(each.frames)))
            self._tell("a flight is lost: too many wait to be sealed, for want of a cloud's key or of room for logs")
        self._waiting.append(flight)
        self.look()

    def look(self) -> None:
        """Look again whether there is a key."""
        self._bell.set()

    async def run(self) -> None:
        """Seal what comes, for ever."""
        while True:
            self._bell = trio.Event()
            if not self._waiting:
                await self._bell.wait()
                continue
            flight = self._waiting[0]
            try:
                key = await self._keys.cloud_key()
                entry = None if key is None else await self._seal(flight, key)
            except AerolinkError as error:  # no room, for one: whoever withholds receipts can bring that about
                self._tell(f"a flight waits: it could not be stored: {error}")
                await trio.sleep(_AGAIN_S)
                continue
            if entry is None:
                self._tell("a flight waits: no cloud has given a key to seal it to")
                await self._bell.wait()
                continue
            self._last = None
            if self._waiting[0] is flight:  # it may have been given up meanwhile
                self._waiting.popleft()
            self._tell(f"flight {entry.flight_id.hex()[:8]}: sealed and signed, {entry.size_bytes:,} bytes")
            self._desk.ring()

    async def _seal(self, flight: RecordedFlight, key: CloudKey) -> LogEntry:
        parts = await self._parts(flight, key)
        writer = await self._desk.store.create()
        try:
            for part in parts:
                await writer.write(part)
            return await writer.finish()
        finally:
            with trio.CancelScope(shield=True):
                await writer.aclose()

    async def _parts(self, flight: RecordedFlight, key: CloudKey) -> list[bytes]:
        """Return the sealed log, the same at each attempt: another one of the same flight would be refused (SL-40)."""
        if self._last is not None and self._last[0] is flight and self._last[1] == key:
            return self._last[2]
        signing = await self._keys.signing_keys()
        parts = await trio.to_thread.run_sync(_sealed, flight, await self._known_as(key.cloud_id), key, signing)
        self._last = flight, key, parts
        return parts


def _sealed(flight: RecordedFlight, drone_id: bytes, key: CloudKey, signing: SigningKeys) -> list[bytes]:
    """Everything that takes long, for another thread."""
    sealer = LogSealer(
        drone_id=drone_id,
        flight_id=flight.id,
        cloud_public=key.public,
        signing=signing,
        entropy=secrets.token_bytes,
    )
    return [sealer.begin(), sealer.update(encode_flight(flight.frames)), sealer.finish()]

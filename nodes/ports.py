"""What a node needs from the outside, as typing.Protocol: keys, peers, counters (design, section 2).

Implementations stand in ``nodes/stores``; a user may bring a database, a token or a cloud of its own. Every
method may be slow; none may block the trio loop. Each raises :class:`protocols.errors.StorageError` or
:class:`~protocols.errors.ConfigError` with one line that says what to do, and changes nothing when it fails.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

from nodes.config.endpoint import Endpoint
from protocols.crypto.hpke import HpkeKey
from protocols.crypto.keys import StaticKey
from protocols.events import RelayMessage
from protocols.guards.address import Address
from protocols.link.peers import CounterBlock, PeerRecord
from protocols.link.train import Train
from protocols.sealing import CloudKey, SigningKeys, VerifyingKeys
from specs.registry import Role

CarrierName = Literal["udp", "tcp"]
"""The carriers that reach an endpoint."""


class KeyStore(Protocol):
    """Where the node's static keys live; a key need not be exportable."""

    async def static_key(self, dh: str) -> StaticKey:
        """Return the static key for a DH function ("P256", "25519"); ConfigError when there is none."""
        ...


class PeerDirectory(Protocol):
    """Which peers the node knows. One node writes: between its look-up and its write nobody else changes a record."""

    async def find(self, key_id: bytes) -> PeerRecord | None:
        """Return the record of a peer, revoked ones too, or None.

        Be quick: an initiator waits 1, 2, 3 and 4 s for the answer to an initiation, and each that follows is asked
        about anew. A directory slower than the longest of these lets nobody in.

        CounterLostError if the store has lost the counter of a record that is not revoked: without it a
        recorded initiation could be played again, so the devices must be paired again. A `put` with another
        pair secret (a new pairing) heals it.
        """
        ...

    async def all(self) -> Sequence[PeerRecord]:
        """Return every record; a lost counter is shown as 2**64 - 1, which no initiation exceeds."""
        ...

    async def put(self, record: PeerRecord) -> None:
        """Add or replace a record, durably: it is on disk when this returns.

        Another pair secret brings its own ``initiation_counter``; under the same one the counter never goes
        down. RevokedError for anything but a revoked record in the place of a revoked one.
        """
        ...

    async def remove(self, key_id: bytes) -> None:
        """Forget a peer, durably: how a revocation is lifted. Unknown peers are passed over."""
        ...

    async def confirm_counters(self, counters: Mapping[bytes, int]) -> None:
        """Raise the highest confirmed initiation counters, by key id, in one durable write.

        Unknown peers are passed over.
        """
        ...


class CounterStore(Protocol):
    """Where the node's own initiation counter lives."""

    async def reserve(self, dh: str, count: int, *, create: bool = False) -> CounterBlock:
        """Reserve ``count`` counters of the static key for ``dh``, durably, before any of them is used.

        A missing file raises CounterLostError unless ``create`` is given (only pairing does): then a new
        epoch begins at 1, and pairings of older epochs must be made again.
        """
        ...


class Interrupted(Exception):  # noqa: N818  # no error: it ends a wait
    """A pending ``receive`` ended because somebody asked for it; nothing was lost."""


class Carrier(Protocol):
    """Bytes in, bytes out: UDP, TCP, TLS or a relay channel."""

    datagram: bool
    """Whether what is sent keeps its boundaries."""

    async def receive(self) -> Sequence[Train]:
        """Return what has arrived, at least one train; nothing means the end of the stream. One task at a time.

        ``data`` is a writable view of a buffer that the carrier uses again (bytes, if it has none): it is valid until
        the next ``receive``, and whoever has it may write into it. Datagrams of no bytes are left out.
        """
        ...

    def send_now(self, trains: Sequence[Train]) -> Sequence[Train]:
        """Hand the system, in this order, what it takes without waiting, and return the rest.

        The first train that is returned may be the rest of one. What a buffer holds of a train that is not returned
        is not needed any more. A datagram that cannot be sent is lost. A carrier that is closed, and a stream that is
        broken, take everything; a broken one shows it in ``receive``.
        """
        ...

    async def send(self, trains: Sequence[Train]) -> None:
        """Send all of it, and wait for room where there is none; at least one checkpoint. One task at a time."""
        ...

    def interrupt(self) -> None:
        """End a pending ``receive`` with :class:`Interrupted`; nothing else is touched."""
        ...

    async def aclose(self) -> None:
        """Close: a ``receive`` or ``send`` that is pending ends with trio.ClosedResourceError, as does a later one."""
        ...


class RelayHop(Protocol):
    """A neighbour that carries relay messages: an outer link as a relay sees it (specs/5-relay.md)."""

    on_message: Callable[[RelayMessage], None] | None
    """Given each well-formed message of the neighbour, in order; the station sets it. It does not wait, nor raise."""

    @property
    def key_id(self) -> bytes:
        """Who the neighbour is, as its link has proven it; 16 bytes."""
        ...

    @property
    def role(self) -> Role | None:
        """What it is, as its link has proven it; None: it proves none, and nothing is forwarded from it or to it."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether it can be reached now; once it cannot, this hop stays so, and a new one takes its place."""
        ...

    def send(self, message: RelayMessage) -> None:
        """Hand a message over without waiting. What finds no room, or no link any more, is lost; nothing is raised."""
        ...


class StreamListener(Protocol):
    """A place where streams arrive."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""
        ...

    async def accept(self) -> tuple[Carrier, Address]:
        """Return the next stream, and whom it comes from."""
        ...

    async def aclose(self) -> None:
        """Take no more."""
        ...


class Network(Protocol):
    """Where carriers come from: the system's sockets, or a network in memory (``nodes.testing.network``).

    Each call raises ConfigError with one line when there is no such place, or it is taken.
    """

    async def datagrams(self, endpoint: Endpoint) -> tuple[Carrier, Endpoint]:
        """Take a datagram port; return where it is (port 0: chosen)."""
        ...

    async def datagrams_towards(self, endpoint: Endpoint) -> tuple[Carrier, Address]:
        """Take any datagram port, to speak with ``endpoint``; return the address of that."""
        ...

    async def streams(self, endpoint: Endpoint) -> StreamListener:
        """Listen for streams."""
        ...

    async def stream_towards(self, endpoint: Endpoint) -> Carrier:
        """Open a stream."""
        ...


# --- sealed logs (specs/8-sealed-logs.md) -------------------------------------------------------


class DroneSealing(Protocol):
    """A drone's keys for its logs."""

    async def signing_keys(self) -> SigningKeys:
        """Return both signing keys; they are made, durably, when there are none."""
        ...

    async def cloud_key(self) -> CloudKey | None:
        """Return the pinned key that logs are sealed to."""
        ...

    async def pin_cloud_key(self, key: CloudKey) -> None:
        """Pin a key that its cloud gave over its own link to the drone, durably, in the place of an older one.

        BadPublicKeyError; PinRefusedError if the pinned one was given by another cloud.
        """
        ...

    async def unpin_cloud_key(self) -> None:
        """Forget the pinned key: the owner's decision, after which any paired cloud may give one."""
        ...


class CloudSealing(Protocol):
    """A cloud's keys for logs: its own, and those of the drones that it knows."""

    async def newest_key(self) -> HpkeKey:
        """Return the key that drones are to pin; it is made, durably, when there is none."""
        ...

    async def opening_keys(self) -> Sequence[HpkeKey]:
        """Return every key that opens logs, the newest last."""
        ...

    async def rotate(self) -> HpkeKey:
        """Make a new newest key, durably; older ones still open. StorageError when there are 16 already."""
        ...

    async def destroy_key(self, key_id: bytes) -> None:
        """Forget an older key: logs sealed to it are lost. UsageError for the newest; unknown ids are passed over."""
        ...

    async def verifying_keys(self, drone_id: bytes) -> Sequence[VerifyingKeys]:
        """Return the pairs of keys of one drone, the newest last; none for a drone that is not known."""
        ...

    async def pin_drone(self, keys: VerifyingKeys) -> None:
        """Pin what a drone gave over its own link, durably; the last 4 pairs stay. BadPublicKeyError."""
        ...

    async def unpin_drone(self, drone_id: bytes) -> None:
        """Forget a drone's keys (it was revoked): none of its logs is accepted any more."""
        ...


class LogState(Enum):
    """How far a sealed log has come."""

    RECEIVED = "received"
    """It is here, whole and durable."""
    HANDED_OVER = "handed over"
    """The next hop has it, durably."""
    ACKNOWLEDGED = "acknowledged"
    """The cloud has it. The content is gone from here."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A sealed log in a store. What its header says is not proven here."""

    sha256: bytes
    """Of the sealed bytes: its name in the store."""
    size_bytes: int
    """Of the sealed bytes."""
    drone_id: bytes
    """Whose it is, as its header says."""
    cloud_key_id: bytes
    """Whom it is for, as its header says."""
    flight_id: bytes
    """Which flight, as its header says."""
    state: LogState
    """How far it has come."""
    stored: bool
    """Whether its content is here; not when acknowledged, nor when a full store gave its room away."""


class LogWriter(Protocol):
    """A log on its way into a store."""

    @property
    def received_bytes(self) -> int:
        """How many bytes are here."""
        ...

    def prefix(self) -> AbstractAsyncContextManager[memoryview]:
        """Give what was here when the writer was opened, for ``AcceptBulk(prefix=...)``."""
        ...

    async def write(self, data: bytes) -> None:
        """Take the next bytes; UsageError beyond the announced size, StoreFullError, StorageError."""
        ...

    async def finish(self) -> LogEntry:
        """Return when the whole log is durable.

        MalformedError if it is no sealed log, DamagedLogError if it is not the announced one: nothing of it stays.
        """
        ...

    async def discard(self) -> None:
        """Close, and drop what came of an announced log: it is known to be wrong. After ``finish`` nothing."""
        ...

    async def aclose(self) -> None:
        """Keep what came of an announced log for the next attempt, drop it otherwise. After ``finish`` nothing."""
        ...


class LogStore(Protocol):
    """Sealed logs in store and forward."""

    async def create(self) -> LogWriter:
        """Begin a log that is being made here; what is not finished does not outlive the process."""
        ...

    async def receive(self, sha256: bytes, size_bytes: int) -> LogWriter:
        """Begin or resume a log that a peer announces; StoreFullError without room, UsageError if it is here."""
        ...

    async def find(self, sha256: bytes) -> LogEntry | None:
        """Return what is known of a log."""
        ...

    async def all(self) -> Sequence[LogEntry]:
        """Return every log, the oldest first."""
        ...

    async def pending(self) -> Sequence[LogEntry]:
        """Return those that nobody took over yet, the oldest first."""
        ...

    def content(self, sha256: bytes) -> AbstractAsyncContextManager[memoryview]:
        """Give the bytes of a log, mapped and not read; UsageError if they are not here."""
        ...

    async def mark(self, sha256: bytes, state: LogState) -> LogEntry:
        """Change the state, durably; UsageError for an unknown log, and for one that was acknowledged."""
        ...

"""What the cloud needs from the outside: rows, blobs, and who is a device (specs/9-cloudlink.md).

Rows may live in any database and blobs in any object store. Both are simple: quotas, order and meaning are above
them. What a call has done is durable when it returns, and a call that fails has changed nothing; it raises
:class:`~protocols.errors.StorageError`, :class:`StorageFullError` if there is no room. One process at a time uses a
store.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from specs.cloudlink import UploadKind, UploadPhase, UploadReason


@dataclass(frozen=True, slots=True)
class SeenDevice:
    """A device that was here."""

    device: str
    """Its id, 32 hexadecimal digits."""
    first_ms: int
    """When it came for the first time, cloud's clock, milliseconds since 1970."""
    last_ms: int
    """When it was here last, to a minute."""


@dataclass(frozen=True, slots=True)
class TelemetryRow:
    """A batch of telemetry, or a report of alarms, as it came."""

    device: str
    """Who brought it."""
    outbox: bytes
    """Whose count the sequence is."""
    sequence: int
    """Its number."""
    received_ms: int
    """When it came, cloud's clock."""
    items: int
    """How many messages, or alarms, are in it."""
    drone: bytes
    """Key id of the drone; empty: not known."""
    body: bytes = field(repr=False)
    """The whole body, as it came."""


@dataclass(frozen=True, slots=True)
class UploadRow:
    """An upload."""

    upload: str
    """Its name, 32 hexadecimal digits: that of its blob, too."""
    device: str
    """Whose it is."""
    kind: UploadKind
    """What it is."""
    name: str
    """What the device calls it."""
    size_bytes: int
    """Size of the whole."""
    sha256: bytes
    """Of the whole, as the device says."""
    offset: int
    """How many bytes are durable."""
    phase: UploadPhase
    """How far it is."""
    reason: UploadReason
    """Of REFUSED: why."""
    touched_ms: int
    """When it got its last byte or changed its phase."""
    tries: int = 0
    """How often the whole had another hash."""
    drone: bytes = b""
    """Key id of the drone that made it, as far as it was looked at."""


@dataclass(frozen=True, slots=True)
class FlightRow:
    """A flight that was verified and unsealed."""

    drone: bytes
    """Key id of the drone that made it: proven."""
    flight: bytes
    """The drone's name for it, 16 bytes."""
    blob: str
    """Where the unsealed container is."""
    size_bytes: int
    """Of the container."""
    messages: int
    """Frames in it."""
    sha256: bytes
    """Over the frames."""
    sealed_sha256: bytes
    """Over the sealed log, which the drone knows it by."""
    sealed_sha384: bytes
    """Over header and sealed chunks: what was signed (SL-40)."""
    device: str
    """Who brought it."""
    upload: str
    """In which upload; its blob is the sealed log, with both signatures."""
    stored_ms: int
    """When."""
    receipted: bool = False
    """Whether the drone knows that it is here."""


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message of the downlink."""

    sequence: int
    """Its number for this device."""
    body: bytes = field(repr=False)
    """The whole body."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """The downlink queue of a device."""

    last: int = 0
    """The highest number that was given."""
    messages: int = 0
    """How many wait."""
    size_bytes: int = 0
    """Their bodies."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a device has here."""

    kept_bytes: int = 0
    """Telemetry and alarms."""
    upload_bytes: int = 0
    """Uploads that are not refused, at their full size."""
    open_uploads: int = 0
    """How many of them are OPEN."""
    uploads: int = 0
    """How many there are, with those that are refused: each is a row, and most are a file."""

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return self.kept_bytes + self.upload_bytes


class CloudRecords(Protocol):
    """Everything but the blobs."""

    async def see_device(self, device: str, now_ms: int) -> None:
        """Note that a device is here."""
        ...

    async def devices(self) -> Sequence[SeenDevice]:
        """Return every device, the longest known first."""
        ...

    async def usage(self, device: str) -> Usage:
        """Return what a device has here; nothing for an unknown one."""
        ...

    async def add_telemetry(self, row: TelemetryRow) -> bool:
        """Add a batch; False, and nothing changes, if its (device, outbox, sequence) is there already."""
        ...

    async def add_alarms(self, row: TelemetryRow) -> bool:
        """Add a report; as telemetry, under numbers of its own."""
        ...

    async def has_telemetry(self, device: str, outbox: bytes, sequence: int) -> bool:
        """Return whether a batch is there."""
        ...

    async def has_alarms(self, device: str, outbox: bytes, sequence: int) -> bool:
        """Return whether a report is there."""
        ...

    async def telemetry(self, device: str, limit: int = 1_000) -> Sequence[TelemetryRow]:
        """Return the newest batches of a device, oldest of them first."""
        ...

    async def alarms(self, device: str, limit: int = 1_000) -> Sequence[TelemetryRow]:
        """Return the newest reports of a device, oldest of them first."""
        ...

    async def put_upload(self, row: UploadRow) -> None:
        """Add or replace an upload."""
        ...

    async def find_upload(self, device: str, upload: str) -> UploadRow | None:
        """Return an upload of this device."""
        ...

    async def find_like(
        self, device: str, kind: UploadKind, name: str, size_bytes: int, sha256: bytes
    ) -> UploadRow | None:
        """Return the upload that was opened so."""
        ...

    async def uploads(self) -> Sequence[UploadRow]:
        """Return every upload, in the order of their names."""
        ...

    async def remove_upload(self, upload: str) -> None:
        """Forget an upload; unknown ones are passed over."""
        ...

    async def store_flight(self, flight: FlightRow, upload: UploadRow) -> None:
        """Add a flight and replace its upload, both or neither. UsageError if the flight is there already."""
        ...

    async def find_flight(self, drone: bytes, flight: bytes) -> FlightRow | None:
        """Return a flight."""
        ...

    async def flights(self, *, unreceipted: bool = False) -> Sequence[FlightRow]:
        """Return every flight, or those that the drone does not know to be here; the oldest first."""
        ...

    async def mark_receipted(self, drone: bytes, flight: bytes) -> None:
        """Note that the drone knows; unknown flights are passed over."""
        ...

    async def queue_state(self, device: str) -> QueueState:
        """Return the state of a downlink queue; an empty one for an unknown device."""
        ...

    async def enqueue(self, device: str, body: bytes) -> int:
        """Add a message, and return its number: one more than the last, from 1."""
        ...

    async def queued(self, device: str, after: int, limit: int) -> Sequence[QueuedMessage]:
        """Return messages after a number, in order."""
        ...

    async def acknowledge(self, device: str, sequence: int) -> None:
        """Forget the messages up to a number."""
        ...

    async def aclose(self) -> None:
        """Close; closing twice does nothing. Anything else afterwards is a UsageError."""
        ...


# --- blobs --------------------------------------------------------------------------------------

Read = Callable[[int, int], bytes]
"""``(offset, length)`` -> that many bytes, fewer only at the end of the blob."""
Write = Callable[[bytes], None]
"""Takes the next bytes."""


class CloudBlobs(Protocol):
    """Byte strings under names of hexadecimal digits and hyphens."""

    async def append(self, name: str, offset: int, data: bytes) -> None:
        """Make ``data`` the bytes from ``offset`` on; a blob that is not there begins at 0."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a blob; one that is not there is passed over."""
        ...

    async def names(self) -> Sequence[str]:
        """Return the name of every blob."""
        ...

    def reader(self, name: str) -> AbstractContextManager[Read]:
        """Open a blob for reading. Blocks: call it in a thread."""
        ...

    def writer(self, name: str) -> AbstractContextManager[Write]:
        """Make a blob, which is there, whole and durable, when the block ends well. Blocks: call it in a thread."""
        ...


# --- who is a device ----------------------------------------------------------------------------


class Issued(Protocol):
    """A certificate that was issued."""

    @property
    def certificate_der(self) -> bytes:
        """The device's."""
        ...

    @property
    def ca_der(self) -> bytes:
        """The authority's."""
        ...


class Authority(Protocol):
    """The certificate authority, as requests need it (``nodes.pki.DeviceAuthority``). ``now``: Unix seconds."""

    @property
    def ca_der(self) -> bytes:
        """The authority's certificate."""
        ...

    async def check_peer(self, certificate_der: bytes, now: float) -> str:
        """Return the device id; a policy or authentication error if the certificate is not good now."""
        ...

    async def renew(self, certificate_der: bytes, csr_der: bytes, now: float) -> Issued:
        """Return the next certificate of the same device."""
        ...

    async def enrol(self, token_text: str, csr_der: bytes, now: float, source: bytes = b"") -> Issued:
        """Return the first certificate of a device."""
        ...

    async def crl(self) -> bytes:
        """Return the revocation list, DER."""
        ...

"""A finished sealed log is judged: verified, unsealed, counted, stored (specs/9-cloudlink.md, CL-26 and CL-27).

Everything that reads the log runs in a thread. Nothing of what was sealed is written before both signatures hold,
and nothing that was written counts before it is whole and is a flight.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import trio

from nodes.cloud.ports import CloudBlobs, CloudRecords, FlightRow, Read, UploadRow
from nodes.flight.container import digest_flight
from nodes.flight.source import FlightDigest
from nodes.ports import CloudSealing
from protocols.crypto.hpke import HpkeKey
from protocols.errors import AuthenticationError, MalformedError, PeerError, PolicyError
from protocols.sealing import SealedLogEnds, VerifyingKeys, cloud_key_id_of, read_ends_untrusted
from protocols.unsealing import Arrival, VerifiedLog, arrival_of, unseal_log, verify_sealed_log_untrusted
from specs.cloudlink import UploadPhase, UploadReason

T = TypeVar("T")
_READERS = 2
"""Threads that read whole uploads: minutes of it, if devices want that. All the others are for what takes no time."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a log."""

    row: UploadRow
    """The upload as it is to be from now on."""
    flight: FlightRow | None = field(default=None)
    """The flight, if it is new."""


class _RefusedError(Exception):
    def __init__(self, reason: UploadReason, drone: bytes = b"") -> None:
        super().__init__(reason.value)
        self.reason, self.drone = reason, drone


class LogDesk:
    """Judges one log at a time: two that hold the same flight must not both find it missing."""

    def __init__(
        self, records: CloudRecords, blobs: CloudBlobs, sealing: CloudSealing, clock_ms: Callable[[], int]
    ) -> None:
        """``clock_ms``: milliseconds since 1970."""
        self._records = records
        self._blobs = blobs
        self._sealing = sealing
        self._clock_ms = clock_ms
        self._lock = trio.Lock()
        self._readers = trio.CapacityLimiter(_READERS)

    async def judge(self, row: UploadRow) -> Verdict:
        """Decide about a whole sealed log and make the decision durable; StorageError, and then nothing is decided."""
        async with self._lock:
            try:
                verdict = await self._judged(row)
            except _RefusedError as refused:
                verdict = Verdict(_decided(row, UploadPhase.REFUSED, refused.drone, refused.reason))
            verdict = replace(verdict, row=replace(verdict.row, touched_ms=self._clock_ms()))
            if verdict.flight is None:
                await self._records.put_upload(verdict.row)
            else:
                await self._records.store_flight(verdict.flight, verdict.row)
            return verdict

    async def sweep(self) -> None:
        """Remove flights that have no row: a crash came between file and row, and they are unsealed anew. StorageError.

        Nobody writes a flight meanwhile: whoever does has the lock from before its file until after its row.
        """
        async with self._lock:
            flights = [name for name in await self._blobs.names() if "-" in name]
            rows = {row.blob for row in await self._records.flights()} if flights else set[str]()
            for name in flights:
                if name not in rows:
                    await self._blobs.remove(name)

    async def _judged(self, row: UploadRow) -> Verdict:
        keys = {cloud_key_id_of(key.public): key for key in await self._sealing.opening_keys()}
        ends = await self.read(row, partial(_ends_untrusted, size_bytes=row.size_bytes))
        drone = ends.info.drone_id
        if ends.info.cloud_key_id not in keys:
            raise _RefusedError(UploadReason.KEY, drone)
        known = await self._sealing.verifying_keys(drone)
        if not known:
            return Verdict(_decided(row, UploadPhase.HELD, drone))
        if (ends.manifest.ecdsa_key_id, ends.manifest.mldsa_key_id) not in [pair.ids for pair in known]:
            raise _RefusedError(UploadReason.SIGNER, drone)
        verified = await self.read(row, partial(_verify_untrusted, row.size_bytes, known, tuple(keys)))
        stored = _decided(row, UploadPhase.STORED, drone)
        before = await self._records.find_flight(*verified.log_id)
        arrival = arrival_of(verified, before.sealed_sha384 if before else None)
        if arrival is Arrival.CONFLICT:
            raise _RefusedError(UploadReason.CONFLICT, drone)
        if arrival is Arrival.AGAIN:
            return Verdict(stored)
        blob = "-".join(part.hex() for part in verified.log_id)  # no upload has a name with a hyphen
        unseal = partial(self._unseal_untrusted, verified, keys[ends.info.cloud_key_id], blob)
        size_bytes, digest = await self.read(row, unseal)
        return Verdict(stored, _flight(stored, verified, blob, size_bytes, digest, self._clock_ms()))

    async def read(self, row: UploadRow, call: Callable[[Read], T]) -> T:
        """Return ``call(read)`` of the bytes of an upload; in a thread, which ends between two reads if cancelled."""

        def reading() -> T:
            with self._blobs.reader(row.upload) as read:

                def stoppable(offset: int, length: int) -> bytes:
                    trio.from_thread.check_cancelled()
                    return read(offset, length)

                return call(stoppable)

        return await trio.to_thread.run_sync(reading, limiter=self._readers)

    def _unseal_untrusted(self, verified: VerifiedLog, key: HpkeKey, blob: str, read: Read) -> tuple[int, FlightDigest]:
        """Return size and digest of the flight, which is durable then."""
        parts: list[bytes] = []
        try:
            unseal_log(read, verified, key, parts.append)
            content = b"".join(parts)
            digest = digest_flight(content)
        except (AuthenticationError, PolicyError, MalformedError):
            raise _RefusedError(UploadReason.CONTENT, verified.ends.info.drone_id) from None
        with self._blobs.writer(blob) as write:
            write(content)
        return len(content), digest


def _ends_untrusted(read: Read, size_bytes: int) -> SealedLogEnds:
    try:
        return read_ends_untrusted(read, size_bytes)
    except PeerError:
        raise _RefusedError(UploadReason.MALFORMED) from None


def _verify_untrusted(
    size_bytes: int, known: Sequence[VerifyingKeys], cloud_keys: Sequence[bytes], read: Read
) -> VerifiedLog:
    try:
        return verify_sealed_log_untrusted(read, size_bytes, known, cloud_keys)
    except PeerError:
        raise _RefusedError(UploadReason.MALFORMED) from None
    except (AuthenticationError, PolicyError):
        raise _RefusedError(UploadReason.SIGNATURE) from None


def _decided(row: UploadRow, phase: UploadPhase, drone: bytes, reason: UploadReason = UploadReason.NONE) -> UploadRow:
    return replace(row, phase=phase, reason=reason, drone=drone)


def _flight(
    row: UploadRow, verified: VerifiedLog, blob: str, size_bytes: int, digest: FlightDigest, now_ms: int
) -> FlightRow:
    drone, flight = verified.log_id
    return FlightRow(
        drone=drone,
        flight=flight,
        blob=blob,
        size_bytes=size_bytes,
        messages=digest.messages,
        sha256=bytes.fromhex(digest.sha256),
        sealed_sha256=row.sha256,
        sealed_sha384=verified.ends.manifest.sealed_sha384,
        device=row.device,
        upload=row.upload,
        stored_ms=now_ms,
    )


def sha256_of(read: Read, size_bytes: int, piece_bytes: int = 1_048_576) -> bytes:
    """Return the SHA-256 of the first bytes of a blob."""
    digest = hashlib.sha256()
    for offset in range(0, size_bytes, piece_bytes):
        digest.update(read(offset, min(piece_bytes, size_bytes - offset)))
    return digest.digest()

"""Opening sealed logs (specs/8-sealed-logs.md): a cloud verifies, and only then decrypts.

Theory of operation. There are two phases, and the first must end well before the second begins: :class:`LogVerifier`
proves, from the bytes alone, that a known drone made exactly these; :class:`LogOpener` decrypts what was verified, and
nothing of its output counts before ``finish_untrusted`` returned. A log is read twice, in pieces of any size, and is
never in memory whole; :func:`verify_sealed_log_untrusted` and :func:`unseal_log` do both over a ``read`` function.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocols import codec
from protocols.crypto.hpke import HpkeKey
from protocols.crypto.signatures import BadSignatureError, check_low_s, verify_ecdsa_p256, verify_mldsa65
from protocols.crypto.stream import Sha384, StreamCipher
from protocols.errors import AuthenticationError, MalformedError, PolicyError, TruncatedError
from protocols.sealing import HEADER_BYTES, Read, SealedLogEnds, VerifyingKeys, cloud_key_id_of, read_ends_untrusted
from specs.sealed_log import ECDSA_LABEL, INFO, MANIFEST, MLDSA_CONTEXT, SEALED_CHUNK_BYTES

_PIECE_BYTES: Final = 16 * SEALED_CHUNK_BYTES
"""What is read at once."""


class UnknownSealingKeyError(PolicyError):
    """A log was signed by, or sealed to, a key that this node does not know."""

    advice = (
        "Pair the cloud with that drone, so that it learns its keys: the log waits. A log for another cloud "
        "can be opened there only."
    )


class ChangedLogError(AuthenticationError):
    """A log is not the one that was verified."""

    advice = "Fetch the log from the drone again, and find out who had the file meanwhile."


# --- phase one: verifying -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """A sealed log that a known drone made, byte for byte. Made by :class:`LogVerifier` only."""

    ends: SealedLogEnds
    """What it says of itself: now proven."""
    signer: VerifyingKeys
    """Which keys of the drone verified it."""

    @property
    def log_id(self) -> tuple[bytes, bytes]:
        """(drone id, flight id): there is one log under each (SL-40)."""
        return self.ends.info.drone_id, self.ends.info.flight_id


class LogVerifier:
    """Phase one: who made these bytes? Needs no secret, and decrypts nothing."""

    def __init__(self, ends: SealedLogEnds, known: Iterable[VerifyingKeys], cloud_key_ids: Iterable[bytes]) -> None:
        """Verify both signatures of the manifest: two small operations, before anything large is read.

        UnknownSealingKeyError (cloud key, drone or its keys are not among the known), BadSignatureError.
        """
        self._ends = ends
        self._signer = _signer(ends, known, cloud_key_ids)
        _verify(ends, self._signer)
        self._hash = Sha384()
        self._left = ends.signed_bytes

    def update_untrusted(self, piece: bytes | memoryview) -> None:
        """Take the next bytes of header and chunks (``ends.signed_bytes`` in all); MalformedError for more."""
        self._left -= len(piece)
        if self._left < 0:
            raise MalformedError("sealed log: bytes after the last chunk")
        self._hash.update(piece)

    def finish_untrusted(self) -> VerifiedLog:
        """Return the proof that all of it was signed; TruncatedError, BadSignatureError."""
        if self._left:
            raise TruncatedError(f"sealed log: {self._left} bytes are missing")
        if self._hash.digest() != self._ends.manifest.sealed_sha384:
            raise BadSignatureError("sealed log: not the bytes that were signed")
        return VerifiedLog(self._ends, self._signer)


def _signer(ends: SealedLogEnds, known: Iterable[VerifyingKeys], cloud_key_ids: Iterable[bytes]) -> VerifyingKeys:
    if ends.info.cloud_key_id not in set(cloud_key_ids):
        raise UnknownSealingKeyError("sealed log: sealed to a key that is not ours")
    of_drone = [keys for keys in known if keys.drone_id == ends.info.drone_id]
    if not of_drone:
        raise UnknownSealingKeyError("sealed log: of a drone that is not known here")
    for keys in of_drone:
        if keys.ids == (ends.manifest.ecdsa_key_id, ends.manifest.mldsa_key_id):
            return keys
    raise UnknownSealingKeyError("sealed log: signed by keys that are not this drone's")


def _verify(ends: SealedLogEnds, signer: VerifyingKeys) -> None:
    manifest = codec.build(MANIFEST, ends.manifest)
    check_low_s(ends.signatures.ecdsa)
    verify_ecdsa_p256(signer.ecdsa_public, ends.signatures.ecdsa, ECDSA_LABEL + manifest)
    verify_mldsa65(signer.mldsa_public, ends.signatures.mldsa, manifest, MLDSA_CONTEXT)


# --- phase two: opening -------------------------------------------------------------------------


class LogOpener:
    """Phase two: decrypts a verified log. What it returns counts only when ``finish_untrusted`` has returned.

    The bytes are read for a second time, so they are held against the signed hash again: a file that was exchanged
    between the phases is found out.
    """

    def __init__(self, verified: VerifiedLog, key: HpkeKey) -> None:
        """UnknownSealingKeyError if it was sealed to another key; DecryptError."""
        self._ends = verified.ends
        info = self._ends.info
        if cloud_key_id_of(key.public) != info.cloud_key_id:
            raise UnknownSealingKeyError("sealed log: sealed to another key than this one")
        bound = codec.build(INFO, info)
        self._cipher = StreamCipher(key.open_untrusted(self._ends.header.sealed_secret, bound), bound)
        self._hash = Sha384()
        self._buffer = bytearray()
        self._in_header = HEADER_BYTES
        self._left = self._ends.signed_bytes
        self._chunks = 0

    def update_untrusted(self, piece: bytes | memoryview) -> bytes:
        """Take the next bytes of header and chunks, return the content of chunks that are whole; DecryptError."""
        self._left -= len(piece)
        if self._left < 0:
            raise ChangedLogError("sealed log: longer than the one that was verified")
        self._hash.update(piece)
        in_header = min(self._in_header, len(piece))
        self._in_header -= in_header
        self._buffer += piece[in_header:]
        # As long as bytes are missing, the last chunk is too: a chunk is opened when it is whole.
        whole = len(self._buffer) // SEALED_CHUNK_BYTES if self._left else self._ends.manifest.chunks - self._chunks
        parts = [bytes(self._buffer[at * SEALED_CHUNK_BYTES : (at + 1) * SEALED_CHUNK_BYTES]) for at in range(whole)]
        del self._buffer[: whole * SEALED_CHUNK_BYTES]
        return b"".join([self._open_untrusted(part) for part in parts])

    def finish_untrusted(self) -> None:
        """Return if everything was there and is what was signed; ChangedLogError otherwise."""
        if self._left or self._hash.digest() != self._ends.manifest.sealed_sha384:
            raise ChangedLogError("sealed log: not the one that was verified")

    def _open_untrusted(self, sealed: bytes) -> bytes:
        number, self._chunks = self._chunks, self._chunks + 1
        return self._cipher.open_untrusted(number, sealed, final=number == self._ends.manifest.chunks - 1)


# --- both phases --------------------------------------------------------------------------------


def verify_sealed_log_untrusted(
    read: Read, size_bytes: int, known: Iterable[VerifyingKeys], cloud_key_ids: Iterable[bytes]
) -> VerifiedLog:
    """Phase one over ``read``; MalformedError, TruncatedError, BadSignatureError, UnknownSealingKeyError."""
    ends = read_ends_untrusted(read, size_bytes)
    verifier = LogVerifier(ends, known, cloud_key_ids)
    for offset, length in _pieces(ends):
        verifier.update_untrusted(read(offset, length))
    return verifier.finish_untrusted()


def unseal_log(read: Read, verified: VerifiedLog, key: HpkeKey, write: Callable[[bytes], object]) -> None:
    """Phase two over the same ``read``: content goes to ``write``, and is to be thrown away if this raises.

    UnknownSealingKeyError, ChangedLogError, DecryptError.
    """
    opener = LogOpener(verified, key)
    for offset, length in _pieces(verified.ends):
        write(opener.update_untrusted(read(offset, length)))
    opener.finish_untrusted()


def open_sealed_log_untrusted(
    data: bytes, known: Iterable[VerifyingKeys], keys: Iterable[HpkeKey]
) -> tuple[VerifiedLog, bytes]:
    """Both phases for a log in memory; errors as of the two."""
    by_id = {cloud_key_id_of(key.public): key for key in keys}

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    verified = verify_sealed_log_untrusted(read, len(data), known, by_id)
    parts: list[bytes] = []
    unseal_log(read, verified, by_id[verified.ends.info.cloud_key_id], parts.append)
    return verified, b"".join(parts)


def _pieces(ends: SealedLogEnds) -> Iterator[tuple[int, int]]:
    for offset in range(0, ends.signed_bytes, _PIECE_BYTES):
        yield offset, min(_PIECE_BYTES, ends.signed_bytes - offset)


# --- replay -------------------------------------------------------------------------------------


class Arrival(Enum):
    """What a verified log is to a store that has seen others (SL-40)."""

    NEW = "new"
    AGAIN = "again"
    """The same log: answered as the first time, stored once."""
    CONFLICT = "conflict"
    """Another log under the same flight id: refused, with an alarm."""


def arrival_of(verified: VerifiedLog, stored_sha384: bytes | None) -> Arrival:
    """Judge a verified log; ``stored_sha384`` is the ``sealed_sha384`` stored under its ``log_id``, if any."""
    if stored_sha384 is None:
        return Arrival.NEW
    return Arrival.AGAIN if stored_sha384 == verified.ends.manifest.sealed_sha384 else Arrival.CONFLICT

"""Sealed flight logs (specs/8-sealed-logs.md): keys, sealing and signing at the drone, and what a relay may read.

:class:`LogSealer` turns content into a sealed log, piece by piece. ``protocols/unsealing.py`` is the way back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from protocols import codec
from protocols.crypto.hpke import hpke_seal
from protocols.crypto.kdf import sha256
from protocols.crypto.signatures import EcdsaP256Key, MlDsa65Key
from protocols.crypto.stream import Sha384, StreamCipher
from protocols.errors import MalformedError, PolicyError, TruncatedError, UsageError
from specs.registry import KEY_ID_BYTES, TAG_BYTES
from specs.sealed_log import (
    CHUNK_BYTES,
    ECDSA_LABEL,
    FILE_SECRET_BYTES,
    HEADER,
    INFO,
    KEY_ID_LABEL,
    MANIFEST,
    MAX_CHUNKS,
    MLDSA_CONTEXT,
    SEALED_CHUNK_BYTES,
    SIGNATURES,
    LogManifest,
    LogSignatures,
    SealedLogHeader,
    SealingInfo,
    SealingKeyKind,
    SealingSuite,
)

HEADER_BYTES: Final = codec.size_bytes(HEADER)
_MANIFEST_BYTES: Final = codec.size_bytes(MANIFEST)
TRAILER_BYTES: Final = _MANIFEST_BYTES + codec.size_bytes(SIGNATURES)
"""Manifest and signatures: the end of every sealed log."""
MIN_SEALED_BYTES: Final = HEADER_BYTES + TAG_BYTES + TRAILER_BYTES
"""Of a log without content."""
MAX_SEALED_BYTES: Final = HEADER_BYTES + MAX_CHUNKS * SEALED_CHUNK_BYTES + TRAILER_BYTES
_SUITE: Final = SealingSuite.MLKEM1024_P384_AES256GCM_P256_MLDSA65

Read = Callable[[int, int], bytes]
"""``(offset, length)`` -> that many bytes of a sealed log, fewer only at its end."""


class PinRefusedError(PolicyError):
    """A peer may not replace the key that is pinned."""

    advice = "Decide which cloud the drone belongs to: docs/operate.md, Flight logs, says how it changes."


# --- keys ---------------------------------------------------------------------------------------


def sealing_key_id(kind: SealingKeyKind, public: bytes) -> bytes:
    """Return the first 16 bytes of SHA-256(label, kind as one byte, public key)."""
    return sha256(KEY_ID_LABEL, bytes((kind,)), public)[:KEY_ID_BYTES]


def cloud_key_id_of(public: bytes) -> bytes:
    """Return the key id of a cloud's HPKE key."""
    return sealing_key_id(SealingKeyKind.HPKE, public)


@dataclass(frozen=True, slots=True)
class VerifyingKeys:
    """The two public keys of a drone: a log must be signed by both of one pair."""

    drone_id: bytes
    """Key id of the drone's link key."""
    ecdsa_public: bytes
    """P-256 point, 65 bytes."""
    mldsa_public: bytes
    """ML-DSA-65, 1,952 bytes."""

    @property
    def ids(self) -> tuple[bytes, bytes]:
        """Key ids of both."""
        return (
            sealing_key_id(SealingKeyKind.ECDSA_P256, self.ecdsa_public),
            sealing_key_id(SealingKeyKind.MLDSA_65, self.mldsa_public),
        )


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The two private keys of a drone."""

    ecdsa: EcdsaP256Key
    """Signs classically."""
    mldsa: MlDsa65Key
    """Signs post-quantum."""

    def verifying(self, drone_id: bytes) -> VerifyingKeys:
        """Return what a cloud pins."""
        return VerifyingKeys(drone_id, self.ecdsa.public, self.mldsa.public)


@dataclass(frozen=True, slots=True)
class CloudKey:
    """A cloud's HPKE public key, as a drone pins it."""

    cloud_id: bytes
    """Key id of the link key of the cloud that gave it: nobody else may replace it (SL-32)."""
    public: bytes
    """1,665 bytes."""

    @property
    def id(self) -> bytes:
        """Its key id."""
        return cloud_key_id_of(self.public)


# --- sealing ------------------------------------------------------------------------------------


class _State(Enum):
    NEW = 0
    OPEN = 1
    DONE = 2


class LogSealer:
    """Makes one sealed log: ``begin``, any number of ``update``, ``finish``; what they return is the log, in order."""

    def __init__(
        self,
        *,
        drone_id: bytes,
        flight_id: bytes,
        cloud_public: bytes,
        signing: SigningKeys,
        entropy: Callable[[int], bytes],
    ) -> None:
        """``entropy`` gives fresh random bytes: the file secret. BadPublicKeyError, UsageError for wrong lengths."""
        self._info = SealingInfo(_SUITE, drone_id, cloud_key_id_of(cloud_public), flight_id)
        info = codec.build(INFO, self._info)
        secret = entropy(FILE_SECRET_BYTES)
        self._cipher = StreamCipher(secret, info)
        self._header = _header(self._info, hpke_seal(cloud_public, secret, info))
        self._signing = signing
        self._buffer = bytearray()
        self._chunks = 0
        self._hash = Sha384()
        self._state = _State.NEW

    def begin(self) -> bytes:
        """Return the header; UsageError when called twice."""
        self._go(_State.NEW, _State.OPEN)
        return self._sealed(self._header)

    def update(self, data: bytes | bytearray | memoryview) -> bytes:
        """Take content, return the sealed chunks that are full; UsageError beyond 512 GiB, or out of order."""
        self._go(_State.OPEN, _State.OPEN)
        # The last chunk has a flag of its own, so a full one waits until it is known not to be the last.
        whole = max(0, len(self._buffer) + len(data) - 1) // CHUNK_BYTES
        if self._chunks + whole >= MAX_CHUNKS:
            raise UsageError("a sealed log has at most 512 GiB of content")
        self._buffer += data
        with memoryview(self._buffer) as view:
            parts = [bytes(view[at * CHUNK_BYTES : (at + 1) * CHUNK_BYTES]) for at in range(whole)]
        del self._buffer[: whole * CHUNK_BYTES]
        return b"".join([self._seal(part, final=False) for part in parts])

    def finish(self) -> bytes:
        """Return last chunk, manifest and signatures; UsageError out of order."""
        self._go(_State.OPEN, _State.DONE)
        last = bytes(self._buffer)
        self._buffer.clear()
        sealed = self._seal(last, final=True)
        ecdsa_key_id, mldsa_key_id = self._signing.verifying(self._info.drone_id).ids
        digest = self._hash.digest()
        value = LogManifest(self._info, ecdsa_key_id, mldsa_key_id, self._chunks, len(last), digest)
        manifest = codec.build(MANIFEST, value)
        ecdsa = self._signing.ecdsa.sign(ECDSA_LABEL + manifest)
        mldsa = self._signing.mldsa.sign(manifest, MLDSA_CONTEXT)
        return sealed + manifest + codec.build(SIGNATURES, LogSignatures(ecdsa, mldsa))

    def _seal(self, chunk: bytes, *, final: bool) -> bytes:
        sealed = self._cipher.seal(self._chunks, chunk, final=final)
        self._chunks += 1
        return self._sealed(sealed)

    def _sealed(self, data: bytes) -> bytes:
        self._hash.update(data)
        return data

    def _go(self, before: _State, after: _State) -> None:
        if self._state is not before:
            raise UsageError("a log is sealed by begin, update ... update, finish, once each")
        self._state = after


def seal_log(content: bytes, sealer: LogSealer) -> bytes:
    """Return a whole sealed log; for content that is in memory anyway."""
    return sealer.begin() + sealer.update(content) + sealer.finish()


def _header(info: SealingInfo, sealed_secret: bytes) -> bytes:
    return codec.build(
        HEADER, SealedLogHeader(info.suite, info.drone_id, info.cloud_key_id, info.flight_id, sealed_secret)
    )


# --- what a sealed log says of itself -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealedLogEnds:
    """Beginning and end of a sealed log: well-formed and agreeing, *nothing of it proven*. Enough for a relay."""

    header: SealedLogHeader
    """Whose log it is, and for whom."""
    manifest: LogManifest
    """What was signed."""
    signatures: LogSignatures = field(repr=False)
    """Over the manifest."""

    @property
    def info(self) -> SealingInfo:
        """The same in header and manifest."""
        return self.manifest.info

    @property
    def content_bytes(self) -> int:
        """Size of what was sealed."""
        return (self.manifest.chunks - 1) * CHUNK_BYTES + self.manifest.last_bytes

    @property
    def signed_bytes(self) -> int:
        """Size of header and sealed chunks."""
        return HEADER_BYTES + self.content_bytes + self.manifest.chunks * TAG_BYTES

    @property
    def size_bytes(self) -> int:
        """Size of the whole."""
        return self.signed_bytes + TRAILER_BYTES


def parse_header_untrusted(head: bytes) -> SealedLogHeader:
    """Return the header that a sealed log begins with (1,773 bytes, more is ignored); MalformedError."""
    return codec.parse_untrusted(HEADER, head[:HEADER_BYTES])


def read_ends_untrusted(read: Read, size_bytes: int) -> SealedLogEnds:
    """Return what a sealed log of that size says of itself; TruncatedError, MalformedError."""
    if size_bytes < MIN_SEALED_BYTES:
        raise TruncatedError(f"sealed log: {size_bytes} bytes, the least is {MIN_SEALED_BYTES}")
    if size_bytes > MAX_SEALED_BYTES:
        raise MalformedError("sealed log: more than 512 GiB of content")
    header = parse_header_untrusted(read(0, HEADER_BYTES))
    trailer = read(size_bytes - TRAILER_BYTES, TRAILER_BYTES)
    manifest = codec.parse_untrusted(MANIFEST, trailer[:_MANIFEST_BYTES])
    ends = SealedLogEnds(header, manifest, codec.parse_untrusted(SIGNATURES, trailer[_MANIFEST_BYTES:]))
    if ends.info != SealingInfo(header.suite, header.drone_id, header.cloud_key_id, header.flight_id):
        raise MalformedError("sealed log: header and manifest are of two logs")
    if manifest.chunks > 1 and not manifest.last_bytes:
        raise MalformedError("sealed log: an empty chunk after others")
    if ends.size_bytes != size_bytes:
        raise MalformedError(f"sealed log: {size_bytes} bytes, the manifest says {ends.size_bytes}")
    return ends

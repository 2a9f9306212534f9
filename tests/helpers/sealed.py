"""Sealed logs for tests: fixed keys, logs that are made once, and logs put together by hand, as an attacker does."""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final

from protocols import codec
from protocols.crypto.hpke import HpkeKey
from protocols.crypto.signatures import EcdsaP256Key, MlDsa65Key
from protocols.sealing import (
    HEADER_BYTES,
    TRAILER_BYTES,
    LogSealer,
    SealedLogEnds,
    SigningKeys,
    VerifyingKeys,
    read_ends_untrusted,
    seal_log,
)
from protocols.unsealing import VerifiedLog, open_sealed_log_untrusted
from specs.sealed_log import (
    ECDSA_LABEL,
    HEADER,
    MANIFEST,
    MLDSA_CONTEXT,
    SEALED_CHUNK_BYTES,
    SIGNATURES,
    LogManifest,
    LogSignatures,
    SealedLogHeader,
)


def random(label: str, length: int) -> bytes:
    """Bytes that look random and are the same each time."""
    return hashlib.shake_256(label.encode()).digest(length)


@dataclass(frozen=True, slots=True)
class Drone:
    """A drone that seals."""

    name: str
    drone_id: bytes
    signing: SigningKeys = field(repr=False)

    @property
    def known(self) -> VerifyingKeys:
        """What the cloud pinned."""
        return self.signing.verifying(self.drone_id)


@cache
def drone(name: str = "drone") -> Drone:
    """The same drone for the same name."""
    keys = SigningKeys(
        EcdsaP256Key.from_private_bytes(random(f"{name} ecdsa", 32)), MlDsa65Key.from_seed(random(f"{name} mldsa", 32))
    )
    return Drone(name, random(f"{name} id", 16), keys)


@cache
def cloud(name: str = "cloud") -> HpkeKey:
    """The same key for the same name."""
    return HpkeKey.from_private_bytes(random(f"{name} hpke", 112))


DRONE: Final = drone()
CLOUD: Final = cloud()


def sealer(flight: str = "flight", by: Drone = DRONE, to: HpkeKey = CLOUD) -> LogSealer:
    """A sealer; its file secret depends on the name of the flight."""
    return LogSealer(
        drone_id=by.drone_id,
        flight_id=random(flight, 16),
        cloud_public=to.public,
        signing=by.signing,
        entropy=lambda count: random(f"{flight} secret", count),
    )


@cache
def content(length: int, flight: str = "flight") -> bytes:
    """What such a log holds."""
    return random(f"{flight} content", length)


@cache
def sealed(length: int, flight: str = "flight", by: Drone = DRONE, to: HpkeKey = CLOUD) -> bytes:
    """A log of so many bytes, made once."""
    return seal_log(content(length, flight), sealer(flight, by, to))


def opened(log: bytes, *known: VerifyingKeys, keys: tuple[HpkeKey, ...] = (CLOUD,)) -> tuple[VerifiedLog, bytes]:
    """What the cloud makes of a log; by default it knows the one drone."""
    return open_sealed_log_untrusted(log, known or (DRONE.known,), keys)


def ends_of(log: bytes) -> SealedLogEnds:
    """What a log says of itself."""
    return read_ends_untrusted(lambda offset, length: log[offset : offset + length], len(log))


@dataclass(frozen=True, slots=True)
class Parts:
    """A log taken apart, to be put together in another way."""

    header: SealedLogHeader
    chunks: tuple[bytes, ...]
    manifest: LogManifest
    signatures: LogSignatures

    @classmethod
    def of(cls, log: bytes) -> "Parts":
        """Take a log apart."""
        ends = ends_of(log)
        body = log[HEADER_BYTES:-TRAILER_BYTES]
        chunks = [body[at : at + SEALED_CHUNK_BYTES] for at in range(0, len(body), SEALED_CHUNK_BYTES)]
        return cls(ends.header, tuple(chunks), ends.manifest, ends.signatures)

    @property
    def signed(self) -> bytes:
        """Header and chunks."""
        return codec.build(HEADER, self.header) + b"".join(self.chunks)

    def log(self) -> bytes:
        """Put it together."""
        return self.signed + codec.build(MANIFEST, self.manifest) + codec.build(SIGNATURES, self.signatures)

    def described(self) -> "Parts":
        """With a manifest that fits header and chunks, as whoever has no key can make it."""
        header, last = self.header, self.chunks[-1]
        info = replace(
            self.manifest.info,
            drone_id=header.drone_id,
            cloud_key_id=header.cloud_key_id,
            flight_id=header.flight_id,
        )
        digest = hashlib.sha384(self.signed).digest()
        manifest = replace(
            self.manifest, info=info, chunks=len(self.chunks), last_bytes=len(last) - 16, sealed_sha384=digest
        )
        return replace(self, manifest=manifest)

    def signed_by(self, keys: SigningKeys) -> "Parts":
        """With signatures of these keys, and their ids."""
        ids = keys.verifying(bytes(16)).ids
        manifest = replace(self.manifest, ecdsa_key_id=ids[0], mldsa_key_id=ids[1])
        data = codec.build(MANIFEST, manifest)
        signatures = LogSignatures(keys.ecdsa.sign(ECDSA_LABEL + data), keys.mldsa.sign(data, MLDSA_CONTEXT))
        return replace(self, manifest=manifest, signatures=signatures)

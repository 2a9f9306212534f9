"""Sealed flight logs (specs/8-sealed-logs.md): header, chunks, manifest, two signatures.

::

    sealed log = HEADER | chunk * chunks | MANIFEST | SIGNATURES
    chunk      = ciphertext of 65,536 bytes (the last: of what is left, also none) | tag (16 bytes)
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from construct import Struct

from specs.registry import KEY_ID_BYTES, TAG_BYTES
from specs.strict import Format, constant, exact_enum, fixed_bytes, nested, ranged, reserved, u16, u32

# ================================================================================================
# Specification constants
# ================================================================================================

MAGIC: Final = b"AEROSEAL"
"""First bytes of a sealed log."""
INFO_LABEL: Final = b"Aerolink sealing info v1"
MANIFEST_LABEL: Final = b"Aerolink log manifest v1"
ECDSA_LABEL: Final = b"Aerolink sealed log, ECDSA P-256, v1"
"""Stands before the manifest in what ECDSA signs: ECDSA has no context string."""
MLDSA_CONTEXT: Final = b"Aerolink sealed log, ML-DSA-65, v1"
"""The context string of ML-DSA (FIPS 204, section 5.2)."""
KEY_ID_LABEL: Final = b"Aerolink sealing key id v1"

DRONE_ID_BYTES: Final = KEY_ID_BYTES
FLIGHT_ID_BYTES: Final = 16
FILE_SECRET_BYTES: Final = 32
"""What HPKE carries."""
FILE_KEY_BYTES: Final = 32
NONCE_PREFIX_BYTES: Final = 7
"""STREAM nonce: prefix, u32 counter, final flag (0 or 1): 12 bytes."""
CHUNK_BYTES: Final = 65_536
"""Content of every chunk but the last."""
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
HPKE_PUBLIC_BYTES: Final = 1_665
"""ML-KEM-1024 encapsulation key (1,568), P-384 point, uncompressed (97)."""
HPKE_PRIVATE_BYTES: Final = 112
"""ML-KEM-1024 seed d || z (64), P-384 scalar (48)."""
HPKE_ENC_BYTES: Final = 1_665
"""ML-KEM-1024 ciphertext (1,568), ephemeral P-384 point (97)."""
SEALED_SECRET_BYTES: Final = HPKE_ENC_BYTES + FILE_SECRET_BYTES + TAG_BYTES
ECDSA_SIGNATURE_BYTES: Final = 64
MLDSA_SIGNATURE_BYTES: Final = 3_309
DIGEST_BYTES: Final = 48
"""SHA-384."""
MAX_CHUNKS: Final = 2**23
"""512 GiB of content."""
MAX_CONTENT_BYTES: Final = MAX_CHUNKS * CHUNK_BYTES


class SealingSuite(IntEnum):
    """All algorithms of a sealed log, in one number."""

    MLKEM1024_P384_AES256GCM_P256_MLDSA65 = 1
    """HPKE (MLKEM1024-P384, HKDF-SHA384, AES-256-GCM); signed by ECDSA P-256 SHA-256 and by ML-DSA-65."""


class SealingKeyKind(IntEnum):
    """Which kind of public key a key id names."""

    HPKE = 1
    """The cloud's, MLKEM1024-P384."""
    ECDSA_P256 = 2
    MLDSA_65 = 3


@dataclass(frozen=True, slots=True)
class SealingInfo:
    """What a sealed log is: bound in HPKE's info, in the derivation of the file key and in the manifest."""

    suite: SealingSuite
    """Every algorithm."""
    drone_id: bytes
    """Key id of the drone that sealed it."""
    cloud_key_id: bytes
    """Key id of the HPKE key that opens it."""
    flight_id: bytes
    """16 random bytes, new for every log."""


INFO: Final = Format(
    "sealing info",
    SealingInfo,
    Struct(
        constant(INFO_LABEL),
        "suite" / exact_enum(u16, SealingSuite),
        reserved(2),
        "drone_id" / fixed_bytes(DRONE_ID_BYTES),
        "cloud_key_id" / fixed_bytes(KEY_ID_BYTES),
        "flight_id" / fixed_bytes(FLIGHT_ID_BYTES),
    ),
)


@dataclass(frozen=True, slots=True)
class SealedLogHeader:
    """The beginning of a sealed log, in clear: a relay reads from it whose log it is, and for whom."""

    suite: SealingSuite
    """Every algorithm."""
    drone_id: bytes
    """Key id of the drone that sealed it."""
    cloud_key_id: bytes
    """Key id of the HPKE key that opens it."""
    flight_id: bytes
    """16 random bytes, new for every log."""
    sealed_secret: bytes = field(repr=False)
    """HPKE's enc and ciphertext of the file secret."""


HEADER: Final = Format(
    "sealed log header",
    SealedLogHeader,
    Struct(
        constant(MAGIC),
        "suite" / exact_enum(u16, SealingSuite),
        reserved(2),
        "drone_id" / fixed_bytes(DRONE_ID_BYTES),
        "cloud_key_id" / fixed_bytes(KEY_ID_BYTES),
        "flight_id" / fixed_bytes(FLIGHT_ID_BYTES),
        "sealed_secret" / fixed_bytes(SEALED_SECRET_BYTES),
    ),
)


@dataclass(frozen=True, slots=True)
class LogManifest:
    """What both signatures sign."""

    info: SealingInfo
    """As in the header."""
    ecdsa_key_id: bytes
    """Key id of the drone's ECDSA key."""
    mldsa_key_id: bytes
    """Key id of the drone's ML-DSA key."""
    chunks: int
    """How many there are."""
    last_bytes: int
    """Content of the last chunk, without its tag."""
    sealed_sha384: bytes
    """SHA-384 over the header and all sealed chunks."""


MANIFEST: Final = Format(
    "log manifest",
    LogManifest,
    Struct(
        constant(MANIFEST_LABEL),
        "info" / nested(INFO),
        "ecdsa_key_id" / fixed_bytes(KEY_ID_BYTES),
        "mldsa_key_id" / fixed_bytes(KEY_ID_BYTES),
        "chunks" / ranged(u32, 1, MAX_CHUNKS),
        "last_bytes" / ranged(u32, 0, CHUNK_BYTES),
        "sealed_sha384" / fixed_bytes(DIGEST_BYTES),
    ),
)


@dataclass(frozen=True, slots=True)
class LogSignatures:
    """The end of a sealed log. Both must verify."""

    ecdsa: bytes
    """ECDSA P-256 with SHA-256 over ECDSA_LABEL and manifest: r || s, s at most half of the group's order."""
    mldsa: bytes
    """ML-DSA-65 over the manifest, with MLDSA_CONTEXT."""


SIGNATURES: Final = Format(
    "log signatures",
    LogSignatures,
    Struct("ecdsa" / fixed_bytes(ECDSA_SIGNATURE_BYTES), "mldsa" / fixed_bytes(MLDSA_SIGNATURE_BYTES)),
)

# ================================================================================================
# Implementation limits
# ================================================================================================

MAX_DRONE_KEYS: Final = 4
"""Pairs of verifying keys that a cloud keeps of one drone."""
MAX_OPENING_KEYS: Final = 16
"""HPKE keys that a cloud keeps."""

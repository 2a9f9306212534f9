"""Secrets from labels, JSON files, and the few primitives that everything needs."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]
WIRE_VERSION: Final = 1
RC, DRONE = 2, 1
_ENCODING: Final = (
    "byte strings are lower-case hex, numbers are exact integers of up to 64 bits, texts are texts; "
    "a key that is not there does not apply"
)
_LICENCE: Final = (
    "0BSD: permission to use, copy, modify, and/or distribute these vectors for any purpose with or without fee is "
    "hereby granted; they come as they are, without warranty of any kind"
)


def secret(label: str, length: int = 32) -> bytes:
    """Bytes that look random and that anybody can make again."""
    return hashlib.shake_256(b"Aerolink vectors: " + label.encode()).digest(length)


def hkdf(ikm: bytes, salt: bytes, info: bytes, digest: Any = hashlib.sha256) -> bytes:
    """Return 32 bytes of HKDF (RFC 5869); every hash here has 32 bytes."""
    return hmac.digest(hmac.digest(salt or bytes(32), ikm, digest), info + b"\x01", digest)


def mac(key: bytes, data: bytes) -> bytes:
    """Return a mac1 or mac2 (LK-20, LK-21)."""
    return hmac.digest(key, data, "sha256")[:16]


def flip(data: bytes, at: int, bit: int = 0) -> bytes:
    """Return ``data`` with one bit turned over."""
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)


def is_a(value: object, kind: Any) -> bool:
    """Return isinstance, without the type checker's half knowledge of what a list holds."""
    return isinstance(value, kind)


def plain(value: Any, *, nil: bool = False) -> Any:
    """Return ``value`` as JSON has it: bytes as hex, and keys without a value left out unless ``nil``."""
    if isinstance(value, bytes):
        return value.hex()
    if is_a(value, dict):
        return {key: plain(each, nil=key == "value") for key, each in value.items() if nil or each is not None}
    if is_a(value, list | tuple):
        return [plain(each) for each in value]
    return value


def write(folder: Path, kind: str, what: str, vectors: list[Json]) -> None:
    """Write the file of one kind."""
    header = {
        "kind": kind,
        "what": what,
        "wire_version": WIRE_VERSION,
        "program": "python -m tests.tools.make_vectors",
        "licence": _LICENCE,
        "encoding": _ENCODING,
    }
    document = {"header": header, "vectors": plain(vectors)}
    (folder / f"{kind}.json").write_text(json.dumps(document, indent=1) + "\n")

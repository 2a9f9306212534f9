"""Reads specs/vectors/*.json, or the folder of $AEROLINK_OWN_VECTORS; whatever is unknown or missing fails.

The format is specs/vectors/README.md. Closed lists stand here: the keys of each kind, and what a vector may expect.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from specs.registry import WIRE_VERSION

Vector = dict[str, Any]
COMMITTED: Final = Path(__file__).parents[2] / "specs" / "vectors"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _texts(text: str) -> frozenset[str]:
    return frozenset(each.strip() for each in text.split(","))


HEADER: Final = _words("kind what wire_version program licence encoding")
_SIDE: Final = _words("index static_private static_public ephemeral_private ephemeral_public")
_LATER: Final = _words("finish confirm close proof answer")

KEYS: Final[dict[str, frozenset[str]]] = {
    "key-id": _words("name dh public key_id fingerprint mac1_key"),
    "linking-code": _words("name code text also psk0 mac1_key"),
    "linking-code-failure": _words("name text expect"),
    "format": _words("name format fields bytes"),
    "format-failure": _words("name format bytes expect"),
    "handshake": _words(
        "name suite noise_protocol kind continues association prologue psk mac1_key response_mac1_key "
        "initiation_counter initiator responder payloads messages handshake_hash channel_binding "
        "initiator_to_responder_key responder_to_initiator_key pair_secret epoch datagrams records"
    ),
    "handshake-failure": _words("name handshake message datagram expect"),
    "cookie": _words("name handshake address encoded_address secret cookie salt reply mac2 initiation retry"),
    "cookie-failure": _words("name handshake message datagram expect"),
    "refusal": _words("name handshake mac1_key code receiver datagram record"),
    "refusal-failure": _words("name handshake datagram record expect"),
    "datagram": _words("name handshake direction suite key receiver counter frame datagram"),
    "datagram-failure": _words("name handshake direction before datagram then expect"),
    "record": _words("name handshake direction suite key epoch counter frame record"),
    "record-failure": _words("name handshake direction before record expect"),
    "frame-failure": _words("name frame expect"),
    "airlink": _words("name message channel direction fields bytes"),
    "airlink-failure": _words("name channel direction bytes expect"),
    "link-message": _words("name link message channel direction fields bytes"),
    "link-message-failure": _words("name link channel direction bytes expect"),
    "cloudlink": _words("name body value bytes"),
    "cloudlink-failure": _words("name body bytes expect"),
    "map": _words("name value bytes"),
    "map-failure": _words("name bytes expect"),
}
"""Keys that every vector of a kind has."""
OPTIONAL: Final[dict[str, frozenset[str]]] = {
    "handshake": _words("session linking_code linking_code_text"),
    "handshake-failure": _words("record answer_datagram answer_record pairing_open confirmed_counter"),
}
PARTS: Final[dict[str, dict[str, tuple[frozenset[str], frozenset[str]]]]] = {
    "handshake": {
        "initiator": (_SIDE, _words("kem_seed")),
        "responder": (_SIDE, _words("encapsulation_seed kem_shared_secret kem_ciphertext")),
        "datagrams": (_words("initiation response"), _LATER),
        "records": (_words("initiation response"), _LATER),
    },
    "cookie": {
        "address": (_words("kind host port scope"), frozenset()),
        "retry": (_words("initiation_counter index ephemeral_private datagram"), _words("kem_seed")),
    },
}
"""Keys of the objects inside a vector: those that are there, and those that may be."""
EXPECTS: Final[dict[str, frozenset[str]]] = {
    "linking-code-failure": _texts("length, alphabet, checksum"),
    "format-failure": _texts(
        "too short, trailing bytes, reserved bits, unknown value, out of range, wrong type, text, padding"
    ),
    "handshake-failure": _texts(
        "mac1, length, header, reserved bits, unknown type, unknown index, version, suite, not allowed, decrypt, "
        "bad key, sender index, padding, counter, old counter, reflection, pairing closed"
    ),
    "cookie-failure": _texts("decrypt, unknown index, header, reserved bits, length, mac2"),
    "refusal-failure": _texts("mac1, unknown value, reserved bits, unknown index, length"),
    "datagram-failure": _texts(
        "decrypt, reserved bits, unknown type, unknown index, length, replay, old counter, exhausted"
    ),
    "record-failure": _texts("decrypt, epoch, unknown type, not allowed, truncated"),
    "frame-failure": _texts("empty, unknown type, not here, malformed, no such channel, wrong class, violation"),
    "airlink-failure": _texts(
        "wrong channel, wrong way, length, out of range, unknown value, reserved bits, map, unknown number, mavlink"
    ),
    "link-message-failure": _texts(
        "wrong channel, wrong way, length, out of range, unknown value, reserved bits, unknown number"
    ),
    "cloudlink-failure": _texts(
        "length, label, kind, reserved bits, map, missing key, wrong type, out of range, unknown value, text, message, "
        "sequence, frame"
    ),
    "map-failure": _texts(
        "truncated, trailing, extension, never used, text, key type, key order, not finite, not canonical, too large, "
        "not a map"
    ),
}
"""What a failure may expect: closed lists."""
DIRECTIONS: Final = _texts("initiator to responder, responder to initiator")
MESSAGES: Final = {
    "handshake-failure": _words("initiation response finish"),
    "cookie-failure": _texts("cookie reply, initiation"),
}


class VectorError(Exception):
    """The files are not what the format says."""


def folder() -> Path:
    """Return where the vectors are."""
    return Path(os.environ.get("AEROLINK_OWN_VECTORS") or COMMITTED)


def check_vector(kind: str, vector: Vector) -> None:
    """Refuse a vector with a key or a closed word that is not of its kind."""
    name = vector.get("name")
    if not isinstance(name, str) or not name:
        raise VectorError(f"{kind}: a vector without a name")
    _check_keys(f"{kind} {name}", vector, KEYS[kind], OPTIONAL.get(kind, frozenset()))
    for part, (needed, allowed) in PARTS.get(kind, {}).items():
        _check_keys(f"{kind} {name} {part}", vector[part], needed, allowed)
    closed = {"expect": EXPECTS.get(kind), "message": MESSAGES.get(kind)}
    closed["direction"] = DIRECTIONS if "handshake" in KEYS[kind] else _words("up down both")
    for key, words in closed.items():
        if words and key in vector and vector[key] not in words:
            raise VectorError(f"{kind} {name}: {vector[key]!r} is no {key}")


def _check_keys(where: str, found: Vector, needed: frozenset[str], allowed: frozenset[str]) -> None:
    if missing := needed - found.keys():
        raise VectorError(f"{where}: missing {sorted(missing)}")
    if unknown := found.keys() - needed - allowed:
        raise VectorError(f"{where}: unknown {sorted(unknown)}")


def parse(kind: str, text: str) -> list[Vector]:
    """Return the vectors of one file; VectorError."""
    document = json.loads(text)
    if document.keys() != {"header", "vectors"} or document["header"].keys() != HEADER:
        raise VectorError(f"{kind}: unknown or missing keys of the file or its header")
    header = document["header"]
    if header["kind"] != kind or header["wire_version"] != WIRE_VERSION:
        raise VectorError(f"{kind}: another kind or wire version")
    vectors: list[Vector] = document["vectors"]
    if not vectors:
        raise VectorError(f"{kind}: no vectors")
    for vector in vectors:
        check_vector(kind, vector)
    if len({vector["name"] for vector in vectors}) != len(vectors):
        raise VectorError(f"{kind}: two vectors of one name")
    return vectors


def load(where: Path) -> dict[str, list[Vector]]:
    """Return every file of a folder by kind; VectorError when one is missing, unknown or empty."""
    found = {path.stem: path for path in sorted(where.glob("*.json"))}
    if found.keys() != KEYS.keys():
        raise VectorError(f"{where}: missing {sorted(KEYS - found.keys())}, unknown {sorted(found.keys() - KEYS)}")
    return {kind: parse(kind, path.read_text()) for kind, path in found.items()}


@cache
def everything() -> dict[str, list[Vector]]:
    """Return all vectors, read once."""
    return load(folder())


def each(kind: str) -> list[Any]:
    """Return one test parameter per vector of a kind."""
    return [pytest.param(vector, id=vector["name"].replace(" ", "-")) for vector in everything()[kind]]


def named(kind: str, name: str) -> Vector:
    """Return the vector of that name; VectorError."""
    for vector in everything()[kind]:
        if vector["name"] == name:
            return vector
    raise VectorError(f"{kind}: there is no {name!r}")

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


HEADER: Final = _words("kind what wire_version program licence encoding")

KEYS: Final[dict[str, frozenset[str]]] = {
    "handshake": _words(
        "name suite noise_protocol kind continues association prologue psk mac1_key initiation_counter initiator "
        "responder payloads messages handshake_hash channel_binding initiator_to_responder_key "
        "responder_to_initiator_key pair_secret epoch datagrams records"
    ),
    "handshake-failure": _words("name handshake message datagram expect"),
    "linking-code": _words("name code text also psk0 mac1_key"),
    "linking-code-failure": _words("name text expect"),
}
"""Keys that every vector of a kind has."""
OPTIONAL: Final[dict[str, frozenset[str]]] = {
    "handshake": _words("session linking_code linking_code_text"),
    "handshake-failure": _words("record answer_datagram answer_record pairing_open confirmed_counter"),
}
INNER: Final[dict[str, tuple[frozenset[str], frozenset[str]]]] = {
    "initiator": (
        _words("index static_private static_public ephemeral_private ephemeral_public"),
        frozenset(("kem_seed",)),
    ),
    "responder": (
        _words("index static_private static_public ephemeral_private ephemeral_public"),
        _words("encapsulation_seed kem_shared_secret kem_ciphertext"),
    ),
    "datagrams": (frozenset(("initiation", "response")), _words("finish confirm close proof answer")),
    "records": (frozenset(("initiation", "response")), _words("finish confirm close proof answer")),
}
"""Keys of the objects inside a handshake: those that are there, and those that may be."""
EXPECTS: Final[dict[str, frozenset[str]]] = {
    "handshake-failure": frozenset((
        "mac1", "length", "header", "reserved bits", "unknown type", "unknown index", "version", "suite", "not allowed",
        "decrypt", "bad key", "sender index", "padding", "counter", "old counter", "reflection", "pairing closed",
    )),
    "linking-code-failure": _words("length alphabet checksum"),
}  # fmt: skip
"""What a failure may expect: closed lists."""


class VectorError(Exception):
    """The files are not what the format says."""


def folder() -> Path:
    """Return where the vectors are."""
    return Path(os.environ.get("AEROLINK_OWN_VECTORS") or COMMITTED)


def check_vector(kind: str, vector: Vector) -> None:
    """Refuse a vector with a key or an expectation that is not of its kind."""
    name = vector.get("name")
    if not isinstance(name, str) or not name:
        raise VectorError(f"{kind}: a vector without a name")
    _check_keys(f"{kind} {name}", vector, KEYS[kind], OPTIONAL.get(kind, frozenset()))
    if kind in EXPECTS and vector["expect"] not in EXPECTS[kind]:
        raise VectorError(f"{kind} {name}: {vector['expect']!r} is nothing to expect")
    if kind == "handshake":
        for part, (needed, allowed) in INNER.items():
            _check_keys(f"{kind} {name} {part}", vector[part], needed, allowed)


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

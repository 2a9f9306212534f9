"""specs/vectors/sealed-log.txt against the product, and the product's logs against a second reader.

The second reader, :func:`open_by_the_page`, is written from specs/8-sealed-logs.md with ``cryptography`` and
``hashlib`` alone.
"""

import hashlib
import json
from typing import Any, Final

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM1024P384PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.crypto.hpke import HpkeKey
from protocols.crypto.signatures import BadSignatureError
from protocols.errors import MalformedError, PeerError
from protocols.sealing import VerifyingKeys, cloud_key_id_of
from protocols.unsealing import UnknownSealingKeyError, open_sealed_log_untrusted
from tests.helpers.sealed import CLOUD, DRONE, content, sealed
from tests.tools.write_sealed_vectors import FILE, changed, log_of, make_file, secret

DOCUMENT: Final = json.loads(FILE.read_text("utf-8"))
VECTORS: Final = {vector["name"]: vector for vector in DOCUMENT["vectors"]}
KEYS: Final = {name: bytes.fromhex(value) for name, value in DOCUMENT["keys"].items()}
KNOWN: Final = VerifyingKeys(KEYS["drone_id"], KEYS["ecdsa_public"], KEYS["mldsa_public"])
HPKE: Final = HpkeKey.from_private_bytes(KEYS["hpke_private"])
EXPECTS: Final[dict[str, tuple[type[Exception], str]]] = {
    "format": (PeerError, "manifest|header|bytes"),
    "length": (PeerError, "manifest|bytes"),
    "mismatch": (MalformedError, "of two logs"),
    "unknown key": (UnknownSealingKeyError, "not this drone's"),
    "ecdsa": (BadSignatureError, "ECDSA"),
    "mldsa": (BadSignatureError, "ML-DSA"),
    "hash": (BadSignatureError, "not the bytes"),
}


def each(rows: list[dict[str, Any]]) -> list[Any]:
    """One test parameter per row; an empty file fails."""
    assert rows
    return [pytest.param(row, id=row["name"].replace(" ", "-")) for row in rows]


class RefusedByThePageError(Exception):
    """The second reader's one error."""


def _demand(holds: bool) -> None:
    if not holds:
        raise RefusedByThePageError


def _key_id(kind: int, public: bytes) -> bytes:
    return hashlib.sha256(b"Aerolink sealing key id v1" + bytes([kind]) + public).digest()[:16]


def open_by_the_page(log: bytes, drone_id: bytes, ecdsa: bytes, mldsa: bytes, hpke_private: bytes) -> bytes:
    """The content of a log of a known drone, or RefusedByThePageError."""
    head, signed = log[:1_773], log[:-3_561]
    manifest, signature, mldsa_signature = log[-3_561:-3_373], log[-3_373:-3_309], log[-3_309:]
    kem = MLKEM1024PrivateKey.from_seed_bytes(hpke_private[:64])
    point = ec.derive_private_key(int.from_bytes(hpke_private[64:], "big"), ec.SECP384R1())
    numbers = point.public_key().public_numbers()
    public = (
        kem.public_key().public_bytes_raw() + b"\x04" + numbers.x.to_bytes(48, "big") + numbers.y.to_bytes(48, "big")
    )
    # SL-1, SL-3, SL-21
    _demand(len(log) >= 1_773 + 16 + 3_561 and head[:12] == b"AEROSEAL\x00\x01\x00\x00")
    _demand(head[12:28] == drone_id and head[28:44] == _key_id(1, public))
    info = b"Aerolink sealing info v1" + head[8:60]
    _demand(manifest[:100] == b"Aerolink log manifest v1" + info)
    # SL-2
    chunks, last = int.from_bytes(manifest[132:136], "big"), int.from_bytes(manifest[136:140], "big")
    _demand(1 <= chunks <= 2**23 and (chunks == 1 or last > 0) and last <= 65_536)
    _demand(len(log) == 1_773 + (chunks - 1) * 65_552 + last + 16 + 3_561)
    # SL-20, SL-25, SL-22
    _demand(manifest[100:132] == _key_id(2, ecdsa) + _key_id(3, mldsa))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    _demand(s <= 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2)
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), ecdsa)
        labelled = b"Aerolink sealed log, ECDSA P-256, v1" + manifest
        key.verify(encode_dss_signature(r, s), labelled, ec.ECDSA(SHA256()))
        context = b"Aerolink sealed log, ML-DSA-65, v1"
        MLDSA65PublicKey.from_public_bytes(mldsa).verify(mldsa_signature, manifest, context)
    except InvalidSignature:
        raise RefusedByThePageError from None
    _demand(hashlib.sha384(signed).digest() == manifest[140:])
    # SL-11 to SL-13
    suite = Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)
    file_secret = suite.decrypt(head[60:], MLKEM1024P384PrivateKey(kem, point), info)
    derived = HKDF(SHA384(), 39, None, info).derive(file_secret)
    aead, found = AESGCM(derived[:32]), b""
    for i in range(chunks):
        nonce = derived[32:] + i.to_bytes(4, "big") + bytes([i == chunks - 1])
        found += aead.decrypt(nonce, signed[1_773 + i * 65_552 : 1_773 + (i + 1) * 65_552], None)
    return found


def by_the_page(log: bytes) -> bytes:
    """The same with the keys of the file."""
    return open_by_the_page(log, KEYS["drone_id"], KEYS["ecdsa_public"], KEYS["mldsa_public"], KEYS["hpke_private"])


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])
def test_the_page_opens_what_the_product_sealed(size: int) -> None:
    """SL-1 to SL-3, SL-11 to SL-15, SL-20 to SL-22."""
    keys = DRONE.known
    found = open_by_the_page(sealed(size), keys.drone_id, keys.ecdsa_public, keys.mldsa_public, CLOUD.private_bytes())
    assert found == content(size)


@pytest.mark.parametrize("vector", each(DOCUMENT["vectors"]))
def test_the_product_opens_what_the_page_sealed(vector: dict[str, Any]) -> None:
    """SL-1 to SL-3, SL-11 to SL-15, SL-20 to SL-22."""
    log = log_of(vector)
    assert hashlib.sha256(log).hexdigest() == vector["log_sha256"]
    assert log.hex() == vector.get("log", log.hex())
    verified, found = open_sealed_log_untrusted(log, [KNOWN], [HPKE])
    assert found == secret(vector["content_label"], vector["content_bytes"])
    assert verified.ends.info.flight_id.hex() == vector["flight_id"]
    assert found == by_the_page(log)


@pytest.mark.parametrize("failure", each(DOCUMENT["failures"]))
def test_both_refuse_what_was_changed(failure: dict[str, Any]) -> None:
    """SL-1, SL-3, SL-20, SL-22: each for the reason that the file names."""
    log = changed(log_of(VECTORS[failure["of"]]), failure)
    error, words = EXPECTS[failure["expect"]]
    with pytest.raises(error, match=words):
        open_sealed_log_untrusted(log, [KNOWN], [HPKE])
    with pytest.raises(RefusedByThePageError):
        by_the_page(log)


def test_the_keys_of_the_file_are_those_of_the_product() -> None:
    assert HPKE.public == KEYS["hpke_public"]
    assert cloud_key_id_of(HPKE.public) == KEYS["cloud_key_id"]
    assert KNOWN.ids == (KEYS["ecdsa_key_id"], KEYS["mldsa_key_id"])


def test_the_file_is_what_its_program_writes() -> None:
    text = FILE.read_text("utf-8")
    assert make_file(text) == text
    assert {failure["expect"] for failure in DOCUMENT["failures"]} == set(EXPECTS)


def test_a_new_file_has_new_encapsulations_and_signatures_only() -> None:
    new = json.loads(make_file(""))
    random = {"sealed_secret", "manifest", "ecdsa", "mldsa", "log", "log_sha256"}
    for before, after in zip(DOCUMENT["vectors"], new["vectors"], strict=True):
        assert {key for key in before if before[key] != after[key]} == random & before.keys()
        assert open_sealed_log_untrusted(log_of(after), [KNOWN], [HPKE])[1] is not None

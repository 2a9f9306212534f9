"""Writes specs/vectors/sealed-log.txt: known answers for whoever opens sealed logs (specs/8-sealed-logs.md).

    python -m tests.tools.write_sealed_vectors

A second implementation of the sealing side, from the page and ``cryptography`` alone. Keys, ids, contents and file
secrets are SHAKE-256 of a label. HPKE's encapsulation and the signatures cannot be seeded, so those that the file has
are kept: written again, the file does not change. The format is explained in specs/vectors/README.md.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM1024P384PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Json = dict[str, Any]
FILE: Final = Path(__file__).parents[2] / "specs" / "vectors" / "sealed-log.txt"
SIZES: Final = {"empty": 0, "one byte": 1, "a hundred bytes": 100, "one full chunk": 65_536, "one byte more": 65_537,
                "three chunks": 150_000}  # fmt: skip
_WHOLE: Final = 1_000
"""Logs of at most so many bytes of content stand in the file whole."""
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HPKE: Final = Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)
_HEADER, _MANIFEST, _ECDSA, _MLDSA = 1_773, 188, 64, 3_309
CHANGES: Final[dict[str, tuple[int, str, int, str]]] = {
    # name: where (from the start, or the end), what is XORed there, bytes cut off the end, expectation
    "magic": (0, "01", 0, "format"),
    "suite": (9, "03", 0, "format"),
    "reserved bytes of the header": (11, "01", 0, "format"),
    "drone id in the header": (12, "01", 0, "mismatch"),
    "cloud key id in the header": (28, "01", 0, "mismatch"),
    "flight id in the header": (44, "01", 0, "mismatch"),
    "encapsulated ML-KEM ciphertext": (60, "01", 0, "hash"),
    "encapsulated point": (60 + 1_568, "01", 0, "hash"),
    "sealed file secret": (60 + 1_665, "01", 0, "hash"),
    "chunk": (_HEADER, "01", 0, "hash"),
    "tag of the chunk": (-_MANIFEST - _ECDSA - _MLDSA - 1, "80", 0, "hash"),
    "label of the manifest": (-_MANIFEST - _ECDSA - _MLDSA, "01", 0, "format"),
    "drone id in the manifest": (-_MLDSA - _ECDSA - _MANIFEST + 52, "01", 0, "mismatch"),
    "id of the ECDSA key": (-_MLDSA - _ECDSA - 88, "01", 0, "unknown key"),
    "id of the ML-DSA key": (-_MLDSA - _ECDSA - 72, "01", 0, "unknown key"),
    "number of chunks": (-_MLDSA - _ECDSA - 53, "03", 0, "length"),
    "size of the last chunk": (-_MLDSA - _ECDSA - 49, "01", 0, "length"),
    "signed hash": (-_MLDSA - _ECDSA - 1, "01", 0, "ecdsa"),
    "ECDSA signature": (-_MLDSA - 1, "01", 0, "ecdsa"),
    "ML-DSA signature": (-1, "01", 0, "mldsa"),
    "end cut off": (0, "00", 1, "format"),
    "nothing but the header": (0, "00", 3_677, "length"),
}


def secret(label: str, length: int) -> bytes:
    """Bytes that look random and that anybody can make again."""
    return hashlib.shake_256(b"Aerolink sealed log vectors: " + label.encode()).digest(length)


ECDSA: Final = ec.derive_private_key(int.from_bytes(secret("ecdsa", 32), "big"), ec.SECP256R1())
MLDSA: Final = MLDSA65PrivateKey.from_seed_bytes(secret("mldsa", 32))
MLKEM: Final = MLKEM1024PrivateKey.from_seed_bytes(secret("mlkem", 64))
P384: Final = ec.derive_private_key(int.from_bytes(secret("p384", 48), "big"), ec.SECP384R1())
DRONE_ID: Final = secret("drone id", 16)


def _point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _key_id(kind: int, public: bytes) -> bytes:
    return hashlib.sha256(b"Aerolink sealing key id v1" + bytes([kind]) + public).digest()[:16]


def _keys() -> Json:
    hpke, ecdsa, mldsa = MLKEM.public_key().public_bytes_raw() + _point(P384), _point(ECDSA), MLDSA.public_key()
    return {
        "hpke_private": (secret("mlkem", 64) + secret("p384", 48)).hex(),
        "hpke_public": hpke.hex(),
        "cloud_key_id": _key_id(1, hpke).hex(),
        "drone_id": DRONE_ID.hex(),
        "ecdsa_public": ecdsa.hex(),
        "ecdsa_key_id": _key_id(2, ecdsa).hex(),
        "mldsa_public": mldsa.public_bytes_raw().hex(),
        "mldsa_key_id": _key_id(3, mldsa.public_bytes_raw()).hex(),
    }


KEYS: Final = _keys()


def _ids(flight_id: bytes) -> bytes:
    return b"\x00\x01\x00\x00" + DRONE_ID + bytes.fromhex(KEYS["cloud_key_id"]) + flight_id


def seal_chunks(file_secret: bytes, info: bytes, content: bytes) -> tuple[bytes, list[bytes]]:
    """Return file key || prefix, and the sealed chunks (SL-12, SL-13)."""
    derived = HKDF(SHA384(), 39, None, info).derive(file_secret)
    pieces = [content[at : at + 65_536] for at in range(0, len(content), 65_536)] or [b""]
    nonces = [derived[32:] + i.to_bytes(4, "big") + bytes([i == len(pieces) - 1]) for i in range(len(pieces))]
    aead = AESGCM(derived[:32])
    return derived, [aead.encrypt(nonce, piece, None) for nonce, piece in zip(nonces, pieces, strict=True)]


def make_vector(name: str, size: int, old: Json) -> Json:
    """Return one log; what cannot be seeded is taken from ``old`` if it is there."""
    flight_id, file_secret = secret(f"{name} flight", 16), secret(f"{name} secret", 32)
    content, ids = secret(f"{name} content", size), _ids(flight_id)
    info = b"Aerolink sealing info v1" + ids
    public = MLKEM1024P384PrivateKey(MLKEM, P384).public_key()
    sealed_secret = _kept(old, "sealed_secret") or _HPKE.encrypt(file_secret, public, info)
    derived, chunks = seal_chunks(file_secret, info, content)
    signed = b"AEROSEAL" + ids + sealed_secret + b"".join(chunks)
    numbers = len(chunks).to_bytes(4, "big") + (len(chunks[-1]) - 16).to_bytes(4, "big")
    key_ids = bytes.fromhex(KEYS["ecdsa_key_id"] + KEYS["mldsa_key_id"])
    manifest = b"Aerolink log manifest v1" + info + key_ids + numbers + hashlib.sha384(signed).digest()
    ecdsa = _kept(old, "ecdsa") or _ecdsa(b"Aerolink sealed log, ECDSA P-256, v1" + manifest)
    mldsa = _kept(old, "mldsa") or MLDSA.sign(manifest, b"Aerolink sealed log, ML-DSA-65, v1")
    log = signed + manifest + ecdsa + mldsa
    made: Json = {
        "name": name,
        "content_label": f"{name} content",
        "content_bytes": size,
        "flight_id": flight_id,
        "file_secret": file_secret,
        "info": info,
        "file_key": derived[:32],
        "nonce_prefix": derived[32:],
        "sealed_secret": sealed_secret,
        "manifest": manifest,
        "ecdsa": ecdsa,
        "mldsa": mldsa,
        "log_sha256": hashlib.sha256(log).digest(),
    }
    made |= {"log": log} if size <= _WHOLE else {}
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in made.items()}


def _kept(old: Json, key: str) -> bytes:
    return bytes.fromhex(old.get(key, ""))


def _ecdsa(message: bytes) -> bytes:
    r, s = decode_dss_signature(ECDSA.sign(message, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + min(s, _ORDER - s).to_bytes(32, "big")


def log_of(vector: Json) -> bytes:
    """Return the whole log of a vector, also where the file has its parts only."""
    content = secret(vector["content_label"], vector["content_bytes"])
    part = {key: bytes.fromhex(vector[key]) for key in ("sealed_secret", "manifest", "ecdsa", "mldsa", "flight_id")}
    chunks = seal_chunks(bytes.fromhex(vector["file_secret"]), bytes.fromhex(vector["info"]), content)[1]
    head = b"AEROSEAL" + _ids(part["flight_id"]) + part["sealed_secret"]
    return head + b"".join(chunks) + part["manifest"] + part["ecdsa"] + part["mldsa"]


def changed(log: bytes, failure: Json) -> bytes:
    """Return a log as a failure changes it."""
    data, mask = bytearray(log), bytes.fromhex(failure["xor"])
    at = failure["at"] % len(log)
    data[at : at + len(mask)] = bytes(a ^ b for a, b in zip(data[at : at + len(mask)], mask, strict=True))
    return bytes(data[: len(data) - failure["cut_bytes"]])


def make_file(old: str) -> str:
    """Return the file; ``old`` is the one that there is, or nothing."""
    before = {vector["name"]: vector for vector in json.loads(old)["vectors"]} if old else {}
    vectors = [make_vector(name, size, before.get(name, {})) for name, size in SIZES.items()]
    failures = [
        {"name": name, "of": "a hundred bytes", "at": at, "xor": xor, "cut_bytes": cut, "expect": expect}
        for name, (at, xor, cut, expect) in CHANGES.items()
    ]
    header = {
        "kind": "sealed-log",
        "program": "python -m tests.tools.write_sealed_vectors",
        "licence": "0BSD",
        "encoding": "byte strings are lower-case hex; content: SHAKE-256 of 'Aerolink sealed log vectors: ' and label",
    }
    return json.dumps({"header": header, "keys": KEYS, "vectors": vectors, "failures": failures}, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(make_file(FILE.read_text("utf-8") if FILE.exists() else ""), "utf-8")

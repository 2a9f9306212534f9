"""P-256 public keys inside certificates and key files.

SubjectPublicKeyInfo (RFC 5480), one encoding per key.
"""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from protocols.crypto.dh import parse_p256_point
from protocols.errors import BadPublicKeyError

_LENGTH: Final = 91  # 26 bytes that name the algorithm and curve, 65 of the point


def p256_to_spki(public: bytes) -> bytes:
    """Return the DER of a 65-byte point (91 bytes); BadPublicKeyError."""
    return parse_p256_point(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def p256_from_spki(der: bytes) -> bytes:
    """Return the 65-byte point of a DER SubjectPublicKeyInfo; BadPublicKeyError for anything else.

    Exactly what :func:`p256_to_spki` writes is accepted: named curve, uncompressed, canonical. OpenSSL also
    takes BER, explicit curve parameters that happen to be P-256's, and compressed points; with those one key
    had many encodings, and key ids are hashes.
    """
    if len(der) != _LENGTH:  # before any ASN.1 is parsed
        raise BadPublicKeyError("not a P-256 SubjectPublicKeyInfo")
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise BadPublicKeyError("not a P-256 SubjectPublicKeyInfo") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise BadPublicKeyError("not a P-256 SubjectPublicKeyInfo")
    public = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if p256_to_spki(public) != der:
        raise BadPublicKeyError("a P-256 SubjectPublicKeyInfo in another encoding than DER's one")
    return public

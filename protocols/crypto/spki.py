"""P-256 public keys inside certificates and key files: SubjectPublicKeyInfo (RFC 5480), one encoding per key."""

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocols.crypto.dh import DH_FUNCTIONS, parse_p256_point
from protocols.errors import BadPublicKeyError


def p256_to_spki(public: bytes) -> bytes:
    """Return the DER of a 65-byte point (91 bytes); BadPublicKeyError."""
    return parse_p256_point(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def p256_from_spki(der_untrusted: bytes) -> bytes:
    """Return the 65-byte point of a DER SubjectPublicKeyInfo; BadPublicKeyError for anything else.

    Exactly what :func:`p256_to_spki` writes is accepted: named curve, uncompressed, DER. OpenSSL's parser also
    takes BER, explicit curve parameters that happen to be P-256's, and compressed points; then one key had many
    encodings. So nothing is parsed: the point stands at the end, and the rest must be what we would write.
    """
    public = der_untrusted[-DH_FUNCTIONS["P256"].public_length :]
    if p256_to_spki(public) != der_untrusted:
        raise BadPublicKeyError("not the one DER encoding of a P-256 key")
    return public

"""Requests written byte by byte, for encodings that no library writes."""

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_EC_P256 = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def tlv(tag: int, content: bytes) -> bytes:
    length = bytes([len(content)]) if len(content) < 0x80 else bytes([0x81, len(content)])
    return bytes([tag]) + length + content


def request(key: ec.EllipticCurvePrivateKey, *, compressed: bool) -> bytes:
    """A PKCS#10 request (RFC 2986) with the point in either form, rightly signed."""
    form = PublicFormat.CompressedPoint if compressed else PublicFormat.UncompressedPoint
    point = key.public_key().public_bytes(Encoding.X962, form)
    spki = tlv(0x30, _EC_P256 + tlv(0x03, b"\0" + point))
    info = tlv(0x30, tlv(0x02, b"\0") + tlv(0x30, b"") + spki + tlv(0xA0, b""))
    signature = key.sign(info, ec.ECDSA(SHA256()))
    return tlv(0x30, info + _ECDSA_SHA256 + tlv(0x03, b"\0" + signature))
